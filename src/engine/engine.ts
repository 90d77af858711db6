/** Running graphs: one small interface over ONNX Runtime. */
import type { Model } from "../graph/model.ts";
import type { Batch } from "../tensor/types.ts";

export interface LoadOptions {
  /** Let the runtime rewrite the graph: right for inference (default), wrong for training steps, whose recomputed nodes it would merge. */
  readonly optimize?: boolean;
  /** Threads inside an operator; 0 lets the runtime choose. In WebAssembly the first session decides for all. */
  readonly threads?: number;
  /** Runs will mostly give buffers, which the native runtime then fills without copying every output once more for nobody. */
  readonly inPlace?: boolean;
}

export interface Session {
  /**
   * Runs the graph. `fetch` names the wanted outputs (all that are tensors if absent), or gives buffers that are filled in place.
   * Fed arrays are read in place and not kept.
   */
  run(feeds: Batch, fetch?: readonly string[] | Batch): Promise<Batch>;
  release(): Promise<void>;
}

export interface Engine {
  load(model: Model, options?: LoadOptions): Promise<Session>;
}
