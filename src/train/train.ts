/**
 * Training: epochs of seeded minibatches through a step graph, an optimizer in place.
 *
 * What is in the graph is trained through: masks, fake quantization, a teacher in the loss need nothing here. A checkpoint is the model
 * itself, an ordinary ONNX file.
 */
import * as v from "valibot";
import { openDataset } from "../data/open.ts";
import { datasetOption } from "../data/option.ts";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { save } from "../onnx/index.ts";
import { type Context, definePass, type Outcome } from "../passes/index.ts";
import { withStoredConstants } from "../passes/lift-constants.ts";
import { described, selectionOptions } from "../passes/options.ts";
import type { Batch } from "../tensor/types.ts";
import { adam } from "./adam.ts";
import type { Loss } from "./loss.ts";
import { crossEntropy } from "./losses/index.ts";
import type { Optimizer } from "./optimizer.ts";
import { sgd } from "./sgd.ts";
import { createStep, type Step } from "./step.ts";

/** What an epoch was like. */
export interface Epoch {
  readonly epoch: number;
  /** Mean over the steps. */
  readonly loss: number;
  readonly steps: number;
  readonly seconds: number;
}

export interface TrainOutcome extends Outcome {
  readonly history: readonly Epoch[];
}

const positive = v.pipe(v.number(), v.gtValue(0, "must be above 0"));
const count = v.pipe(v.number(), v.integer("must be a whole number"), v.minValue(1, "must be at least 1"));

export const trainOptions = v.strictObject({
  data: described(datasetOption, "what to train on"),
  epochs: described(v.optional(count, 5), "passes over the data"),
  batch: described(v.optional(count, 128), "samples per step"),
  optimizer: described(
    v.optional(
      v.union([v.picklist(["adam", "sgd"]), v.custom<Optimizer>(isOptimizer, 'must be "adam", "sgd" or an optimizer')]),
      "adam",
    ),
    "how parameters move",
  ),
  learningRate: described(v.optional(positive), "step size (default: 0.001 for adam, 0.05 for sgd)"),
  momentum: described(v.optional(v.pipe(v.number(), v.minValue(0), v.ltValue(1)), 0.9), "momentum of sgd"),
  weightDecay: described(
    v.optional(v.pipe(v.number(), v.minValue(0)), 0),
    "added to each gradient, times the parameter",
  ),
  schedule: described(
    v.optional(v.picklist(["constant", "cosine"]), "cosine"),
    "how the learning rate changes over the steps",
  ),
  ...selectionOptions("train"),
  loss: v.optional(v.custom<Loss>(isLoss, "must be a loss")),
  threads: described(v.optional(count), "threads of the runtime"),
  checkpoint: described(v.optional(v.string()), "write the model here after every epoch"),
});

/**
 * Trains a model in place.
 *
 * @throws PithError E_NOT_DIFFERENTIABLE with the operator that has no gradient, E_DATA if data and model do not fit, E_DIVERGED with the
 * step at which the loss stopped being a number, E_STOPPED on the context's signal (the model keeps the last finished epoch).
 * @example
 * const { history } = await train(net, { data, epochs: 10, optimizer: "adam" }, { seed: 1 });
 */
export const train = definePass({
  id: "train",
  summary: "Train a model, or fine-tune one after it was made smaller",
  options: trainOptions,
  run: (model, options, context) => withStoredConstants(model, () => trainModel(model, options, context)),
});

async function trainModel(
  model: Model,
  options: v.InferOutput<typeof trainOptions>,
  context: Context,
): Promise<TrainOutcome> {
  const data = typeof options.data === "string" ? await openDataset(options.data, { part: "train" }) : options.data;
  const size = Math.min(options.batch, data.count ?? options.batch);
  const optimizer = optimizerFor(options.optimizer, options.momentum, options.weightDecay);
  const rate = options.learningRate ?? (optimizer.name === "sgd" ? 0.05 : 0.001);
  const total = data.count === undefined ? undefined : Math.floor(data.count / size) * options.epochs;
  const history: Epoch[] = [];
  let step: Step | undefined;
  let done = 0;
  try {
    for (let epoch = 1; epoch <= options.epochs; epoch++) {
      const started = performance.now();
      let [sum, steps] = [0, 0];
      for await (const batch of data.batches({ size, shuffle: epochSeed(context.seed, epoch), dropLast: true })) {
        step ??= await createStep(model, batch, { ...stepOptions(options), carry: optimizer.carry }, context);
        sum += await oneStep(step, batch, done + 1, context);
        optimizer.update(step.parameters, rate * factor(options.schedule, done, total));
        done++;
        steps++;
        context.progress(done, total);
      }
      if (step === undefined) throw new PithError("E_DATA", `${data.name} has no samples to train on.`);
      step.store(model);
      if (options.checkpoint !== undefined) await save(model, options.checkpoint);
      const seconds = (performance.now() - started) / 1000;
      history.push({ epoch, loss: sum / steps, steps, seconds });
      context.log({
        id: "epoch",
        text: `epoch ${epoch}/${options.epochs}  loss ${(sum / steps).toFixed(4)}  ${seconds.toFixed(1)} s`,
      });
    }
    return { changes: trained(step, model), misses: [], history };
  } finally {
    await step?.release();
  }
}

async function oneStep(step: Step, batch: Batch, number: number, context: Context): Promise<number> {
  if (context.signal.aborted) throw new PithError("E_STOPPED", `Training was stopped at step ${number}.`);
  const loss = await step.run(batch);
  if (!Number.isFinite(loss)) {
    throw new PithError("E_DIVERGED", `The loss is ${loss} at step ${number}.`, {
      hint: "Try a smaller learning rate, and check that the inputs are of ordinary size.",
    });
  }
  return loss;
}

function stepOptions(options: v.InferOutput<typeof trainOptions>): Parameters<typeof createStep>[2] {
  const { layers, except, threads, loss } = options;
  return { layers, except, loss: loss ?? crossEntropy(), ...(threads === undefined ? {} : { threads }) };
}

function optimizerFor(chosen: "adam" | "sgd" | Optimizer, momentum: number, weightDecay: number): Optimizer {
  if (typeof chosen !== "string") return chosen;
  return chosen === "adam" ? adam({ weightDecay }) : sgd({ momentum, weightDecay });
}

/** Each epoch has an order of its own. */
function epochSeed(seed: number, epoch: number): number {
  return seed * 1_000_003 + epoch;
}

/** Cosine: from 1 down to 0 over all steps (Loshchilov and Hutter 2017, without restarts). */
function factor(schedule: "constant" | "cosine", step: number, total: number | undefined): number {
  return schedule === "constant" || total === undefined ? 1 : (1 + Math.cos((Math.PI * step) / total)) / 2;
}

function trained(step: Step | undefined, model: Model): TrainOutcome["changes"] {
  return (step?.parameters ?? [])
    .filter(({ name }) => model.graph.value(name) !== undefined)
    .map(({ name }) => ({ at: name, what: "trained", decidedBy: "global" }));
}

function isOptimizer(value: unknown): boolean {
  return typeof value === "object" && value !== null && "update" in value;
}

function isLoss(value: unknown): boolean {
  return typeof value === "object" && value !== null && "build" in value;
}
