/** Schemas of job inputs, because any program that reaches the queue's server can add jobs. */
import * as v from "valibot";
import { countOption } from "#pass";
import { purposes } from "../../../judge/measure/objective.ts";
import { targetNames } from "../../../runtime/run/run-target.ts";
import { seedSchema } from "../command.ts";
import { dataRequestSchema } from "../flags/data.ts";
import { metricNames } from "../flags/metrics.ts";

const positiveSchema = v.pipe(v.number(), v.gtValue(0));
const listSchema = <S extends v.GenericSchema>(entry: S) => v.pipe(v.array(entry), v.readonly());

const sharedSchema = v.object({
  /** Path of the model. In a queue, all paths are relative to the store. */
  model: v.string(),
  resumeFolder: v.string(),
  data: dataRequestSchema,
  seed: seedSchema,
});

const searchSchema = v.object({
  ...sharedSchema.entries,
  metric: v.picklist(metricNames),
  output: v.optional(v.string()),
  targets: listSchema(v.picklist(targetNames)),
  goal: v.object({ maxDrop: v.optional(v.pipe(v.number(), v.minValue(0))), strict: v.boolean() }),
  force: v.boolean(),
  search: v.object({
    minutes: v.optional(positiveSchema),
    steps: v.optional(countOption),
    purpose: v.optional(v.picklist(purposes)),
    targetSize: v.optional(positiveSchema),
    faster: v.optional(positiveSchema),
    minSpeed: v.optional(positiveSchema),
    techniques: v.optional(listSchema(v.string())),
    front: v.optional(v.boolean()),
  }),
});

export const inputSchemas = {
  combination: v.object({ ...searchSchema.entries, combination: v.string() }),
  /** Text of the recipe, in YAML or JSON. */
  recipe: v.object({ ...searchSchema.entries, recipe: v.string() }),
};

/** Fields of an input that each machine adds, and that a job in the queue does not contain. */
interface LocalFields {
  /** Folder that contains all files of the job, and no links. */
  readonly store?: string | undefined;
}

type Input<S extends v.GenericSchema> = Readonly<v.InferOutput<S>> & LocalFields;

/** Fields of the inputs of the jobs. */
export type SharedInput = Input<typeof sharedSchema>;
export type SearchInput = Input<typeof searchSchema>;
export type CombinationInput = Input<typeof inputSchemas.combination>;
export type RecipeInput = Input<typeof inputSchemas.recipe>;

export interface JobRequest<I extends SharedInput = SharedInput> {
  /** Name of the job's module in cli/jobs, and of its schema in `inputSchemas`. */
  readonly kind: string;
  /** Name in messages, such as "prune 40 % + int8". */
  readonly name: string;
  readonly input: I;
}
