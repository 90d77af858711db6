/** All losses over student and teacher. With those of training they are the names that text can say. */
import * as v from "valibot";
import type { Loss } from "../../train/loss.ts";
import { type LossTable, type NamedLoss, losses as ofTraining } from "../../train/losses/parse.ts";
import { ofAnswers } from "./answers.ts";
import { ofFeatures } from "./features.ts";
import type { Imitation } from "./imitation.ts";
import { imitate, type Sources } from "./read.ts";
import { ofTransformers } from "./transformers.ts";

export const imitations: readonly Imitation[] = [...ofAnswers, ...ofFeatures, ...ofTransformers];

const about = v.object({ student: v.optional(v.string()), teacher: v.optional(v.string()) });

/** The losses of training, and those against these teachers. */
export function lossesAgainst(sources: Sources): LossTable {
  const entry = (declared: Imitation): NamedLoss => ({
    settings: [...declared.settings, ...Object.keys(about.entries)],
    weight: declared.weight,
    make: (given): Loss => imitate(declared, declared.with(given), v.parse(about, given), sources),
  });
  return { ...ofTraining, ...Object.fromEntries(imitations.map((declared) => [declared.name, entry(declared)])) };
}
