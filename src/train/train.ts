/**
 * Training as a pass: what is told, with what is usual where nothing is told.
 *
 * What is in the graph is trained through: masks, fake quantization, a teacher in the loss need nothing here. A checkpoint is the model
 * itself, an ordinary ONNX file.
 */
import * as v from "valibot";
import { infer } from "../analysis/infer.ts";
import { augmented } from "../data/augment.ts";
import { type Augmentation, augmentationSchema, parseAugmentation } from "../data/augment-options.ts";
import { isIndexed } from "../data/indexed.ts";
import { openDataset } from "../data/open.ts";
import { datasetOption } from "../data/option.ts";
import { setAside } from "../data/select.ts";
import type { Dataset } from "../data/types.ts";
import { PithError } from "../errors.ts";
import type { Metric } from "../evaluate/types.ts";
import type { Model } from "../graph/model.ts";
import type { Role } from "../graph/role.ts";
import { type Context, definePass, type Outcome } from "../passes/index.ts";
import { withStoredConstants } from "../passes/lift-constants.ts";
import { described, selectionOptions } from "../passes/options.ts";
import { dimsText } from "../tensor/dims.ts";
import { adam, adamW } from "./adam.ts";
import { ownBatch, usualBatch } from "./batch-size.ts";
import { lion } from "./lion.ts";
import { runLoop } from "./loop.ts";
import type { Loss } from "./loss.ts";
import { lossNames, parseLoss } from "./losses/index.ts";
import type { Optimizer } from "./optimizer.ts";
import type { Epoch, Plan, TrainingSummary } from "./plan.ts";
import { type Declaration, declareRoles } from "./roles.ts";
import { constantRate, cosineDecay, linearDecay, oneCycle, type Schedule, stepDecay, warmUp } from "./schedule.ts";
import { sgd } from "./sgd.ts";

export interface TrainOutcome extends Outcome {
  readonly history: readonly Epoch[];
  readonly training: TrainingSummary;
}

const positive = v.pipe(v.number(), v.gtValue(0, "must be above 0"));
const count = v.pipe(v.number(), v.integer("must be a whole number"), v.minValue(1, "must be at least 1"));

interface OptimizerSettings {
  readonly momentum: number;
  readonly nesterov: boolean;
  /** Absent where nothing was said. */
  readonly decay: { readonly weightDecay?: number };
}

/** Optimizers by name: how one is made of the settings, and the learning rate that is usual with it. */
const optimizers = {
  adam: { rate: 0.001, make: ({ decay }: OptimizerSettings) => adam(decay) },
  adamw: { rate: 0.001, make: ({ decay }: OptimizerSettings) => adamW(decay) },
  // Steps of one size: a tenth of Adam's, whose are smaller (Chen et al. 2023).
  lion: { rate: 0.0001, make: ({ decay }: OptimizerSettings) => lion(decay) },
  sgd: {
    rate: 0.05,
    make: ({ momentum, nesterov, decay }: OptimizerSettings) => sgd({ momentum, nesterov, ...decay }),
  },
} as const;
type OptimizerName = keyof typeof optimizers;
const optimizerNames = Object.keys(optimizers) as [OptimizerName, ...OptimizerName[]];

const schedules = {
  constant: constantRate,
  cosine: cosineDecay,
  linear: linearDecay,
  steps: stepDecay,
  "one-cycle": oneCycle,
} as const;
const share = v.pipe(v.number(), v.minValue(0), v.ltValue(1));

interface Checked {
  readonly checkpoint?: string | undefined;
  readonly resume: boolean;
  readonly validation?: unknown;
  readonly every?: number | undefined;
  readonly patience?: number | undefined;
}

/** What an option asks of another that was not given; undefined where all fit. For whoever has these options among others. */
export function unmet({ resume, checkpoint, validation, every, patience }: Checked): string | undefined {
  if (resume && checkpoint === undefined) return "resume needs checkpoint, the folder to continue from";
  if (validation !== undefined) return undefined;
  if (every !== undefined) return "every needs validation, samples that are kept apart to evaluate by: 10%";
  if (patience !== undefined) return "patience needs validation, samples that are kept apart to evaluate by: 10%";
  return undefined;
}

