/** The state of a training, which can be stored and restored bit by bit: arrays, counters and the curve of the loss. */
import type { Batch, Dense, Model, Unit } from "#ir";
import type { Context } from "#pass";
import { removeState } from "./checkpoint.ts";
import { denseOf, type Floats, requireFloats } from "./floats.ts";
import { createAccumulator } from "./optimizer.ts";
import type { Plan } from "./plan.ts";
import { type StateArray, type Step, stepOf } from "./step.ts";

export interface TrainingState {
  readonly step: Step;
  readonly accumulator: ReturnType<typeof createAccumulator>;
  /** Current weights and states in the order of `Step.store`. */
  readonly weights: readonly Floats[];
}

export async function startTraining(
  model: Model,
  example: Batch,
  plan: Plan,
  context: Context,
): Promise<TrainingState> {
  const { optimizer, clip, accumulate } = plan;
  // The graph can add momentum only to gradients that are neither accumulated nor clipped.
  const carry = clip === undefined && accumulate === 1 ? optimizer.carry : undefined;
  const step = await stepOf(model, example, { ...plan, carry }, context);
  const { parameters, states } = step;
  const arrays = [...parameters, ...states].map(({ values }) => values);
  return { step, accumulator: createAccumulator(parameters, accumulate), weights: arrays };
}

/** Returns the stored values that a step changes, in the order of `Step.store`. */
export function changedValues({ parameters, states }: Step): readonly StateArray[] {
  return [...parameters, ...states];
}

/** Returns all arrays of the state except parameters and states that the model itself stores. */
export function stateOf({ step }: TrainingState, plan: Plan, model: Model): Batch {
  const state: Record<string, Dense> = { ...plan.optimizer.state(step.parameters) };
  for (const { name, values } of changedValues(step)) {
    const storedType = model.graph.value(name)?.tensor?.type;
    if (storedType !== "float32" && storedType !== "float64") state[`${name}/${masterKey}`] = denseOf(values.slice());
  }
  return state;
}

/** Key suffix of the float32 copies of 16-bit parameters. */
const masterKey = "master";

/** Restores the arrays of `stateOf` and the parameters. @throws PithError E_DATA if the checkpoint belongs to other parameters. */
export async function restoreTraining(training: TrainingState, plan: Plan, stored: Model, state: Batch): Promise<void> {
  const { step } = training;
  await restoreArrays(changedValues(step), stored, state);
  plan.optimizer.restore(step.parameters, state);
}

const checkpointOwner = "The training in the checkpoint";

export async function restoreArrays(arrays: readonly StateArray[], stored: Model, state: Batch = {}): Promise<void> {
  for (const { name, values } of arrays) {
    const dense = state[`${name}/${masterKey}`] ?? (await stored.graph.value(name)?.tensor?.read());
    values.set(requireFloats(dense, values.length, checkpointOwner, name));
  }
}

/** Returns a copy of the model with the current weights, or with `weights`, and without checkpoint state. */
export function withWeights(model: Model, { step }: TrainingState, weights?: readonly Floats[]): Model {
  const copy = model.clone();
  removeState(copy);
  step.store(copy, weights);
  return copy;
}

export interface Counters {
  epoch: number;
  batches: number;
  steps: number;
  sum: number;
  seconds: number;
  evaluations: EvaluationFigure[];
  history: Epoch[];
  curve: Curve;
  best: EvaluationFigure | undefined;
  /** Number of evaluations since the best one. */
  worse: number;
}

export function startCounters(): Counters {
  return { ...startEpoch(1), steps: 0, history: [], curve: startCurve(), best: undefined, worse: 0 };
}

const startEpoch = (epoch: number) => ({ epoch, batches: 0, sum: 0, seconds: 0, evaluations: [] });

export function currentEpoch(counters: Counters, accumulate: number): Epoch {
  const { epoch, sum, batches, seconds, evaluations } = counters;
  return { epoch, loss: sum / batches, steps: Math.floor(batches / accumulate), seconds, evaluations };
}

export function endEpoch(counters: Counters, accumulate: number): Epoch {
  const completedEpoch = currentEpoch(counters, accumulate);
  counters.history.push(completedEpoch);
  Object.assign(counters, startEpoch(counters.epoch + 1));
  return completedEpoch;
}

export function summaryOf({ best, history, evaluations }: Counters, plan: Plan): TrainingSummary {
  const { data, validation } = plan;
  if (validation === undefined || best === undefined) return { samples: data.count, chosen: undefined };
  const count = history.reduce((sum, epoch) => sum + epoch.evaluations.length, evaluations.length);
  const { name = "loss", unit = "" } = validation.metric ?? {};
  return { samples: data.count, chosen: { samples: validation.data.count, by: name, unit, best, evaluations: count } };
}

export interface Epoch {
  readonly epoch: number;
  readonly loss: number;
  readonly steps: number;
  readonly seconds: number;
  readonly evaluations: readonly EvaluationFigure[];
}

export interface EvaluationFigure {
  /** Number of completed steps: 0 for the initial weights. */
  readonly step: number;
  /** The metric value, or the loss without a metric. */
  readonly figure: number;
}

export interface TrainingSummary {
  readonly samples: number | undefined;
  /** The evaluations that selected the weights; undefined without evaluations. */
  readonly chosen:
    | {
        readonly samples: number | undefined;
        /** Name of the metric, or "loss". */
        readonly by: string;
        readonly unit: Unit;
        readonly best: EvaluationFigure;
        readonly evaluations: number;
      }
    | undefined;
}

/** Mean losses over intervals with the same number of steps; plain data, stored in checkpoints. */
export interface Curve {
  /** Number of steps before the first interval. */
  readonly first: number;
  /** Number of steps per interval. */
  every: number;
  losses: number[];
  sum: number;
  count: number;
}

/** Number of intervals at which pairs of intervals are merged. */
const maxIntervals = 200;

export const startCurve = (): Curve => ({ first: 0, every: 1, losses: [], sum: 0, count: 0 });

export function addLoss(curve: Curve, loss: number): void {
  curve.sum += loss;
  curve.count++;
  if (curve.count < curve.every) return;
  curve.losses.push(curve.sum / curve.count);
  [curve.sum, curve.count] = [0, 0];
  if (curve.losses.length < maxIntervals) return;
  const { losses } = curve;
  curve.losses = Array.from(
    { length: maxIntervals / 2 },
    (_, index) => ((losses[2 * index] ?? 0) + (losses[2 * index + 1] ?? 0)) / 2,
  );
  curve.every *= 2;
}
