/** What a training came to, besides the weights: plain data, which stands in checkpoints and reports. */
import type { Unit } from "../evaluate/types.ts";

/** What an epoch was like. */
export interface Epoch {
  readonly epoch: number;
  /** Mean over the batches. */
  readonly loss: number;
  /** Steps of the optimizer. */
  readonly steps: number;
  readonly seconds: number;
  /** Figures on the samples to evaluate by. */
  readonly evaluations: readonly Evaluated[];
}

export interface Evaluated {
  /** Steps of the training until then: 0 for the weights that it began with. */
  readonly step: number;
  /** The metric, or the loss where there is none. */
  readonly figure: number;
}

/** What a training came to, besides the weights. */
export interface TrainingSummary {
  /** Samples that were trained on; undefined where a stream does not say how many it has. */
  readonly samples: number | undefined;
  /** What the weights were chosen by; undefined where nothing was kept apart to choose by. */
  readonly chosen:
    | {
        /** Samples that were evaluated by, where their number is known. */
        readonly samples: number | undefined;
        /** The metric, or "loss". */
        readonly by: string;
        /** What the metric counts. */
        readonly unit: Unit;
        readonly best: Evaluated;
        /** Evaluations that there were. */
        readonly evaluations: number;
      }
    | undefined;
  /** The decay of the moving average that the weights are; undefined where they are those of a step. */
  readonly average: number | undefined;
}
