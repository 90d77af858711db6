/** What a step is told. */
import type { Selection } from "../analysis/selection.ts";
import type { Loss } from "./loss.ts";

export interface StepOptions extends Selection {
  readonly loss: Loss;
  /** Train exactly these stored tensors, instead of the parameters of the selected layers. */
  readonly parameters?: readonly string[];
  /** Factors of the learning rate by patterns of layers or tensors; of several that fit, the last. */
  readonly rates?: Readonly<Record<string, number>> | undefined;
  readonly threads?: number | undefined;
  /** Let the graph add this factor of the gradient before to the gradient: an optimizer's `carry`. */
  readonly carry?: number | undefined;
  /** Compute activations again in the backward pass instead of keeping them: less memory, a third more time. */
  readonly checkpointing?: boolean | undefined;
}
