/** Criteria by name. */
import { methodTable } from "../../passes/method-table.ts";
import { activation } from "./activation.ts";
import { bnScale } from "./bn-scale.ts";
import { type Importance, isChannelEvidence } from "./criterion.ts";
import { fisher } from "./fisher.ts";
import { fpgm } from "./fpgm.ts";
import { movement } from "./movement.ts";
import { snip } from "./snip.ts";
import { taylor } from "./taylor.ts";
import { wanda } from "./wanda.ts";

const magnitude = {
  id: "magnitude",
  summary: "|w|",
  scores: ({ values }) => values,
} satisfies Importance;

const random = {
  id: "random",
  summary: "drawn by the seed: what any other has to be better than",
  scores: ({ values, random }) => Float64Array.from(values, () => random.uniform()),
  units: ({ count, random }) => Float64Array.from({ length: count }, () => random.uniform()),
} satisfies Importance;

const table = {
  magnitude,
  random,
  wanda,
  snip,
  movement,
  fisher,
  taylor,
  fpgm,
  "bn-scale": bnScale,
  activation,
};

export type ImportanceName = keyof typeof table;

export const criteria = methodTable<Importance, ImportanceName>(table, {
  kind: "a criterion",
  does: ["scores", "units"],
  title: "Criteria (--importance)",
});

/** Whether a criterion has scores of single weights. */
export const ranksWeights = ({ scores, evidence }: Importance): boolean =>
  scores !== undefined && !isChannelEvidence(evidence);

/** The error for a criterion of channels where single weights are pruned. */
export const ofChannelsAlone = (id: string): string =>
  `"${id}" ranks channels, not single weights: it is for \`structured\``;

/** Whether a criterion, as it is given, looks at gradients of the loss, which takes labels. */
export function looksAtGradients(given: unknown): boolean {
  const { evidence } = criteria.known(given) ?? {};
  return evidence !== undefined && "of" in evidence && evidence.of !== "activations";
}
