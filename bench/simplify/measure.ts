/** Runs one simplifier on one model in a process of its own, and compares its result with the original. */
import { existsSync } from "node:fs";
import { filesOfModel, totalBytes } from "../../src/app/cli/files/file-paths.ts";
import type { Engine } from "../../src/core/engine/index.ts";
import { errorMessage } from "../../src/core/errors.ts";
import { allNodes, storedBytes } from "../../src/core/graph/graph-elements.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { open } from "../../src/core/onnx/index.ts";
import { checkEquivalence } from "../../src/judge/compare/equivalence.ts";
import { measureProcesses } from "../lib/process-usage.ts";
import type { Tool } from "./tools.ts";

export interface ModelSize {
  /** Nodes of the main graph and all subgraphs, without Constant nodes, which are stored tensors. */
  readonly nodes: number;
  /** Bytes of the file and its external data, and of its tensors. */
  readonly bytes: number;
  readonly stored: number;
}

export interface Result {
  readonly size?: ModelSize;
  /** Seconds of processor time, and bytes of resident memory at the peak. */
  readonly processor?: number;
  readonly peak?: number;
  /** Why the result does not count: it failed, timed out, or is not exact. */
  readonly fault?: string;
}

export async function measureSize(model: Model, path: string): Promise<ModelSize> {
  return {
    nodes: [...allNodes(model.graph)].filter(({ op }) => op !== "Constant").length,
    bytes: await totalBytes(filesOfModel(model, path)),
    stored: storedBytes(model.graph),
  };
}

/** @param limit seconds after which the tool and its processes are stopped. */
export async function measureTool(
  engine: Engine,
  tool: Tool,
  path: string,
  out: string,
  limit: number,
): Promise<Result> {
  const usage = await measureProcesses("timeout", [`${limit}`, ...tool.commandFor(path, out)]);
  if (usage.code === 124) return { fault: "timed out" };
  const cost = { processor: usage.processor, peak: usage.all };
  if (usage.code !== 0 || !existsSync(out)) return { ...cost, fault: `failed: ${findError(usage.error)}` };
  try {
    const result = await open(out);
    const size = await measureSize(result, out);
    return { ...cost, size, ...(await findFault(engine, await open(path), result)) };
  } catch (error) {
    return { ...cost, fault: `not readable: ${shorten(errorMessage(error))}` };
  }
}

async function findFault(engine: Engine, original: Model, result: Model): Promise<{ readonly fault?: string }> {
  try {
    const sameness = await checkEquivalence(engine, original, result, { seed: 1 });
    if (typeof sameness === "string") return { fault: `not compared: ${shorten(sameness)}` };
    const { difference, tolerance, at } = sameness;
    if (difference <= tolerance) return {};
    return { fault: `not exact: "${at}" differs by ${difference.toExponential(1)}` };
  } catch (error) {
    return { fault: `not exact: ${shorten(errorMessage(error))}` };
  }
}

/** Returns the last line that names an error; the lines after it are the times and the stack. */
function findError(text: string): string {
  const lines = text.trim().split("\n");
  return shorten(lines.findLast((line) => /error|exception|abort|invalid|fail/i.test(line)) ?? lines.at(-2) ?? "");
}

function shorten(text: string): string {
  const [first = ""] = text.trim().split("\n");
  return first.length > 100 ? `${first.slice(0, 100)}…` : first;
}
