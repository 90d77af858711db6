/** The passes that a recipe may name, and how one is run as its step. */
import { distill } from "../distill/index.ts";
import type { Metric, Task } from "../evaluate/index.ts";
import { factorize, lora } from "../factorize/index.ts";
import type { Model } from "../graph/model.ts";
import { assertValid, verify } from "../graph/verify.ts";
import {
  type AnyPass,
  type Context,
  type Learnt,
  lowerFused,
  type OptionValues,
  type Outcome,
} from "../passes/index.ts";
import { namesAt } from "../passes/schema.ts";
import {
  customFromMask,
  globalUnstructured,
  identity,
  keepLayers,
  l1Unstructured,
  lnStructured,
  prune,
  randomStructured,
  randomUnstructured,
  remove,
} from "../prune/index.ts";
import { fakeQuantize, quantize } from "../quantize/index.ts";
import { recover } from "../recover/index.ts";
import { type Curve, type Epoch, reinitialize, type TrainingSummary, train } from "../train/index.ts";

export interface StepOutcome extends Outcome {
  readonly history?: readonly Epoch[];
  readonly training?: TrainingSummary;
  readonly curve?: Curve;
}

const passes: readonly AnyPass[] = [
  train,
  prune,
  quantize,
  factorize,
  lora,
  distill,
  recover,
  reinitialize,
  fakeQuantize,
  l1Unstructured,
  lnStructured,
  globalUnstructured,
  randomUnstructured,
  randomStructured,
  customFromMask,
  identity,
  remove,
  keepLayers,
  lowerFused,
];

/** Pass by the word that stands for it in a recipe. */
export const steps: ReadonlyMap<string, AnyPass> = byId(passes);

export function byId(passes: Iterable<AnyPass>): ReadonlyMap<string, AnyPass> {
  return new Map(Array.from(passes, (pass) => [pass.id, pass]));
}

export function trains(pass: AnyPass): boolean {
  return pass.data === "train";
}

/** Options that the run fills in: no recipe gives them. */
export const filledIn: readonly string[] = ["data", "metric", "checkpoint", "resume"];

export function partFor({ data }: AnyPass): "train" | "calibrate" | undefined {
  return data === undefined || data === "train" ? data : "calibrate";
}

/** Weights are chosen by the metric of the result, if it needs labels. */
function choosingMetric(pass: AnyPass, { validation }: OptionValues, metric: Metric | undefined): Metric | undefined {
  const chooses = validation !== undefined && namesAt(pass.options).includes("metric");
  return chooses && metric?.truth !== "original" ? metric : undefined;
}

/**
 * Runs a step's pass on a model, in place, with its part of the samples.
 * @throws PithError whatever the pass throws, and an internal fault if the model it leaves is not valid.
 */
export async function runStep(
  pass: AnyPass,
  model: Model,
  options: OptionValues,
  parts: Pick<Task, "train" | "calibrate"> & Partial<Pick<Task, "metric">>,
  context: Context,
): Promise<StepOutcome> {
  const part = partFor(pass);
  const data = part === undefined ? undefined : parts[part];
  const metric = choosingMetric(pass, options, parts.metric);
  const given = { ...options, ...(data === undefined ? {} : { data }), ...(metric === undefined ? {} : { metric }) };
  // An operator that the specification does not have is no fault of the pass.
  const known = verify(model);
  const outcome: StepOutcome = await Reflect.apply(pass, undefined, [model, given, context]);
  assertValid(model, known);
  return { ...outcome, learnt: outcome.learnt ?? learntOf(outcome, given) };
}

/** Of a training. Validation samples of other data are none of those that it was given. */
function learntOf({ training }: StepOutcome, { validation }: OptionValues): Learnt | undefined {
  if (training === undefined) return undefined;
  return { fitted: training.samples, checked: typeof validation === "number" ? training.chosen?.samples : undefined };
}
