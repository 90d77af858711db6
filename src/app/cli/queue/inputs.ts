/** Schemas of job inputs. A worker validates each job, because any program that reaches the server can add jobs. */
import * as v from "valibot";
import { countOption } from "../../../core/pass/options.ts";
import { purposes } from "../../../judge/run/objective.ts";
import { targetNames } from "../../../runtime/run/run-target.ts";
import { sensitivityKinds } from "../../../search/sensitivity/sensitivity-record.ts";
import { seedSchema } from "../command.ts";
import { dataRequestSchema } from "../flags/data.ts";
import { metricNames } from "../flags/metrics.ts";

const positive = v.pipe(v.number(), v.gtValue(0));
const list = <S extends v.GenericSchema>(entry: S) => v.pipe(v.array(entry), v.readonly());

const shared = v.object({
  /** Path of the model. In a queue, all paths are relative to the store. */
  model: v.string(),
  resumeFolder: v.string(),
  data: dataRequestSchema,
  seed: seedSchema,
});

const measured = { metric: v.picklist(metricNames), output: v.optional(v.string()) };

const search = v.object({
  ...shared.entries,
  ...measured,
  targets: list(v.picklist(targetNames)),
  goal: v.object({ maxDrop: v.optional(v.pipe(v.number(), v.minValue(0))), strict: v.boolean() }),
  force: v.boolean(),
  search: v.object({
    minutes: v.optional(positive),
    steps: v.optional(countOption),
    purpose: v.optional(v.picklist(purposes)),
    targetSize: v.optional(positive),
    faster: v.optional(positive),
    leastSpeed: v.optional(positive),
    techniques: v.optional(list(v.string())),
    front: v.optional(v.boolean()),
  }),
});

const sweep = v.object({ ...shared.entries, ...measured, timed: v.boolean() });

const measurement = v.object({
  unit: v.object({ kind: v.picklist(sensitivityKinds), layers: list(v.string()), bytes: v.number() }),
  setting: v.number(),
});

export const inputSchemas = {
  combination: v.object({ ...search.entries, combination: v.string() }),
  measurements: v.object({ ...sweep.entries, measurements: list(measurement) }),
  /** `recipe` is its text, in YAML or JSON. */
  recipe: v.object({ ...search.entries, recipe: v.string() }),
};

/** Fields that only the local machine adds. */
interface LocalFields {
  /** Address of the bucket that shares `resumeFolder`. */
  readonly bucket?: string | undefined;
  /** The folder of all the job's files, which contains no links. */
  readonly store?: string | undefined;
}

type Input<S extends v.GenericSchema> = Readonly<v.InferOutput<S>> & LocalFields;

/** The common input. In a shared store, models and data are named by content hash. */
export type SharedInput = Input<typeof shared>;
export type SearchInput = Input<typeof search>;
export type SweepInput = Input<typeof sweep>;
export type CombinationInput = Input<typeof inputSchemas.combination>;
export type MeasurementsInput = Input<typeof inputSchemas.measurements>;
export type RecipeInput = Input<typeof inputSchemas.recipe>;

export interface Work<I extends SharedInput = SharedInput> {
  /** Name of the job's module in cli/jobs and of its schema in `inputSchemas`. */
  readonly kind: string;
  /** Name in messages, without the model: "prune 40 % + int8". */
  readonly name: string;
  readonly input: I;
}
