/** Recipe steps that passes offer to the search for a smaller model, with estimates made before a run. */
import type { Inference } from "../analysis/infer.ts";
import type { Model } from "../graph/model.ts";
import type { OptionValues } from "./pass.ts";

export interface Move {
  readonly name: string;
  readonly options: OptionValues;
  /** A recipe has at most one structure and one number format. Recovery steps come between them, one of each family; training can follow the format. */
  readonly kind: "structure" | "healing" | "numbers";
  /** Moves of one family differ only in degree. */
  readonly family: string;
  /** The estimated share of the file size that remains (default: 1). */
  readonly left?: number;
  /** For a number format: the part of `left` that does not depend on the weights: nodes, names, scales (default: 0). */
  readonly fixed?: number;
  /** For a number format: its loss relative to others of its family. A search tries one of a family first and chooses others by its result. */
  readonly loses?: number;
  /** For recovery steps: the estimated share of a loss that they recover. */
  readonly heals?: number;
  /** The estimated work, in runs of the original on one sample. */
  readonly runs: number;
  /** Whether layers fall back to less lossy forms if the result misses the goal. */
  readonly spares?: boolean;
  /** The bits of each layer are chosen for a file of this many bytes. */
  readonly bytes?: number;
  /** For a number format: whether a recovery step that trains can follow. */
  readonly isTrainable?: boolean;
  /** Whether the result is useless without training. */
  readonly needsTraining?: boolean;
  /** For recovery steps and number formats: whether they train on all training samples, so that a search tries them after cheaper ones. */
  readonly trains?: boolean;
}

export interface MovesRequest {
  readonly model: Model;
  readonly inference: Inference;
  /** The number of samples for calibration and training; 0 if there are none. */
  readonly samples: { readonly calibrate: number; readonly train: number };
  readonly hasLabels: boolean;
  readonly bytes?: number | undefined;
  /** The compressed size decides, so formats that are only smaller after gzip or brotli are candidates. */
  readonly forDownload?: boolean;
  /** The target runtimes; empty: all. */
  readonly target: readonly string[];
}

export type Moves = (request: MovesRequest) => readonly Move[];
