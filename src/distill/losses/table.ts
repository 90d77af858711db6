/** The losses that a text can name. */
import * as v from "valibot";
import type { Loss } from "../../train/loss.ts";
import { type LossTable, type NamedLoss, losses as ofTraining } from "../../train/losses/parse.ts";
import { ofAnswers } from "./answers.ts";
import { ofFeatures } from "./features.ts";
import type { Imitation } from "./imitation.ts";
import { imitate, type LossInputs } from "./read.ts";
import { ofTransformers } from "./transformers.ts";

export const imitations: readonly Imitation[] = [...ofAnswers, ...ofFeatures, ...ofTransformers];

const about = v.object({ student: v.optional(v.string()), teacher: v.optional(v.string()) });

/** Losses of training, and of imitating these teachers. */
export function lossesAgainst(inputs: LossInputs): LossTable {
  const entry = (declared: Imitation): NamedLoss => ({
    settings: [...declared.settings, ...Object.keys(about.entries)],
    weight: declared.weight,
    make: (given): Loss => imitate(declared, declared.with(given), { ...inputs, ...v.parse(about, given) }),
  });
  return { ...ofTraining, ...Object.fromEntries(imitations.map((declared) => [declared.name, entry(declared)])) };
}