const trainEntries = v.strictObject({
  data: described(datasetOption, "what to train on"),
  augment: described(
    v.optional(v.union([v.string(), augmentationSchema])),
    'what is done to pictures, each time anew: "crop=4 flip jitter=0.2 noise=0.05 erase=0.25 mixup=0.2"',
  ),
  epochs: described(v.optional(count, 5), "passes over the data"),
  batch: described(
    v.optional(count),
    `samples in a batch (default: ${usualBatch}, or what the model was exported for if it takes no other)`,
  ),
  accumulate: described(v.optional(count, 1), "batches in a step: their gradients are averaged"),
  optimizer: described(
    v.optional(
      v.union([v.picklist(optimizerNames), v.custom<Optimizer>(isOptimizer, 'must be "adam", "sgd" or an optimizer')]),
      "adam",
    ),
    "how parameters move",
  ),
  learningRate: described(
    v.optional(positive),
    `step size (default: ${optimizerNames.map((name) => `${optimizers[name].rate} for ${name}`).join(", ")})`,
  ),
  rates: described(
    v.optional(v.record(v.string(), v.pipe(v.number(), v.minValue(0)))),
    'factors of the learning rate for layers or tensors, by names or patterns: {"conv1": 0, "layer4*": 0.1}',
  ),
  momentum: described(v.optional(share, 0.9), "momentum of sgd"),
  nesterov: described(v.optional(v.boolean(), false), "let the momentum of sgd look ahead"),
  weightDecay: described(
    v.optional(v.pipe(v.number(), v.minValue(0))),
    "shrinks weights, not biases and norms (default: 0.01 for adamw, else 0)",
  ),
  schedule: described(
    v.optional(
      v.union([
        v.picklist(Object.keys(schedules) as (keyof typeof schedules)[]),
        v.custom<Schedule>((value) => typeof value === "function", "must be a schedule"),
      ]),
      "cosine",
    ),
    "how the learning rate changes over the steps",
  ),
  warmup: described(
    v.optional(v.pipe(v.number(), v.minValue(0)), 0),
    "steps, or below 1 a share of them, in which the learning rate rises",
  ),
  clip: described(v.optional(positive), "the greatest norm of all gradients together"),
  average: described(v.optional(share), "keep a moving average of the weights, of this decay: 0.999"),
  loss: described(
    v.optional(v.union([v.string(), v.custom<Loss>(isLoss, "must be a loss")]), "cross-entropy"),
    `what is made smaller: ${lossNames.join(", ")}, or a sum "mse + 0.5 * cosine(output=embedding, label=teacher)"`,
  ),
  ...selectionOptions("train"),
  validation: described(
    v.pipe(v.optional(v.union([share, datasetOption])), v.metadata({ value: "share" })),
    "share of the samples that is kept apart to evaluate by: 10%; the best weights are the result",
  ),
  metric: v.optional(v.custom<Metric>(isMetric, "must be a metric")),
  every: described(v.optional(count), "steps between two evaluations (an epoch)"),
  patience: described(v.optional(count), "evaluations without a better one after which training ends"),
  batchStatistics: described(
    v.optional(v.boolean(), false),
    "normalize batches by their own statistics and let the running ones follow, as PyTorch trains; else those of the file stay as they are",
  ),
  threads: described(v.optional(count), "threads of the runtime"),
  checkpointing: described(
    v.optional(v.boolean(), false),
    "compute activations again for the gradients instead of keeping them: less memory, a third more time",
  ),
  checkpoint: described(
    v.pipe(v.optional(v.string()), v.metadata({ value: "folder" })),
    "write last.onnx and best.onnx into this folder as training goes on",
  ),
  resume: described(v.optional(v.boolean(), false), "continue with the checkpoint in that folder"),
});

export const trainOptions = v.pipe(
  trainEntries,
  v.check(
    (given) => unmet(given) === undefined,
    ({ input }) => unmet(input) ?? "",
  ),
);

/**
 * Trains a model in place. With `validation`, the weights that were best by `metric` (or by the loss) are the result.
 *
 * @throws PithError E_NOT_DIFFERENTIABLE with the operator that has no gradient, E_DATA if data and model do not fit, E_DIVERGED with the
 * step at which the loss stopped being a number, E_STOPPED on the context's signal (the model and the checkpoint keep what was learnt).
 * @example
 * const { history } = await train(net, { data, epochs: 10, optimizer: "adam" }, { seed: 1 });
 */
export const train = definePass({
  id: "train",
  summary: "Train a model, or fine-tune one after it was made smaller",
  options: trainOptions,
  run: (model, options, context) =>
    withStoredConstants(model, async (): Promise<TrainOutcome> => {
      const plan = await planOf(model, options, context);
      const roles = await declareRoles(model, options);
      report(roles, context);
      const { history, training, names } = await runLoop(model, plan, context).catch((error: unknown) => {
        // What was stopped keeps what it has learnt; what failed leaves the model as it was.
        if (!(error instanceof PithError && error.code === "E_STOPPED")) roles.undo();
        throw error;
      });
      const changed = names.filter((name) => model.graph.value(name) !== undefined);
      return {
        changes: changed.map((at) => ({ at, what: "trained", decidedBy: "global" })),
        misses: roles.misses,
        history,
        training,
      };
    }),
});

function report({ declared }: Declaration, context: Context): void {
  const of = (kind: Role["kind"]): readonly string[] =>
    [...declared].flatMap(([{ name }, role]) => (role.kind === kind ? [`"${name}"`] : []));
  const [[buffer, ...more], states] = [of("buffer"), of("state")];
  if (buffer !== undefined) {
    const text = more.length === 0 ? `${buffer} is a buffer` : `${buffer} and ${more.length} more are buffers`;
    context.log({ id: "buffers", text: `${text}, by its numbers a mask or sinusoids: not trained` });
  }
  if (states.length > 0)
    context.log({ id: "states", text: `${states.length} running statistics follow those of the batches` });
}

