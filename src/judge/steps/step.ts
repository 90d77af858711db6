/** Runs a step: passes the samples that it needs, and checks the changed model. */
import type { Dataset } from "#batches";
import { assertValid, type Model, verify } from "#ir";
import type { AnyPass, Context, Learnt, OptionValues, Outcome } from "#pass";
import { namesAt, removedPortKind } from "#pass";
import { trainedOnKey } from "../../data/sidecars/trained-on.ts";
import type { TrainOutcome } from "../../learn/train/index.ts";
import type { Metric, Task } from "../../runtime/metrics/metric.ts";
import { type ParsedStep, textHelps } from "./step-options.ts";

export type StepOutcome = Outcome & Partial<TrainOutcome>;

export type StepData = Pick<Task, "train" | "calibrate" | "text" | "trained"> & Partial<Pick<Task, "metric">>;

/** Returns the metric that selects the weights of a training; undefined if it needs no labels. */
export function selectionMetric({ pass, options }: ParsedStep, metric: Metric | undefined): Metric | undefined {
  const chooses = options.validation !== undefined && namesAt(pass.options).includes("metric");
  return chooses && metric?.truth !== "original" ? metric : undefined;
}

export const samplesOf = (step: ParsedStep, stepData: StepData): Dataset | undefined =>
  (step.split && stepData[step.split]) ?? (textHelps(step) ? stepData.text : undefined);

/** Runs a step's pass in place. @throws PithError as the pass, E_MODEL for an invalid result; Error if its ports changed. */
export async function runStep(
  step: ParsedStep,
  model: Model,
  stepData: StepData,
  context: Context,
): Promise<StepOutcome> {
  const { pass, opened } = step;
  const data = samplesOf(step, stepData);
  const metric = selectionMetric(step, stepData.metric);
  const passOptions = {
    ...opened,
    ...(data === undefined ? {} : { data }),
    ...(metric === undefined ? {} : { metric }),
  };
  // Violations that the model had before are not caused by the pass.
  const violations = verify(model);
  const before = portsOf(model);
  const outcome: StepOutcome = await Reflect.apply(pass, undefined, [model, passOptions, context]);
  if (step.split === "train" && stepData.trained !== undefined)
    model.header.metadata.set(trainedOnKey, stepData.trained);
  assertValid(model, violations);
  requirePorts(pass, before, portsOf(model), outcome);
  return { ...outcome, learnt: outcome.learnt ?? countLearnt(outcome, passOptions) };
}

type Ports = readonly (readonly string[])[];

const portsOf = ({ graph: { feeds, outputs } }: Model): Ports =>
  [feeds, outputs].map((values) => values.map(({ name }) => name));

/** Callers use the names of inputs and outputs, so a pass can only remove one that it reports. */
function requirePorts({ id }: AnyPass, before: Ports, after: Ports, { changes }: Outcome): void {
  const removedPorts = new Set(changes.flatMap(({ at, kind }) => (kind === removedPortKind ? [at] : [])));
  const [was, is] = [before, after].map((ports) =>
    ports.map((names) => names.filter((name) => !removedPorts.has(name)).join(", ")).join(" → "),
  );
  if (was !== is) throw new Error(`${id} changed the model's inputs and outputs from ${was} to ${is}.`);
}

/** Validation samples count only if they are a share of the training samples. */
function countLearnt({ training }: StepOutcome, { validation }: OptionValues): Learnt | undefined {
  if (training === undefined) return undefined;
  return { fitted: training.samples, checked: typeof validation === "number" ? training.chosen?.samples : undefined };
}
