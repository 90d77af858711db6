/** The interface of engines, which load models and run them. `onnxruntime.ts` implements it. */
import { type Batch, bytesOf, type Model } from "#graph";

export interface Engine {
  load(model: Model, options?: LoadOptions): Promise<Session>;
}

export interface Session {
  /**
   * Runs the graph. The arrays of `feeds` are not copied, and not read after the run.
   * @param fetch The names of the requested outputs (default: all tensors), or buffers that the outputs are written to.
   */
  run(feeds: Batch, fetch?: readonly string[] | Batch): Promise<Batch>;
  release(): Promise<void>;
}

export interface LoadOptions {
  /** Whether the runtime optimizes the graph (default: true). */
  readonly optimize?: boolean;
  /** The number of threads per operator; 0 lets the runtime choose. In WebAssembly, all sessions use the number of the first session. */
  readonly threads?: number | undefined;
  /** Prepares for runs that pass output buffers: the native runtime can then write outputs into them without an additional copy. */
  readonly inPlace?: boolean;
  /** Saves memory, for few runs: the native runtime maps weights from their file and does not pack them. */
  readonly lean?: boolean;
  /** Prepares for alternating runs of several sessions: native threads stop spinning after a run, so that other sessions can use the processors. */
  readonly amongOthers?: boolean;
  /** Whether native threads spin while they wait for work (default: true). */
  readonly spinning?: boolean;
}

/** Copies the outputs into the buffers of `fetch`, if it contains buffers. */
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
