/** Resolves the options of a training: applies defaults, opens datasets, and creates the objects that options name. */
import { infer, layers } from "#analysis";
import { type Dataset, draw, isIndexed, setAside } from "#batches";
import { dataError, type Model, optionError, toFloat32 } from "#ir";
import type { Context } from "#pass";
import { augmented } from "../../data/images/augment.ts";
import { parseAugmentation } from "../../data/images/augment-options.ts";
import { trainPart } from "../../data/sources/open.ts";
import type { Metric } from "../../runtime/metrics/metric.ts";
import { chooseBatchSize, noBatchAxis, takesOneSample } from "./batch-size.ts";
import { parseLoss } from "./losses/parse.ts";
import type { Optimizer } from "./optimizer.ts";
import { defaultRate, optimizers } from "./optimizers.ts";
import { type Schedule, schedules, warmUp } from "./schedule.ts";
import type { StepOptions } from "./step-graph.ts";
import { defaultBatch, type TrainOptions, trainOptions } from "./train-options.ts";
import { trainedValues } from "./trained-values.ts";

export interface Validation {
  readonly data: Dataset;
  /** Selects the best weights (default: the loss). */
  readonly metric: Metric | undefined;
  /** Steps between evaluations (default: one evaluation per epoch). Weights are also evaluated before the first step and at the end. */
  readonly every: number | undefined;
  readonly patience: number | undefined;
}

type CopiedOptions = "epochs" | "accumulate" | "clip" | "checkpoint" | "resume" | "log";

/** The options of a training with their defaults, and the objects that they name. */
export interface Plan extends StepOptions, Pick<TrainOptions, CopiedOptions | "onStep" | "onEpoch"> {
  readonly data: Dataset;
  readonly size: number;
  readonly optimizer: Optimizer;
  readonly learningRate: number;
  readonly schedule: Schedule;
  readonly validation: Validation | undefined;
  /** Options as plain data: a resumed training must have the same. */
  readonly settings: Readonly<Record<string, unknown>>;
}

export function stepsOf({ data, size, accumulate, epochs }: Plan): number | undefined {
  return data.count === undefined ? undefined : Math.floor(Math.floor(data.count / size) / accumulate) * epochs;
}

/** Returns the learning rate of a step as a share of its peak; 1 if the number of steps is unknown. @param epochs length of the training. */
export function rateFactor(plan: Plan, step: number, epochs = plan.epochs): number {
  const total = stepsOf(plan);
  return total === undefined ? 1 : plan.schedule(step, (total / plan.epochs) * epochs);
}

export function epochSeed(seed: number, epoch: number): number {
  return seed * 1_000_003 + epoch;
}

export async function createPlan(model: Model, options: TrainOptions, context: Context): Promise<Plan> {
  const { schedule, warmup, metric, every, patience, augment, epochs } = options;
  const loss = typeof options.loss === "string" ? parseLoss(options.loss) : options.loss;
  const optimizer = optimizerOf(options);
  const learningRate = options.learningRate ?? (await learningRateFor(model, optimizer, options));
  const baseSchedule = typeof schedule === "function" ? schedule : schedules[schedule];
  const { data: all, validation } =
    options.validation === undefined
      ? { data: await trainPart(options.data), validation: undefined }
      : await openTrainingData(options.data, options.validation, context.seed);
  const samples = epochs < 1 && all.count !== undefined ? draw(all, Math.ceil(epochs * all.count), context.seed) : all;
  const data = augment === undefined ? samples : augmented(samples, parseAugmentation(augment), context);
  if (data.count === undefined && !(schedule === "constant" && warmup === 0)) {
    const text = `${data.name} has an unknown number of samples: the learning rate stays ${learningRate}, without schedule and warm-up`;
    context.log({ id: "no-schedule", text, level: "warning" });
  }
  return {
    ...options,
    epochs: Math.ceil(epochs),
    data,
    size: await batchSizeOf(model, options.batch, data, loss.teachers ?? [], context),
    optimizer,
    learningRate,
    schedule: warmup === 0 ? baseSchedule : warmUp(baseSchedule, warmup),
    loss,
    validation: validation === undefined ? undefined : { data: validation, metric, every, patience },
    settings: settingsOf(options, { learningRate, optimizer, loss }),
    // Augmented samples do not repeat.
    cachesFrozen: epochs > 1 && augment === undefined,
    samples: data.count,
  };
}

