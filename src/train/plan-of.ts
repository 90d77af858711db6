/** From what a training is told to its plan: what is usual where nothing is told, and the data opened. */
import type { Dataset } from "../data/types.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/index.ts";
import { ownBatch, usualBatch } from "./batch-size.ts";
import { parseLoss } from "./losses/index.ts";
import type { Optimizer } from "./optimizer.ts";
import { optimizers, usualRate } from "./optimizers.ts";
import type { Plan } from "./plan.ts";
import { schedules, warmUp } from "./schedule.ts";
import { type TrainOptions, trainOptions } from "./train-options.ts";
import { openData, seenAnew } from "./training-data.ts";

/** @throws PithError E_DATA and E_FILE for samples that cannot be opened, E_OPTION for what cannot be done to them. */
export async function planOf(model: Model, options: TrainOptions, context: Context): Promise<Plan> {
  const { schedule, warmup, metric, every, patience, augment, layers, except, rates, threads } = options;
  const { epochs, accumulate, clip, average, checkpoint, resume, checkpointing } = options;
  const loss = typeof options.loss === "string" ? parseLoss(options.loss) : options.loss;
  const optimizer = optimizerOf(options);
  const learningRate = options.learningRate ?? usualRate(optimizer);
  const shape = typeof schedule === "function" ? schedule : schedules[schedule]();
  const { data: samples, validation } = await openData(options, context.seed);
  const data = augment === undefined ? samples : seenAnew(samples, augment, model, context.seed);
  if (data.count === undefined && !(schedule === "constant" && warmup === 0)) {
    const text = `${data.name} does not say how many samples it has: the learning rate stays ${learningRate}, without schedule and warm-up`;
    context.log({ id: "no-schedule", text, level: "warning" });
  }
  return {
    data,
    epochs,
    size: batchOf(model, options.batch, data, context),
    accumulate,
    optimizer,
    learningRate,
    schedule: warmup === 0 ? shape : warmUp(shape, warmup),
    clip,
    average,
    loss,
    validation: validation === undefined ? undefined : { data: validation, metric, every, patience },
    settings: settingsOf(options, { learningRate, optimizer, loss }),
    checkpoint,
    resume,
    layers,
    except,
    rates,
    threads,
    checkpointing,
  };
}

/** Samples in a batch: what was said, or what is usual, or what the model cannot do without. */
function batchOf(model: Model, given: number | undefined, data: Dataset, context: Context): number {
  const wanted = Math.min(given ?? usualBatch, data.count ?? Number.POSITIVE_INFINITY);
  const own = given === undefined ? ownBatch(model, wanted) : undefined;
  if (own === undefined) return wanted;
  context.log({ id: "batch", text: `batches of ${own}: the model was exported for them, and takes no others` });
  return own;
}

/** Options in which a training may differ from the one that it continues: how far it goes, when it is evaluated, where and in what memory. */
const free: ReadonlySet<string> = new Set([
  ...["epochs", "every", "patience", "checkpoint", "resume", "threads", "checkpointing"],
  // Identified by their samples, and by how many there are in a batch in the end.
  ...["data", "batch"],
]);

/** What tells one training from another; what was not said is null, and what only code can make goes by its name. */
function settingsOf(
  options: TrainOptions,
  { learningRate, optimizer, loss }: Pick<Plan, "learningRate" | "optimizer" | "loss">,
): Plan["settings"] {
  const { schedule, validation, metric } = options;
  const given: Readonly<Record<string, unknown>> = {
    ...options,
    loss: typeof options.loss === "string" ? options.loss : loss.name,
    optimizer: optimizer.name,
    learningRate,
    schedule: typeof schedule === "string" ? schedule : "a function",
    validation: typeof validation === "object" ? "data of its own" : validation,
    metric: metric?.name,
    ...loss.settings,
  };
  const names = [...Object.keys(trainOptions.entries), ...Object.keys(loss.settings ?? {})];
  return Object.fromEntries(names.flatMap((name) => (free.has(name) ? [] : [[name, given[name] ?? null]])));
}

function optimizerOf(options: TrainOptions): Optimizer {
  const { optimizer, momentum, nesterov, weightDecay } = options;
  if (typeof optimizer !== "string") return optimizer;
  return optimizers[optimizer].make({ momentum, nesterov, decay: weightDecay === undefined ? {} : { weightDecay } });
}
