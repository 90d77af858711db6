/** All losses over student and teacher: a line for each. With those of training they are the names that text can say. */
import * as v from "valibot";
import type { Loss } from "../../train/loss.ts";
import { type LossTable, type NamedLoss, losses as ofTraining } from "../../train/losses/parse.ts";
import { dist, dkd, gkd, hinton, logitMse, logitStd } from "./answers.ts";
import {
  attentionTransfer,
  contrastive,
  correlation,
  correlationCongruence,
  embedding,
  fitnets,
  fsp,
  nst,
  outputMse,
  pairwiseSimilarity,
  pkt,
  rkdAngle,
  rkdDistance,
  similarityPreserving,
  vid,
} from "./features.ts";
import type { Imitation } from "./imitation.ts";
import { imitate, type Sources } from "./read.ts";
import {
  attentionCe,
  attentionKl,
  attentionMse,
  hiddenCosine,
  hiddenMse,
  minilm,
  minilmV2,
  pkd,
} from "./transformers.ts";

export const imitations: readonly Imitation[] = [
  hinton,
  gkd,
  logitMse,
  logitStd,
  dkd,
  dist,
  outputMse,
  fitnets,
  attentionTransfer,
  similarityPreserving,
  rkdDistance,
  rkdAngle,
  pkt,
  correlation,
  correlationCongruence,
  vid,
  nst,
  fsp,
  contrastive,
  hiddenMse,
  hiddenCosine,
  pkd,
  attentionMse,
  attentionKl,
  attentionCe,
  minilm,
  minilmV2,
  pairwiseSimilarity,
  embedding,
];

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
