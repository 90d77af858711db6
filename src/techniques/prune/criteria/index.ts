import { methodTable } from "../../../core/pass/method-table.ts";
import { activation } from "./activation.ts";
import { bnScale } from "./bn-scale.ts";
import { type Importance, isChannelEvidence } from "./criterion.ts";
import { fisher } from "./fisher.ts";
import { fpgm } from "./fpgm.ts";
import { movement } from "./movement.ts";
import { snip } from "./snip.ts";
import { taylor } from "./taylor.ts";
import { wanda } from "./wanda.ts";

export const magnitude: Importance & { readonly summary: string } = {
  id: "magnitude",
  summary: "|w|",
  scores: ({ values }) => values,
};

const random = {
  id: "random",
  summary: "random scores: the baseline for all other criteria",
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

export const ranksWeights = ({ scores, evidence }: Importance): boolean =>
  scores !== undefined && !isChannelEvidence(evidence);

/** The error for a criterion that ranks only channels, if individual weights are pruned. */
export const ofChannelsAlone = (id: string): string =>
  `"${id}" ranks channels, not individual weights: it requires \`structured\``;

/** Whether a criterion, by name or as a method, needs gradients of the loss, and so labels. */
export function looksAtGradients(given: unknown): boolean {
  const { evidence } = criteria.known(given) ?? {};
  return evidence !== undefined && "of" in evidence && evidence.of !== "activations";
}
