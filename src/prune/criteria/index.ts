/** Criteria by name. */
import * as v from "valibot";
import { methodSchema } from "../../passes/modules.ts";
import { described } from "../../passes/options.ts";
import { methodOf } from "../../passes/own-methods.ts";
import { activation } from "./activation.ts";
import { bnScale } from "./bn-scale.ts";
import type { Importance } from "./criterion.ts";
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

export const criteria = {
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
} as const satisfies Readonly<Record<string, Importance>>;

/** What a criterion has one of. */
export const does = ["scores", "units"];

export type ImportanceName = keyof typeof criteria;

const names = Object.keys(criteria) as ImportanceName[];

export const importanceOption = described(
  v.optional(methodSchema<Importance, ImportanceName>("a criterion", does, names), "magnitude"),
  "ranks weights or channels; or a module",
  {
    value: "criterion",
    meanings: {
      title: "Criteria (--importance)",
      rows: names.map((name) => [name, criteria[name].summary] as const),
    },
  },
);

/** @param given as `importanceOption` takes it, opened. */
export const criterionOf = (given: string | Importance): Importance => methodOf<Importance>(criteria, given);
