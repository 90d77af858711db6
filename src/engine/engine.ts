/** Running graphs: one small interface over ONNX Runtime. */
import type { Model } from "../graph/model.ts";
import { bytesOf } from "../tensor/dense.ts";
import type { Batch } from "../tensor/types.ts";

export interface LoadOptions {
  /** Let the runtime rewrite the graph: right for inference (default), wrong for training steps, whose recomputed nodes it would merge. */
  readonly optimize?: boolean;
  /** Threads inside an operator; 0 lets the runtime choose. In WebAssembly the first session decides for all. */
  readonly threads?: number | undefined;
  /** Runs will mostly give buffers, which the native runtime then fills without copying every output once more. */
  readonly inPlace?: boolean;
  /** For few runs: weights are read where they lie in their file, which takes next to no memory and twice the time, and not packed first (native). */
  readonly lean?: boolean;
  /**
   * Other sessions run in turn with this one: its threads end with each run, and do not spin for milliseconds in wait for the next, on processors that
   * the others need (native).
   */
  readonly amongOthers?: boolean;
  /** Whether threads spin in wait for work (true). Without it they sleep: a fourth less of the processor, where much of a run has one thread (native). */
  readonly spinning?: boolean;
}

export interface Session {
  /**
   * Runs the graph. `fetch` names the wanted outputs (all that are tensors if absent), or gives buffers that are filled in place.
   * Fed arrays are read in place and not kept.
   */
  run(feeds: Batch, fetch?: readonly string[] | Batch): Promise<Batch>;
  release(): Promise<void>;
}

/** Where the runtime has buffers of its own: its outputs, or the buffers that were given, filled with them. */
export function delivered(outputs: Batch, fetch: readonly string[] | Batch | undefined): Batch {
  if (fetch === undefined || isNames(fetch)) return outputs;
  for (const [name, output] of Object.entries(outputs)) {
    const buffer = fetch[name];
    if (buffer !== undefined && buffer.type !== "string" && output.type !== "string")
      bytesOf(buffer).set(bytesOf(output));
  }
  return fetch;
}

/** The outputs that are wanted; all where nothing is said. */
export function wantedNames(fetch: readonly string[] | Batch | undefined): readonly string[] | undefined {
  return fetch === undefined || isNames(fetch) ? fetch : Object.keys(fetch);
}

export function isNames(fetch: readonly string[] | Batch): fetch is readonly string[] {
  return Array.isArray(fetch);
}

export interface Engine {
  load(model: Model, options?: LoadOptions): Promise<Session>;
}
