/** Describes recipe steps that passes offer to the search for a smaller model, with estimates made before any run. */

import type { Model } from "#graph";
import type { Inference } from "../analysis/infer.ts";
import type { OptionValues } from "./pass.ts";

export interface Move {
  readonly name: string;
  readonly options: OptionValues;
  /** The kind of step: a recipe has at most one "structure" and one "numbers" step (number format). */
  readonly kind: "structure" | "healing" | "numbers";
  /** Moves of one family differ only in strength. */
  readonly family: string;
  /** The estimated share of the file size that remains; 1 by default. */
  readonly sizeShare?: number;
  /** For a number format: the part of `sizeShare` that does not depend on the weights; 0 by default. */
  readonly fixedShare?: number;
  /** For a number format: its loss relative to others of its family. */
  readonly relativeLoss?: number;
  /** For recovery steps: the estimated share of the loss that they recover. */
  readonly recovery?: number;
  /** The estimated work, in runs of the original model on one sample. */
  readonly runs: number;
  /** Whether individual layers fall back to less lossy formats if the result misses the goal. */
  readonly fallsBack?: boolean;
  /** The file size in bytes for which the bits of each layer are chosen. */
  readonly bytes?: number;
  /** For a number format: whether a recovery step that trains can follow. */
  readonly isTrainable?: boolean;
  /** Whether the result is useless without training. */
  readonly needsTraining?: boolean;
  /** For recovery steps and number formats: whether they train on training samples. */
  readonly hasTraining?: boolean;
}

export interface MovesRequest {
  readonly model: Model;
  readonly inference: Inference;
  /** The number of samples for calibration and for training. */
  readonly samples: { readonly calibrate: number; readonly train: number };
  readonly bytes?: number | undefined;
  /** Whether the compressed size decides. */
  readonly forDownload?: boolean;
  /** The target runtimes. An empty list means all. */
  readonly target: readonly string[];
}

/** Returns the moves of a pass, the most promising number formats first. */
export type Moves = (request: MovesRequest) => readonly Move[] | Promise<readonly Move[]>;
