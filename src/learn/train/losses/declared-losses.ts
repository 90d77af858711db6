/** Declares the losses that text can name, each with its settings and a description for the help. */
import * as v from "valibot";
import type { Loss } from "../loss.ts";
import { binaryCrossEntropy, crossEntropy } from "./cross-entropy.ts";
import { cosineDistance, huber, meanAbsoluteError, meanSquaredError } from "./numbers.ts";

const commonSettings = { output: v.optional(v.string()), label: v.optional(v.string()) };
export const numberSetting = v.optional(v.pipe(v.string(), v.toNumber()));

/** A loss that text can name. `Extra` are arguments of `make` in addition to the settings, such as teachers. */
export interface DeclaredLoss<Extra extends readonly unknown[] = []> {
  readonly name: string;
  /** Description for the help. For losses with a teacher, it has at most 52 characters, so that the line fits. */
  readonly meaning: string;
  /** The weight if the text gives none (1). */
  readonly weight?: number | undefined;
  readonly settings: readonly string[];
  /** @throws ValiError if the settings, as text, are invalid. */
  make(settings: unknown, ...extra: Extra): Loss;
}

interface LossDefinition<Entries extends v.ObjectEntries, Extra extends readonly unknown[]>
  extends Pick<DeclaredLoss, "name" | "meaning" | "weight"> {
  readonly settings: Entries;
  make(settings: v.InferOutput<v.StrictObjectSchema<Entries, undefined>>, ...extra: Extra): Loss;
}

export function declareLoss<const Entries extends v.ObjectEntries, Extra extends readonly unknown[] = []>(
  definition: LossDefinition<Entries, Extra>,
): DeclaredLoss<Extra> {
  const schema = v.strictObject(definition.settings);
  return {
    ...definition,
    settings: Object.keys(definition.settings),
    make: (settings, ...extra) => definition.make(v.parse(schema, settings), ...extra),
  };
}

export const losses: readonly DeclaredLoss[] = [
  declareLoss({
    name: "cross-entropy",
    meaning:
      "class labels, or a probability for each class; smoothing=0.1 is label smoothing; from=logits, probabilities or log-probabilities if the graph does not show which",
    settings: {
      ...commonSettings,
      smoothing: numberSetting,
      from: v.optional(v.picklist(["logits", "probabilities", "log-probabilities"])),
    },
    make: crossEntropy,
  }),
  declareLoss({
    name: "binary",
    meaning: "binary labels, one for each logit",
    settings: commonSettings,
    make: binaryCrossEntropy,
  }),
  declareLoss({ name: "mse", meaning: "numbers, squared error", settings: commonSettings, make: meanSquaredError }),
  declareLoss({ name: "mae", meaning: "numbers, absolute error", settings: commonSettings, make: meanAbsoluteError }),
  declareLoss({
    name: "huber",
    meaning: "numbers, squared error up to delta=1, absolute error beyond",
    settings: { ...commonSettings, delta: numberSetting },
    make: huber,
  }),
  declareLoss({ name: "cosine", meaning: "vectors, cosine distance", settings: commonSettings, make: cosineDistance }),
];

export const lossNames: readonly string[] = losses.map(({ name }) => name);
