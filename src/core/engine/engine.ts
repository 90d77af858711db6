import type { Model } from "../graph/model.ts";
import { bytesOf } from "../tensor/dense.ts";
import type { Batch } from "../tensor/types.ts";

export interface LoadOptions {
  /** Whether the runtime optimizes the graph (default: true). Training steps disable optimization, because it would merge recomputed nodes. */
  readonly optimize?: boolean;
  /** The number of threads per operator; 0 lets the runtime choose. In WebAssembly, the first session sets it for all sessions. */
  readonly threads?: number | undefined;
  /** Prepares for runs that pass output buffers, which the native runtime then fills without an additional copy. */
  readonly inPlace?: boolean;
  /** Saves memory if there are only few runs: weights are mapped from their file and not packed (native). Runs take twice as long. */
  readonly lean?: boolean;
  /**
   * Prepares for alternating runs of several sessions: threads stop spinning after each run, so that other sessions can use the processors (native).
   */
  readonly amongOthers?: boolean;
  /** Whether threads spin while waiting for work (default: true). False saves a quarter of the processor time of single-threaded runs (native). */
  readonly spinning?: boolean;
}

export interface Session {
  /**
   * Runs the graph. Fed arrays are read without a copy and not kept.
   * @param fetch The names of the requested outputs (default: all tensors), or buffers that the outputs are written to.
   */
  run(feeds: Batch, fetch?: readonly string[] | Batch): Promise<Batch>;
  release(): Promise<void>;
}

/** Returns the outputs. If `fetch` contains buffers, copies the outputs into these buffers and returns them. */
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
