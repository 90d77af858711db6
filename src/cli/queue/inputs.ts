/**
 * The inputs of the jobs that other processes and machines do, as schemas. A worker checks each job of a queue against them: any program that
 * reaches the server can put jobs there.
 */
import * as v from "valibot";
import { targetNames } from "../../evaluate/run-target.ts";
import { countOption } from "../../passes/options.ts";
import { purposes } from "../../recipe/objective.ts";
import { sensitivityKinds } from "../../report/sensitivity.ts";
import { dataRequestSchema } from "../data.ts";
import { metricNames } from "../metrics.ts";

const positive = v.pipe(v.number(), v.gtValue(0));
const list = <S extends v.GenericSchema>(entry: S) => v.pipe(v.array(entry), v.readonly());

const shared = v.object({
  /** Path of the model. In a job of a queue all paths are relative to the store. */
  model: v.string(),
  /** The folder of finished work, in which the job leaves what it computes. */
  resumeFolder: v.string(),
  data: dataRequestSchema,
  seed: v.pipe(v.number(), v.integer(), v.minValue(0)),
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

/** `timed`: whether the processor time of each setting is measured. */
const sweep = v.object({ ...shared.entries, ...measured, timed: v.boolean() });

const measurement = v.object({
  unit: v.object({ kind: v.picklist(sensitivityKinds), layers: list(v.string()), bytes: v.number() }),
  setting: v.number(),
});

/** The schema of each kind of job. */
export const inputSchemas = {
  combination: v.object({ ...search.entries, combination: v.string() }),
  measurements: v.object({ ...sweep.entries, measurements: list(measurement) }),
  /** `recipe` is its text, in YAML or JSON. */
  recipe: v.object({ ...search.entries, recipe: v.string() }),
};

/** Fields that this machine adds: a job of a queue does not have them. */
interface LocalFields {
  /** Address of the bucket with which `resumeFolder` is shared. */
  readonly bucket?: string | undefined;
  /** The folder that holds all files of the job, of which none is a link. */
  readonly store?: string | undefined;
}

type Input<S extends v.GenericSchema> = Readonly<v.InferOutput<S>> & LocalFields;

/** What every kind of job is given. Models and data are files under the hash of their content where they are in a store of several machines. */
export type SharedInput = Input<typeof shared>;
export type SearchInput = Input<typeof search>;
export type SweepInput = Input<typeof sweep>;
export type CombinationInput = Input<typeof inputSchemas.combination>;
export type MeasurementsInput = Input<typeof inputSchemas.measurements>;
export type RecipeInput = Input<typeof inputSchemas.recipe>;

/** A job as plain data. */
export interface Work<I extends SharedInput = SharedInput> {
  /** The name of the module in cli/jobs that does the job, and of its schema in `inputSchemas`. */
  readonly kind: string;
  /** What messages call it, beside its model: "prune 40 % + int8". */
  readonly name: string;
  readonly input: I;
}
