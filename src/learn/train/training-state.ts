/** The state of a training, which can be stored and restored bit by bit. */
import { type Masked, maskedAt } from "../../core/analysis/masks.ts";
import { PithError } from "../../core/errors.ts";
import type { Unit } from "../../core/estimate.ts";
import type { Model } from "../../core/graph/model.ts";
import type { Context } from "../../core/pass/pass.ts";
import { dimsText } from "../../core/tensor/dims.ts";
import type { Batch, Dense } from "../../core/tensor/types.ts";
import { takeState } from "./checkpoint.ts";
import { type Curve, startCurve } from "./curve.ts";
import { denseOf, type Floats, floatsOf } from "./floats.ts";
import { type GradualPruning, gradualPruning, prunedWeights } from "./gradual.ts";
import type { Gradual } from "./gradual-options.ts";
import type { Plan } from "./plan.ts";
import { type State, type Step, stepOf } from "./step.ts";
import { type Accumulator, type Average, accumulator, movingAverage } from "./updates.ts";

export interface TrainingState {
  readonly step: Step;
  readonly accumulator: Accumulator;
  readonly average: Average | undefined;
  readonly pruning: GradualPruning | undefined;
  readonly shrink: ((rate: number, progress: number) => void) | undefined;
  /** Current weights, states and masks in the order of `Step.store`; averages if there are any. */
  readonly weights: readonly Floats[];
}

export async function startTraining(
  model: Model,
  example: Batch,
  plan: Plan,
  context: Context,
): Promise<TrainingState> {
  const { optimizer, clip, accumulate, gradual } = plan;
  // The graph can add momentum only to gradients that are neither accumulated nor clipped; mask gradients exclude it, too.
  const carry = clip === undefined && accumulate === 1 && gradual === undefined ? optimizer.carry : undefined;
  const pairs = gradual === undefined ? [] : pairsOf(model, { ...plan, gradual });
  const step = await stepOf(model, example, { ...plan, carry, masks: pairs.map(({ mask }) => mask.name) }, context);
  const { parameters, states, masks } = step;
  const arrays = [...parameters, ...states].map(({ values }) => values);
  const average = plan.average === undefined ? undefined : movingAverage(arrays, plan.average);
  const fed = pairs.flatMap((pair) => {
    const weight = parameters.find(({ name }) => name === pair.parameter.name);
    const mask = masks.find(({ name }) => name === pair.mask.name);
    return weight === undefined || mask === undefined ? [] : [{ weight, mask }];
  });
  return {
    step,
    accumulator: accumulator([...parameters, ...masks], accumulate),
    average,
    pruning: gradual === undefined ? undefined : gradualPruning(gradual, fed),
    shrink: await shrinkerOf(model, parameters, plan),
    weights: [...(average?.values ?? arrays), ...masks.map(({ values }) => values)],
  };
}

async function shrinkerOf(
  model: Model,
  parameters: Step["parameters"],
  { groupLasso: settings }: Plan,
): Promise<TrainingState["shrink"]> {
  if (settings === undefined) return undefined;
  // Loaded on demand: code that traces channels.
  const { groupLasso } = await import("./group-lasso.ts");
  return groupLasso(model, parameters, settings);
}

function pairsOf(model: Model, plan: Plan & { readonly gradual: Gradual }): readonly Masked[] {
  return prunedWeights(model, plan).weights.flatMap((weight) => maskedAt(weight) ?? []);
}

/** Returns the stored values that a step changes, in the order of `Step.store`. */
export function changingIn({ parameters, states, masks }: Step): readonly State[] {
  return [...parameters, ...states, ...masks];
}

export function ownWeights({ step, weights }: TrainingState): ReadonlyMap<string, Float32Array> {
  return new Map(
    changingIn(step).flatMap(({ name }, at) =>
      step.own.has(name) ? [[name, Float32Array.from(weights[at] ?? [])] as const] : [],
    ),
  );
}

