/** Looks for a network that breaks a promise; the smallest one found is saved, and named with what went wrong. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PithError } from "../../src/core/errors.ts";
import { printModel } from "../../src/core/graph/text.ts";
import { encodeToBytes } from "../../src/core/onnx/encode.ts";
import fc from "../property.ts";
import { build, type Description, descriptions, type Network } from "./network.ts";
import type { Promised } from "./promises/promised.ts";
import { answers, batchesOf } from "./runs.ts";

export interface Search {
  /** So many are tried. */
  readonly networks: number;
  /** Milliseconds after which no more are tried, nor made smaller. */
  readonly limit: number;
  /** Drawn anew where it is absent and the suites draw. */
  readonly seed?: number;
}

/**
 * @throws Error with the smallest network that was found, as text and as a file.
 */
export async function expectKept({ name, keep }: Promised, { networks, limit, ...given }: Search): Promise<void> {
  const property = fc.asyncProperty(descriptions, async (description) => {
    const network = build(description);
    fc.pre(await runs(network));
    await keep(network).catch(async (error: unknown) => {
      // Some networks ONNX Runtime runs only after it has fused what it does wrong by itself.
      fc.pre(!(error instanceof PithError && error.code === "E_ENGINE") || (await runs(network, false)));
      throw error;
    });
  });
  const found = await fc.check(property, { numRuns: networks, interruptAfterTimeLimit: limit, ...given });
  if (!found.failed && found.numRuns > 0) return;
  if (found.counterexample === null) {
    const over = found.interrupted ? `, and ${limit} ms were over` : "";
    throw new Error(`"${name}" was tried on no network: ${found.numSkips} were skipped${over}.`);
  }
  const [description] = found.counterexample;
  const file = await saved(description);
  const { seed, counterexamplePath } = found;
  const error = found.errorInstance;
  throw new Error(
    `"${name}" is not kept by ${file} (seed ${seed}, path "${counterexamplePath}"): ${error}\n${text(description)}\n${JSON.stringify(description)}`,
    { cause: error },
  );
}

/** Whether ONNX Runtime runs it: what it lacks or does wrong by itself is no promise of Pith. */
export function runs(network: Network, optimize = true): Promise<boolean> {
  return answers(network.model, batchesOf(network), optimize).then(
    () => true,
    () => false,
  );
}

async function saved(description: Description): Promise<string> {
  try {
    const file = join(mkdtempSync(join(tmpdir(), "pith-generated-")), "network.onnx");
    writeFileSync(file, await encodeToBytes(build(description).model));
    return file;
  } catch (error) {
    return `a network that cannot be saved (${error})`;
  }
}

function text(description: Description): string {
  try {
    return printModel(build(description).model, { abbreviate: true });
  } catch (error) {
    return `It cannot be built: ${error}`;
  }
}
