/** Options of `train`, and their requirements. */
import * as v from "valibot";
import { datasetObject, datasetOption } from "#batches";
import { checkWith, countOption, option, positiveOption, selectionOptions, withHelp } from "#pass";
import { augmentationOption, parseAugmentation } from "../../data/images/augment-options.ts";
import type { Metric } from "../../runtime/metrics/metric.ts";
import { losses } from "./losses/declared-losses.ts";
import { lossOption } from "./losses/parse.ts";
import type { Optimizer } from "./optimizer.ts";
import { optimizerNames, optimizers } from "./optimizers.ts";
import { type Schedule, schedules } from "./schedule.ts";
import type { Epoch } from "./training-state.ts";

/** The default batch size of models with a symbolic batch dimension. */
export const defaultBatch = 128;

const openShare = (message: string) => v.pipe(v.number(message), v.gtValue(0, message), v.ltValue(1, message));

export interface TrainedStep {
  /** Number of completed steps, including this one. */
  readonly step: number;
  readonly epoch: number;
  /** Mean loss over the batches of the step. */
  readonly loss: number;
  readonly learningRate: number;
}

/** A function that a training calls and waits for. The training ends if it returns "stop". */
// biome-ignore lint/suspicious/noConfusingVoidType: a function without a return statement is a callback, too
export type Callback<Report> = (report: Report) => "stop" | void | Promise<"stop" | void>;

const isFunction = (value: unknown): boolean => typeof value === "function";
const isOptimizer = (value: unknown): boolean => typeof value === "object" && value !== null && "update" in value;
const isMetric = (value: unknown): boolean => typeof value === "object" && value !== null && "reduce" in value;

const heldOutShare = openShare("takes a share between 0 and 1, like 10%, or a data set");
/** 10% is 0.1; any other text is a path. */
const shareOrPath = v.pipe(
  v.string(),
  v.transform((text) => {
    const [, percent] = /^(-?\d+(?:\.\d+)?) ?%$/.exec(text) ?? [];
    return percent === undefined ? text : Number(percent) / 100;
  }),
  v.union([heldOutShare, v.string()]),
);

/** Help headings of flags of `train`, `distill` and other passes that train. */
const optimization = "Optimization:";
const validation = "Validation:";
const resources = "Checkpoints, logs and resources:";

const trainEntries = v.strictObject({
  data: withHelp(datasetOption, "training samples"),
  augment: option(v.pipe(augmentationOption, checkWith(parseAugmentation)), 'augmentation of images: "crop=4 flip"'),
  epochs: withHelp(
    v.optional(v.union([countOption, heldOutShare], "takes a whole number, or a share below 1"), 5),
    "passes over the data, or a share of one",
    { common: true, percent: false },
  ),
  batch: option(
    countOption,
    `samples per batch (default: ${defaultBatch}, fewer of large inputs, or the fixed size of the model)`,
    { group: optimization },
  ),
  accumulate: withHelp(v.optional(countOption, 1), "gradient accumulation: batches per update", {
    group: optimization,
  }),
  optimizer: withHelp(
    v.optional(v.union([v.picklist(optimizerNames), v.custom<Optimizer>(isOptimizer)]), "adam"),
    "optimization algorithm",
    { group: optimization },
  ),
  learningRate: option(
    positiveOption,
    `learning rate (default: ${optimizerNames.map((name) => `${name} ${optimizers[name].rate}`).join(", ")}; less for small weights)`,
    { common: true },
  ),
  weightDecay: option(
    v.pipe(v.number(), v.minValue(0)),
    "weight decay, except for biases and norms (default: 0.01 for adamw, else 0)",
    { group: optimization },
  ),
  schedule: withHelp(
    v.optional(
      v.union([
        v.picklist(Object.keys(schedules) as (keyof typeof schedules)[]),
        v.custom<Schedule>(isFunction, "must be a schedule"),
      ]),
      "cosine",
    ),
    "rate schedule",
    { group: optimization },
  ),
  warmup: withHelp(
    v.optional(v.pipe(v.number(), v.minValue(0)), 0),
    "warm-up steps, or a fraction of all steps if below 1",
    { group: optimization },
  ),
  clip: option(positiveOption, "clip the global gradient norm to this value", { group: optimization }),
  loss: withHelp(v.optional(lossOption, "cross-entropy"), 'loss, or a sum: "mse + 0.5 * mae"', {
    common: true,
    meanings: {
      title:
        'Losses (--loss), all with output=name and label=column (or output, except cross-entropy): "huber(delta=0.5, label=price)"',
      rows: losses.map(({ name, meaning }) => [name, meaning] as const),
    },
  }),
  ...selectionOptions("train", "freeze"),
  validation: option(
    v.union([heldOutShare, shareOrPath, datasetObject]),
    "held-out share for evaluation, such as 10%, or other data; the best weights are kept",
    { value: "share", group: validation },
  ),
  metric: v.optional(v.custom<Metric>(isMetric, "must be a metric")),
  onStep: v.optional(v.custom<Callback<TrainedStep>>(isFunction, "must be a function")),
  onEpoch: v.optional(v.custom<Callback<Epoch>>(isFunction, "must be a function")),
  every: option(countOption, "steps between evaluations (default: an epoch)", { group: validation }),
  patience: option(countOption, "early stopping: evaluations without improvement", { group: validation }),
  batchStatistics: withHelp(
    v.optional(v.boolean(), false),
    "use batch statistics in batch normalization (default: those of the file)",
    { group: optimization },
  ),
  threads: option(countOption, "threads of the runtime", { group: resources }),
  checkpoint: option(v.string(), "folder for checkpoints, last.onnx and best.onnx", {
    value: "folder",
    group: resources,
    common: true,
  }),
  log: option(v.string(), "CSV file with a row for each step", { value: "run.csv", group: resources }),
  resume: withHelp(v.optional(v.boolean(), false), "continue with the checkpoint in this folder", { group: resources }),
});

type Dependent = Partial<
  Pick<v.InferInput<typeof trainEntries>, "checkpoint" | "resume" | "validation" | "every" | "patience">
>;

export function unmetRequirement({ resume, checkpoint, validation, every, patience }: Dependent): string | undefined {
  if (resume && checkpoint === undefined) return "`resume` needs `checkpoint`, the folder to continue from";
  if (validation !== undefined) return undefined;
  if (every !== undefined) return "`every` needs `validation`, a share held out for evaluation: 10%";
  if (patience !== undefined) return "`patience` needs `validation`, a share held out for evaluation: 10%";
  return undefined;
}

export const trainOptions = v.pipe(
  trainEntries,
  v.check(
    (options) => unmetRequirement(options) === undefined,
    ({ input }) => unmetRequirement(input) ?? "",
  ),
);

export type TrainOptions = v.InferOutput<typeof trainOptions>;