/** Returns all arrays of the state except parameters and states that the model itself stores. */
export function stateOf({ step, average, pruning }: TrainingState, plan: Plan, model: Model): Batch {
  const state: Record<string, Dense> = { ...plan.optimizer.state(step.parameters), ...pruning?.state() };
  changingIn(step).forEach(({ name, values }, at) => {
    const stored = model.graph.value(name)?.tensor?.type;
    if (stored !== "float32" && stored !== "float64") state[`${name}/${master}`] = denseOf(values.slice());
    const mean = average?.values[at];
    if (mean !== undefined) state[`${name}/${averaged}`] = denseOf(mean.slice());
  });
  return state;
}

/** The float32 copies of 16-bit parameters. */
const master = "master";
const averaged = "average";

/** Restores the arrays of `stateOf` and the parameters. @throws PithError E_DATA if the checkpoint belongs to other parameters. */
export async function restoreTraining(training: TrainingState, plan: Plan, stored: Model, state: Batch): Promise<void> {
  const { step, average } = training;
  const changing = changingIn(step);
  await setAll(
    changing.map(({ name, values }) => [name, values]),
    stored,
    state,
  );
  plan.optimizer.restore(step.parameters, state);
  training.pruning?.restore(state);
  average?.values.forEach((values, at) => {
    const { name = "" } = changing[at] ?? {};
    values.set(numbersOf(state[`${name}/${averaged}`], name, values.length));
  });
}

export async function setAll(
  arrays: readonly (readonly [name: string, values: Floats])[],
  stored: Model,
  state: Batch = {},
): Promise<void> {
  for (const [name, values] of arrays) {
    const found = state[`${name}/${master}`] ?? (await stored.graph.value(name)?.tensor?.read());
    values.set(numbersOf(found, name, values.length));
  }
}

function numbersOf(found: Dense | undefined, name: string, length: number): Floats {
  const floats = floatsOf(found, length);
  if (floats !== undefined) return floats;
  const got = found === undefined ? "nothing" : `${found.type}${dimsText(found.dims)}`;
  throw new PithError("E_DATA", `The checkpoint has ${got} for "${name}", expected ${length} floats.`, {
    hint: "Training continues only with the model that it started with.",
  });
}

export function withWeights(model: Model, { step }: TrainingState, weights?: readonly Floats[]): Model {
  const copy = model.clone();
  takeState(copy);
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
  /** Evaluations since the best. */
  worse: number;
}

export function startCounters(): Counters {
  return { ...startEpoch(1), steps: 0, history: [], curve: startCurve(), best: undefined, worse: 0 };
}

const startEpoch = (epoch: number) => ({ epoch, batches: 0, sum: 0, seconds: 0, evaluations: [] });

/** The epoch until now. */
export function currentEpoch(counters: Counters, accumulate: number): Epoch {
  const { epoch, sum, batches, seconds, evaluations } = counters;
  return { epoch, loss: sum / batches, steps: Math.floor(batches / accumulate), seconds, evaluations };
}

export function endEpoch(counters: Counters, accumulate: number): Epoch {
  const ended = currentEpoch(counters, accumulate);
  counters.history.push(ended);
  Object.assign(counters, startEpoch(counters.epoch + 1));
  return ended;
}

export function summaryOf({ best, history, evaluations }: Counters, plan: Plan): TrainingSummary {
  const { data, validation, average } = plan;
  if (validation === undefined || best === undefined) return { samples: data.count, chosen: undefined, average };
  const count = history.reduce((sum, epoch) => sum + epoch.evaluations.length, evaluations.length);
  const { name = "loss", unit = "" } = validation.metric ?? {};
  return {
    samples: data.count,
    chosen: { samples: validation.data.count, by: name, unit, best, evaluations: count },
    average,
  };
}

export interface Epoch {
  readonly epoch: number;
  readonly loss: number;
  readonly steps: number;
  readonly seconds: number;
  readonly evaluations: readonly EvaluationFigure[];
}

export interface EvaluationFigure {
  /** Completed steps: 0 for the initial weights. */
  readonly step: number;
  /** The metric value, or the loss without a metric. */
  readonly figure: number;
}

/** The result of a training, besides the weights. */
export interface TrainingSummary {
  readonly samples: number | undefined;
  /** What selected the weights; undefined without validation samples. */
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
  /** Decay of the moving average; undefined if the weights are those of a step. */
  readonly average: number | undefined;
}
