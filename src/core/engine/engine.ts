import type { Model } from "../graph/model.ts";
import { bytesOf } from "../tensor/dense.ts";
import type { Batch } from "../tensor/types.ts";

export interface LoadOptions {
  /** Lets the runtime optimize the graph (default: true). Training steps disable it, because it would merge recomputed nodes. */
  readonly optimize?: boolean;
  /** Threads inside an operator; 0 lets the runtime choose. In WebAssembly the first session decides for all. */
  readonly threads?: number | undefined;
  /** Runs will usually pass output buffers, which the native runtime fills without another copy. */
  readonly inPlace?: boolean;
  /** For few runs: weights are mapped from their file and not packed (native). Takes almost no memory and twice the time. */
  readonly lean?: boolean;
  /** Other sessions alternate with this one: its threads end with each run instead of spinning on processors that others need (native). */
  readonly amongOthers?: boolean;
  /** Whether threads spin while waiting for work (default: true). Sleeping saves a quarter of the processor time of single-threaded runs (native). */
  readonly spinning?: boolean;
}

export interface Session {
  /** Runs the graph. `fetch` names the wanted outputs (default: all tensors), or gives buffers to fill. Fed arrays are read in place and not kept. */
  run(feeds: Batch, fetch?: readonly string[] | Batch): Promise<Batch>;
  release(): Promise<void>;
}

/** Returns the outputs, copied into the given buffers if the runtime has its own. */
export function deliverOutputs(outputs: Batch, fetch: readonly string[] | Batch | undefined): Batch {
  if (fetch === undefined || isNames(fetch)) return outputs;
  for (const [name, output] of Object.entries(outputs)) {
    const buffer = fetch[name];
    if (buffer !== undefined && buffer.type !== "string" && output.type !== "string")
      bytesOf(buffer).set(bytesOf(output));
  }
  return fetch;
}

export function requestedNames(fetch: readonly string[] | Batch | undefined): readonly string[] | undefined {
  return fetch === undefined || isNames(fetch) ? fetch : Object.keys(fetch);
}

export function isNames(fetch: readonly string[] | Batch): fetch is readonly string[] {
  return Array.isArray(fetch);
}

export interface Engine {
  load(model: Model, options?: LoadOptions): Promise<Session>;
}