async function planOf(model: Model, options: v.InferOutput<typeof trainOptions>, context: Context): Promise<Plan> {
  const { seed } = context;
  const { loss, schedule, warmup, metric, every, patience, clip, average, checkpoint, augment } = options;
  const { data: samples, validation } = await openData(options, seed);
  const data = augment === undefined ? samples : seenAnew(samples, augment, model, seed);
  const optimizer = optimizerOf(options);
  const learningRate = options.learningRate ?? usualRate(optimizer.name);
  const objective = typeof loss === "string" ? parseLoss(loss) : loss;
  const shape = typeof schedule === "function" ? schedule : schedules[schedule]();
  return {
    ...{ data, epochs: options.epochs, size: batchOf(model, options.batch, data, context) },
    ...{ accumulate: options.accumulate, optimizer, clip, average, checkpoint, resume: options.resume },
    schedule: warmup === 0 ? shape : warmUp(shape, warmup),
    validation: validation === undefined ? undefined : { data: validation, metric, every, patience },
    ...{ learningRate, loss: objective, settings: settingsOf(options, { learningRate, optimizer, loss: objective }) },
    ...{ layers: options.layers, except: options.except, rates: options.rates, threads: options.threads },
    checkpointing: options.checkpointing,
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

/** What tells one training from another; what was not said is null, and what only code can make goes by its name. */
function settingsOf(
  options: v.InferOutput<typeof trainOptions>,
  { learningRate, optimizer, loss }: Pick<Plan, "learningRate" | "optimizer" | "loss">,
): Plan["settings"] {
  const { schedule, validation, metric, augment } = options;
  const { accumulate, rates, momentum, nesterov, weightDecay, warmup, clip, average, layers, except } = options;
  const { batchStatistics } = options;
  const plain = {
    augment,
    rates,
    momentum,
    nesterov,
    weightDecay,
    warmup,
    clip,
    average,
    layers,
    except,
    batchStatistics,
  };
  const settings: Readonly<Record<string, unknown>> = {
    loss: typeof options.loss === "string" ? options.loss : loss.name,
    ...loss.settings,
    ...{ accumulate, optimizer: optimizer.name, learningRate },
    schedule: typeof schedule === "string" ? schedule : "a function",
    ...plain,
    validation: typeof validation === "object" ? "data of its own" : validation,
    metric: metric?.name,
  };
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, value ?? null]));
}

/** The samples that are trained on, changed at random; not those that are evaluated by. */
function seenAnew(data: Dataset, augment: string | Augmentation, model: Model, seed: number): Dataset {
  const how = parseAugmentation(augment);
  if ((how.mixup ?? 0) === 0) return augmented(data, how, { seed });
  infer(model);
  const [output] = model.graph.outputs;
  const classes = output?.type?.dims?.at(-1);
  if (typeof classes === "number") return augmented(data, how, { seed, classes });
  throw new PithError(
    "E_OPTION",
    `augment, mixup: "${output?.name}" is ${dimsText(output?.type?.dims)}, which does not say how many classes there are.`,
  );
}

/** What to train on, and what to evaluate by: samples of its own, or a share of the others, drawn by the seed. */
async function openData(
  { data, validation }: Pick<v.InferOutput<typeof trainOptions>, "data" | "validation">,
  seed: number,
): Promise<{ readonly data: Dataset; readonly validation: Dataset | undefined }> {
  const open = (given: Dataset | string): Promise<Dataset> | Dataset =>
    typeof given === "string" ? openDataset(given, { part: "train" }) : given;
  const all = await open(data);
  if (typeof validation !== "number")
    return { data: all, validation: validation === undefined ? undefined : await open(validation) };
  if (!isIndexed(all)) {
    throw new PithError("E_DATA", `${all.name} is a stream: no share of it can be kept apart.`, {
      hint: "Give the samples to evaluate by as data of their own.",
    });
  }
  const kept = Math.round(validation * all.count);
  if (kept === 0 || kept === all.count)
    throw new PithError(
      "E_DATA",
      `${all.name} has ${all.count} samples: a share of ${validation} of them leaves none.`,
    );
  const { drawn, rest } = setAside(all, kept, seed);
  return { data: rest, validation: drawn };
}

function optimizerOf(options: v.InferOutput<typeof trainOptions>): Optimizer {
  const { optimizer, momentum, nesterov, weightDecay } = options;
  if (typeof optimizer !== "string") return optimizer;
  return optimizers[optimizer].make({ momentum, nesterov, decay: weightDecay === undefined ? {} : { weightDecay } });
}

/** What is usual with adam suits an optimizer that nothing is known of. */
function usualRate(name: string): number {
  return optimizers[optimizerNames.find((each) => each === name) ?? "adam"].rate;
}

function isOptimizer(value: unknown): boolean {
  return typeof value === "object" && value !== null && "update" in value;
}

function isLoss(value: unknown): boolean {
  return typeof value === "object" && value !== null && "build" in value;
}

function isMetric(value: unknown): boolean {
  return typeof value === "object" && value !== null && "reduce" in value;
}
