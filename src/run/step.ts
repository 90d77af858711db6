/** One step of a run: a pass with its options, and how it is run on a model. */
import * as v from "valibot";
import { memory } from "../data/index.ts";
import { trainedKey } from "../data/trained-on.ts";
import type { Metric, Task } from "../evaluate/index.ts";
import type { Model } from "../graph/model.ts";
import { assertValid, verify } from "../graph/verify.ts";
import {
  type AnyPass,
  type CalibrationData,
  type Context,
  type Learnt,
  noLongerThere,
  type OptionValues,
  type Outcome,
} from "../passes/index.ts";
import { openModules } from "../passes/modules.ts";
import { namesAt } from "../passes/schema.ts";
import { zeros } from "../tensor/dense.ts";
import type { TrainOutcome } from "../train/index.ts";

export type StepOutcome = Outcome & Partial<TrainOutcome>;

export function trains(pass: AnyPass): boolean {
  return pass.data === "train";
}

/** Options that the run fills in: no recipe gives them. */
export const filledIn: readonly string[] = ["data", "metric", "checkpoint", "resume"];

/** The samples that a step is given: a pass that calibrates is given some where its options need them. */
export function partFor(pass: AnyPass, options: OptionValues): "train" | "calibrate" | undefined {
  const { data } = pass;
  if (data === undefined || data === "train") return data;
  const complete = completeOptions(pass, options);
  return wantsSamples(data, complete) ? "calibrate" : undefined;
}

/** Whether a pass that calibrates is given samples, where there are any. */
export const wantsSamples = (data: CalibrationData, options: OptionValues): boolean =>
  data.when(options) !== undefined || data.helps?.(options) === true;

/** A step's options with the pass's defaults filled in, without what a recipe cannot give. */
export function completeOptions(pass: AnyPass, options: OptionValues): OptionValues {
  const result = v.safeParse(pass.options, { ...options, ...standIns(pass) });
  const complete = result.success ? result.output : options;
  return Object.fromEntries(
    Object.entries(complete as object).filter(([key, value]) => value !== undefined && !filledIn.includes(key)),
  );
}

/** Options that the run fills in, so that the rest can be checked by the pass's whole schema. */
export function standIns({ data }: AnyPass): OptionValues {
  return data === undefined ? {} : { data: noSamples };
}

const noSamples = memory("the run's data", { label: zeros("int64", [0]) });

/** The samples that a step may be given, and the metric that may choose weights. */
export type StepParts = Pick<Task, "train" | "calibrate" | "trained"> & Partial<Pick<Task, "metric">>;

/** Weights are chosen by the metric of the result, if it needs labels. */
export function choosingMetric(
  pass: AnyPass,
  { validation }: OptionValues,
  metric: Metric | undefined,
): Metric | undefined {
  const chooses = validation !== undefined && namesAt(pass.options).includes("metric");
  return chooses && metric?.truth !== "original" ? metric : undefined;
}

/**
 * Runs a step's pass on a model, in place, with its part of the samples.
 * @throws PithError whatever the pass throws, and an internal fault if the model it leaves is not valid, or has other inputs or outputs.
 */
export async function runStep(
  pass: AnyPass,
  model: Model,
  options: OptionValues,
  parts: StepParts,
  context: Context,
): Promise<StepOutcome> {
  const opened = await openModules(pass.id, pass.options, options);
  const part = partFor(pass, opened);
  const data = part === undefined ? undefined : parts[part];
  const metric = choosingMetric(pass, options, parts.metric);
  const given = { ...opened, ...(data === undefined ? {} : { data }), ...(metric === undefined ? {} : { metric }) };
  // An operator that the specification does not have is no fault of the pass.
  const known = verify(model);
  const before = portsOf(model);
  const outcome: StepOutcome = await Reflect.apply(pass, undefined, [model, given, context]);
  if (part === "train" && parts.trained !== undefined) model.header.metadata.set(trainedKey, parts.trained);
  assertValid(model, known);
  requirePorts(pass, before, portsOf(model), outcome);
  return { ...outcome, learnt: outcome.learnt ?? learntOf(outcome, given) };
}

type Ports = readonly (readonly string[])[];

const portsOf = ({ graph: { feeds, outputs } }: Model): Ports =>
  [feeds, outputs].map((values) => values.map(({ name }) => name));

/** Callers use inputs and outputs by name: a pass that renames one is wrong, and one that removes one has to say so. */
function requirePorts({ id }: AnyPass, before: Ports, after: Ports, { changes }: Outcome): void {
  const gone = new Set(changes.flatMap(({ at, kind }) => (kind === noLongerThere ? [at] : [])));
  const [was, is] = [before, after].map((ports) =>
    ports.map((names) => names.filter((name) => !gone.has(name)).join(", ")).join(" → "),
  );
  if (was !== is) throw new Error(`${id} changed the model's inputs and outputs from ${was} to ${is}.`);
}

/** Of a training. Validation samples of other data are none of those that it was given. */
function learntOf({ training }: StepOutcome, { validation }: OptionValues): Learnt | undefined {
  if (training === undefined) return undefined;
  return { fitted: training.samples, checked: typeof validation === "number" ? training.chosen?.samples : undefined };
}
