/** What passes offer to a search for a smaller model: steps of a recipe, with what is known of each before anything is run. */
import type { Inference } from "../analysis/infer.ts";
import { allLayers } from "../analysis/layers.ts";
import { allTensors } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { OptionValues } from "./pass.ts";

export interface Move {
  /** As reports call it: "channels −30 %". */
  readonly name: string;
  /** Of its pass. */
  readonly options: OptionValues;
  /** A recipe has at most one of each kind, in this order: pruning or low rank, then recovery or training, then a number format. */
  readonly kind: "structure" | "healing" | "numbers";
  /** Moves that do the same, further or less far. */
  readonly family: string;
  /** The share of the file's bytes that is left, about (1). */
  readonly left?: number;
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

/** How many layers there are, and the share of a file's bytes that their weights have. */
export function weightShare({ model, inference }: Pick<MovesRequest, "model" | "inference">): {
  readonly layers: number;
  readonly share: number;
} {
  const bytes = (tensors: Iterable<{ readonly bytes: number }>): number =>
    [...tensors].reduce((sum, tensor) => sum + tensor.bytes, 0);
  const all = new Set(allTensors(model.graph));
  const weights = new Set(allLayers(model, inference).flatMap(({ weight }) => weight.tensor ?? []));
  return { layers: weights.size, share: bytes(weights) / Math.max(1, bytes(all)) };
}
