/** Searches for a network that breaks a promise. The error names the smallest such network, which is saved as a file. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PithError } from "../../src/core/errors.ts";
import { type Node, subgraphs, type Value } from "../../src/core/graph/graph.ts";
import { printModel } from "../../src/core/graph/text.ts";
import { encodeToBytes } from "../../src/core/onnx/encode.ts";
import fc from "../property.ts";
import { build, type Description, descriptions, type Network } from "./network.ts";
import type { Promised } from "./promises/promised.ts";
import { answers, batchesOf } from "./runs.ts";

export interface Search {
  /** Number of networks to try. */
  readonly networks: number;
  /** Milliseconds after which the search and the shrinking stop. */
  readonly limit: number;
  /** Seed of the networks; by default random, or the fixed seed of the test suites. */
  readonly seed?: number;
  /** The networks; by default, all kinds. */
  readonly from?: fc.Arbitrary<Description>;
  /** Whether the promise is for networks that ONNX Runtime runs (the default), or for all. */
  readonly runs?: boolean;
}

/**
 * @throws Error with the smallest network that was found, as text and as a file.
 */
export async function expectKept(
  { name, keep }: Promised,
  { networks, limit, from = descriptions, runs: mustRun = true, ...given }: Search,
): Promise<void> {
  const property = fc.asyncProperty(from, async (description) => {
    const network = build(description);
    fc.pre(!mustRun || (await runs(network)));
    await keep(network).catch(async (error: unknown) => {
      // ONNX Runtime computes some networks correctly only after fusing nodes.
      fc.pre(!(error instanceof PithError && error.code === "E_ENGINE") || (await runs(network, false)));
      throw error;
    });
  });
  const outcome = await fc.check(property, { numRuns: networks, interruptAfterTimeLimit: limit, ...given });
  if (!outcome.failed && outcome.numRuns > 0) return;
  if (outcome.counterexample === null) {
    const over = outcome.interrupted ? `, and ${limit} ms were over` : "";
    throw new Error(`"${name}" was tried on no network: ${outcome.numSkips} were skipped${over}.`);
  }
  const [description] = outcome.counterexample;
  const file = await saved(description);
  const { seed, counterexamplePath } = outcome;
  const error = outcome.errorInstance;
  throw new Error(
    `"${name}" is not kept by ${file} (seed ${seed}, path "${counterexamplePath}"): ${error}\n${text(description)}\n${JSON.stringify(description)}`,
    { cause: error },
  );
}

/** Returns whether ONNX Runtime runs the network: Pith does not promise anything about networks that the runtime fails on. */
export async function runs(network: Network, optimize = true): Promise<boolean> {
  if (canCrash(network)) return false;
  return answers(network.model, batchesOf(network), optimize).then(
    () => true,
    () => false,
  );
}

/**
 * Returns whether ONNX Runtime may crash. It does so for a product in float64 that it fuses with a transposition of the axes before the last, and for
 * a dequantized and moved value that a subgraph reads.
 */
function canCrash({ model }: Network): boolean {
  const nodes = [...model.graph.nodes()];
  const has = (isFound: (node: Node) => boolean): boolean => nodes.some(isFound);
  const isLong = (value: Value | undefined): boolean => (value?.type?.dims?.length ?? 3) > 2;
  return (
    (has(({ op, inputs }) => op === "MatMul" && inputs[0]?.type?.type === "float64") &&
      has(({ op, outputs }) => op === "Transpose" && isLong(outputs[0]))) ||
    (has(({ op, inputs }) => op === "DequantizeLinear" && inputs[0]?.producer !== undefined) &&
      has((node) => subgraphs(node).length > 0))
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