/** Returns the default rate; except for SGD at most 5 % of a trained layer's smallest RMS, since Adam changes weights by the rate (down to a tenth). */
async function learningRateFor(model: Model, optimizer: Optimizer, options: TrainOptions): Promise<number> {
  const rate = defaultRate(optimizer);
  if (optimizer.name === "sgd") return rate;
  const trainedNames = trainedValues(model, options);
  let lowest = rate;
  for (const { weight, role } of layers(model, infer(model))) {
    if (!trainedNames.has(weight.name) || weight.tensor?.type !== "float32" || role.kind === "lookup") continue;
    const values = toFloat32(await weight.tensor.read()).filter((value) => value !== 0);
    const squares = values.reduce((sum, value) => sum + value * value, 0);
    if (squares > 0) lowest = Math.min(lowest, 0.05 * Math.sqrt(squares / values.length));
  }
  return Number(Math.max(lowest, rate / 10).toPrecision(1));
}

/** @param requestedSize the option `batch`; undefined selects the size by memory. */
async function batchSizeOf(
  model: Model,
  requestedSize: number | undefined,
  data: Dataset,
  teachers: readonly Model[],
  context: Context,
): Promise<number> {
  const maxSize = Math.min(requestedSize ?? defaultBatch, data.count ?? Number.POSITIVE_INFINITY);
  if (requestedSize !== undefined && requestedSize > 1 && (await takesOneSample(model, data)))
    throw optionError(`batch: ${noBatchAxis}: expected 1, got ${requestedSize}.`, {
      hint: `\`accumulate\` ${requestedSize} adds up the gradients of ${requestedSize} samples.`,
    });
  if (requestedSize !== undefined) return maxSize;
  const { size, why } = await chooseBatchSize(model, maxSize, data, teachers);
  if (why !== undefined) context.log({ id: "batch", text: `batches of ${size}: ${why}` });
  return size;
}

/** Options that can differ from the checkpoint's in a resumed training. */
const changeable: ReadonlySet<string> = new Set([
  ...["epochs", "every", "patience", "checkpoint", "resume", "log", "onStep", "onEpoch", "threads"],
  // These are compared separately: data by its content, and the batch size that was finally chosen.
  ...["data", "batch"],
]);

/** Returns the options that identify a training: null if not given; loss, optimizer and metric by name. */
function settingsOf(
  options: TrainOptions,
  { learningRate, optimizer, loss }: Pick<Plan, "learningRate" | "optimizer" | "loss">,
): Plan["settings"] {
  const { schedule, validation, metric } = options;
  const values: Readonly<Record<string, unknown>> = {
    ...options,
    loss: typeof options.loss === "string" ? options.loss : loss.name,
    optimizer: optimizer.name,
    learningRate,
    schedule: typeof schedule === "string" ? schedule : "a function",
    validation: typeof validation === "object" ? "a data set" : validation,
    metric: metric?.name,
    ...loss.settings,
  };
  const names = [...Object.keys(trainOptions.entries), ...Object.keys(loss.settings ?? {})];
  return Object.fromEntries(names.flatMap((name) => (changeable.has(name) ? [] : [[name, values[name] ?? null]])));
}

function optimizerOf(options: TrainOptions): Optimizer {
  const { optimizer, weightDecay } = options;
  if (typeof optimizer !== "string") return optimizer;
  return optimizers[optimizer].make(weightDecay === undefined ? {} : { weightDecay });
}

/** Returns training and validation samples. @param validation a data set or path, or a share that is drawn by the seed. */
async function openTrainingData(
  data: Dataset | string,
  validation: Dataset | string | number,
  seed: number,
): Promise<{ readonly data: Dataset; readonly validation: Dataset }> {
  const all = await trainPart(data);
  if (typeof validation !== "number") return { data: all, validation: await trainPart(validation) };
  if (!isIndexed(all)) {
    throw dataError(`${all.name} is a stream, of which no share can be held out.`, {
      hint: "Give the validation samples as a separate data set.",
    });
  }
  const count = Math.round(validation * all.count);
  if (count === 0 || count === all.count)
    throw dataError(`${all.name} has ${all.count} samples: a share of ${validation} of them leaves none.`);
  const { drawn, rest } = setAside(all, count, seed);
  return { data: rest, validation: drawn };
}
