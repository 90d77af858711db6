/** What passes offer to a search for a smaller model: steps of a recipe, with what is known of each before anything is run. */
import type { Inference } from "../analysis/infer.ts";
import type { Model } from "../graph/model.ts";
import type { OptionValues } from "./pass.ts";

export interface Move {
  /** As reports call it: "channels −30 %". */
  readonly name: string;
  /** Of its pass. */
  readonly options: OptionValues;
  /** A recipe has at most one structure and one number format. Healing stands between them, one of each family; training may follow the format. */
  readonly kind: "structure" | "healing" | "numbers";
  /** Moves that do the same, further or less far. */
  readonly family: string;
  /** The share of the file's bytes that is left, about (1). */
  readonly left?: number;
  /** Of a number format: the part of `left` that is the same however few weights there are: nodes, names, scales (0). */
  readonly fixed?: number;
  /** Of healing: the share of a loss that it takes back, about. */
  readonly heals?: number;
  /** Work, about, as so many runs of the original on one sample. */
  readonly runs: number;
  /** Where it misses the goal, layers are left in milder forms. */
  readonly spares?: boolean;
  /** Each layer has as many bits as a file of so many bytes has room for. */
  readonly bytes?: number;
  /** Of a number format: what it stores can be trained further, by healing that `trains`. */
  readonly isTrainable?: boolean;
  /** It is of no use unless it is trained. */
  readonly needsTraining?: boolean;
  readonly trains?: boolean;
}

export interface MovesRequest {
  readonly model: Model;
  readonly inference: Inference;
  /** Samples to calibrate on and to train on: 0 where there are none. */
  readonly samples: { readonly calibrate: number; readonly train: number };
  readonly hasLabels: boolean;
  /** Of the result, at most, where that is looked for. */
  readonly bytes?: number | undefined;
  /** Runtimes that the result is for; none: all. */
  readonly target: readonly string[];
}

export type Moves = (request: MovesRequest) => readonly Move[];
