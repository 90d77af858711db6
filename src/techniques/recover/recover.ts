/**
 * Recovery refits a compressed model to its original without labels, in stages from cheap to expensive:
 *
 *     batch-norm → bias → least-squares → blocks → end-to-end
 *
 * A stage that does not raise the signal-to-noise ratio of the outputs on held-out samples is undone.
 */
import * as v from "valibot";
import { macsPerSample } from "#analysis";
import type { Dataset, IndexedDataset } from "#batches";
import { collect, datasetOption, firstBatch, isIndexed, openStorage, range, setAside, take, view } from "#batches";
import { counted, dataError, Miss, type Model, optionError, snapshot, waitingText } from "#ir";
import type { Change, Context, Outcome } from "#pass";
import { countOption, definePass, minutesOption, modelOption, option, positiveOption, withHelp } from "#pass";
import { processorTime } from "#platform";
import { trainPart } from "../../data/sources/open.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { secondsSince } from "../../runtime/run/elapsed.ts";
import { feedingOf } from "../../runtime/run/feeding.ts";
import { correctBiases } from "../calibrate/biases.ts";
import { matchOriginal } from "../calibrate/match-original.ts";
import { recalibrateNorms } from "./batch-norm.ts";
import { blockWise } from "./block-wise.ts";
import { defaultSteps, endToEnd } from "./end-to-end.ts";
import { solveLayers } from "./least-squares.ts";
import { isImprovement, type Score, type Scorer, scorer, scoreText } from "./score.ts";
import {
  defaultBatch,
  type Scope,
  type Stage,
  type StageName,
  type StageResult,
  stageNames,
  startCalibration,
} from "./stage.ts";

const stageMeanings = [
  ["batch-norm", "running statistics, measured again"],
  [
    "bias",
    "biases and scales of convolutions, corrected so that the mean and variance of each channel are the original's",
  ],
  ["least-squares", "weights of each layer, fitted by least squares to the original's outputs of this layer"],
  ["blocks", "weights of each block, trained on the original's outputs of this block"],
  ["end-to-end", "all weights, trained on the original's outputs"],
] satisfies readonly (readonly [StageName, string])[];

const recoverOptions = v.strictObject({
  original: option(modelOption(), "the model before compression", { value: "original.onnx", common: true }),
  data: withHelp(datasetOption, "samples, which need no labels"),
  until: option(
    v.picklist(stageNames, `is one of ${stageNames.join(", ")}`),
    "last stage (default: least-squares; with minutes: end-to-end)",
    { common: true, meanings: { title: "Stages (--until), cheapest first", rows: stageMeanings } },
  ),
  minutes: option(minutesOption, "time limit in minutes: after it, no stage starts and training stops", {
    common: true,
  }),
  samples: withHelp(
    v.optional(v.pipe(countOption, v.minValue(2, "must be at least 2")), 512),
    "samples that the stages before training are fitted on",
  ),
  epochs: option(
    countOption,
    `end-to-end: maximum number of epochs (default: ${defaultSteps} steps, at least one epoch)`,
    { common: true },
  ),
  batch: option(countOption, "blocks and end-to-end: samples per batch (default: 64, fewer of large inputs)"),
  learningRate: withHelp(v.optional(positiveOption, 0.0005), "blocks and end-to-end: learning rate of Adam", {
    common: true,
  }),
  output: option(v.string(), "output to recover (default: logits, else the first float output)"),
});

type Options = v.InferOutput<typeof recoverOptions>;

/**
 * Refits a pruned, quantized or factorized model to its original, in place. `changes` lists each stage that improved the outputs, with the
 * signal-to-noise ratio (and agreement for classes) on held-out samples before and after; other stages and layers without a
 * counterpart are misses. Least squares and training move fake-quantized weights off their grid: `until: "bias"` avoids that.
 * @throws PithError E_DATA if the data does not fit, there are fewer than four samples, or the outputs of the original differ, E_STOPPED on the signal.
 * @example
 * const original = net.clone();
 * await prune(net, { amount: 0.3, structured: true });
 * const { changes } = await recover(net, { original, data });
 */
export const recover = definePass({
  id: "recover",
  summary: "Adjust the weights of a compressed model to the outputs of its original, without labels",
  options: recoverOptions,
  data: "train",
  learnsAnswers: true,
  reference: "original",
  // Refitting the layers takes as much work as 12 runs of the model per sample.
  moves: ({ samples: { calibrate: count } }) =>
    count < 2
      ? []
      : [{ name: "recovered", options: {}, kind: "healing", family: "recovered", recovery: 0.75, runs: 12 * count }],
  gentler: ({ until, minutes }, lostBefore = false) =>
    until === "blocks" || until === "end-to-end" || minutes !== undefined
      ? lostBefore
        ? `Train longer (${minutes === undefined ? "" : "`minutes` and "}\`epochs\`)`
        : "Try a lower `learningRate`, such as 1e-4"
      : 'Give more samples, or train as well (`until: "end-to-end"`)',
  removesNotes: true,
  run: recoverModel,
});

async function recoverModel(model: Model, options: Options, context: Context): Promise<Outcome> {
  const startTime = performance.now();
  storeWeights(model);
  if (options.original === undefined)
    throw optionError('recover: "original": the original model is required.', {
      hint: "Name its file: original.onnx.",
    });
  const original = options.original.clone();
  storeWeights(original);
  original.graph.operators ??= model.graph.operators;
  const { fit, check, all } = await divideSamples(original, options, context);
  if (fit.count < fewFitted) {
    const text = `${fit.count} samples to fit on, ${check.count} to validate; more samples would recover more`;
    context.log({ id: "few", text, level: "warning" });
  }
  const last = options.until ?? (options.minutes === undefined ? "least-squares" : "end-to-end");
  if (context.dryRun) return planStages(last, { fit, check, all }, context);
  const score = await scorer(original, check, options.output, context);
  const now = (): number => processorTime() ?? performance.now();
  let scoringStart = now();
  let acceptedScore = await score(model);
  // The first scoring also loads the model, which takes most of its time for few samples.
  if (check.count < minTimed && now() - scoringStart < 2000) {
    scoringStart = now();
    acceptedScore = await score(model);
  }
  const scoringSeconds = (now() - scoringStart) / 1000;
  if (acceptedScore.signalToNoise === Number.POSITIVE_INFINITY)
    return { changes: [], misses: [new Miss("its outputs equal the original's: there is nothing to recover")] };
  const secondsLeft = (): number => 60 * (options.minutes ?? Number.POSITIVE_INFINITY) - secondsSince(startTime);
  const match = await matchOriginal(model, original, context.engine);
  const { count, paired } = match.originalLayers;
  if (2 * paired < count) {
    const text = `the model has only ${paired} of the ${counted(count, "layer")} of the original: is it the model that this one was made from?`;
    context.log({ id: "original", text, level: "warning" });
  }
  const scope: StageInputs = {
    match,
    original,
    data: fit,
    context,
    checked: check.count,
    overdue: () => secondsLeft() <= 0,
  };
  const { epochs, batch, learningRate, output } = options;
  const stages = [
    recalibrateNorms,
    biasStage,
    solveLayers,
    blockWise({ batch, learningRate }),
    endToEnd({ data: all, epochs, batch, learningRate, output, secondsLeft }),
  ];
  const changes: Change[] = [];
  const misses = new Map<string, Miss>();
  const isLarge = last === "end-to-end" && takesLongByBlocks(model);
  const planned = stages.slice(0, 1 + stageNames.indexOf(last)).filter(({ name }) => !isLarge || name !== "blocks");
  if (isLarge)
    misses.set(
      "blocks",
      new Miss('skipped, because it takes long for a network of this size: until "blocks"', "blocks"),
    );
  const secondsPerRun = scoringSeconds / check.count;
  const seconds = planned.map(({ name }) => scoringSeconds + secondsPerRun * stageRuns[name](fit.count, all.count));
  const time = waitingText(Math.min(secondsLeft(), sumOf(seconds)));
  if (time !== undefined)
    context.log({ id: "duration", text: `${counted(planned.length, "stage")} take ${time} of processor time` });
  let isTrained = false;
  for (const [index, stage] of planned.entries()) {
    if (scope.overdue()) {
      misses.set(stage.name, new Miss("the time limit was reached", stage.name));
      continue;
    }
    isTrained = stage.name === "end-to-end";
    const reportOverall = { ...context, progress: overallProgress(context, seconds, index) };
    const stageResult = await attempt(model, stage, acceptedScore, score, { ...scope, context: reportOverall }, misses);
    if (stageResult === undefined) continue;
    changes.push(stageResult.change);
    acceptedScore = stageResult.accepted;
  }
  const learnt = { fitted: isTrained ? all.count : fit.count, checked: check.count };
  return { changes, misses: [...misses.values()], learnt };
}

interface SampleSplit {
  readonly fit: IndexedDataset;
  readonly check: IndexedDataset;
  /** All samples except those of `check`, for end-to-end training. */
  readonly all: Dataset;
}

/** Returns the planned stages. */
function planStages(last: StageName, { fit, check, all }: SampleSplit, { log }: Context): Outcome {
  const text = `each stage is checked on ${counted(check.count, "other sample")}, and undone where it does not help`;
  log({ id: "plan", text });
  const changes = stageMeanings.slice(0, 1 + stageNames.indexOf(last)).map(([at, meaning]): Change => {
    const count = at === "end-to-end" ? all.count : fit.count;
    const samplesText = count === undefined ? "" : `, on ${counted(count, "sample")}`;
    return { at, what: `${meaning}${samplesText}`, decidedBy: "global" };
  });
  return { changes, misses: [] };
}

/** Multiply-accumulates of the stage "blocks" that take about five minutes. */
const maxBlockWork = 4e12;

function takesLongByBlocks(model: Model): boolean {
  const macs = macsPerSample(model);
  return !(macs instanceof Miss) && 3 * 200 * defaultBatch * macs > maxBlockWork;
}

type StageInputs = Omit<Scope, "storage"> & { readonly checked: number };

/** Work of a stage in runs of the model on one sample. The factors are measured on ResNet-20 and MobileNetV2. */
const stageRuns: Readonly<Record<StageName, (fitCount: number, all: number | undefined) => number>> = {
  "batch-norm": (fitCount) => 4 * fitCount,
  bias: (fitCount) => 4 * Math.min(biasSamples, fitCount),
  "least-squares": (fitCount) => 22 * fitCount,
  blocks: () => 12 * 200 * defaultBatch,
  "end-to-end": (_, all = maxOfStream) => 7 * Math.max(defaultSteps * defaultBatch, all),
};

/** Reports the progress of a stage as the percentage of all stages: "37/100 … stage 2 of 3". */
function overallProgress({ progress }: Context, seconds: readonly number[], index: number): Context["progress"] {
  const [secondsBefore, stageSeconds = 0] = [sumOf(seconds.slice(0, index)), seconds[index]];
  return (done, count = 1, figures = "", loss) => {
    const text = [`stage ${index + 1} of ${seconds.length}`, figures].filter((part) => part !== "").join(", ");
    const doneSeconds = secondsBefore + stageSeconds * Math.min(1, done / count);
    progress(Math.round((100 * doneSeconds) / sumOf(seconds)), 100, text, loss);
  };
}

const sumOf = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** With fewer samples to fit on, a warning is logged; with fewer to validate on, the time of a scoring is measured again. */
const [fewFitted, minTimed] = [64, 128];

async function withStorage(stage: Stage, model: Model, scope: StageInputs): Promise<StageResult> {
  const storage = openStorage();
  try {
    return await stage.run(model, { ...scope, storage });
  } finally {
    await storage.release();
  }
}

async function attempt(
  model: Model,
  stage: Stage,
  before: Score,
  score: Scorer,
  scope: StageInputs,
  misses: Map<string, Miss>,
): Promise<{ readonly change: Change; readonly accepted: Score } | undefined> {
  const restore = snapshot(model);
  const { changed, what, misses: stageMisses } = await withStorage(stage, model, scope);
  for (const miss of stageMisses) misses.set(`${miss.at}: ${miss.reason}`, miss);
  if (changed === 0) return undefined;
  const after = await score(model);
  const text = `${scoreText(before, after)}, on ${counted(scope.checked, "other sample")}`;
  if (!isImprovement(before, after)) {
    restore();
    misses.set(stage.name, new Miss(`it did not help: ${text}`, stage.name));
    return undefined;
  }
  return { change: { at: stage.name, what: `${what}; ${text}`, decidedBy: "global" }, accepted: after };
}

/** Numbers of samples on which a stage is validated: an eighth within these bounds, but at most a quarter. */
const [minChecked, maxChecked] = [32, 512];
/** Maximum number of samples read from a stream. */
const maxOfStream = 4096;

/** Splits samples for fitting, validation and training. With states, each split keeps the order. */
async function divideSamples(original: Model, { data, samples }: Options, { seed }: Context): Promise<SampleSplit> {
  const trainData = await trainPart(data);
  const dataset = isIndexed(trainData) ? trainData : await collect(trainData, maxOfStream);
  const { name, count } = dataset;
  const checkCount = Math.min(maxChecked, Math.floor(count / 4), Math.max(minChecked, Math.floor(count / 8)));
  if (checkCount === 0) throw dataError(`${name} has ${count} samples: four are needed, one of them for validation.`);
  if (feedingOf(original, await firstBatch(dataset), name).states.length > 0) {
    const all = take(dataset, count - checkCount);
    const last = range(count).subarray(count - checkCount);
    return { fit: take(all, samples), check: view(dataset, name, last), all };
  }
  const { drawn, rest } = setAside(dataset, checkCount, seed);
  return { fit: setAside(rest, samples, seed).drawn, check: drawn, all: rest };
}

/** Samples from which the mean of each channel is measured. */
const biasSamples = 64;

export const biasStage: Stage = {
  name: "bias",
  async run(model, scope) {
    const few = { ...scope, data: take(scope.data, biasSamples) };
    const changed = await correctBiases(model, few.data, () => startCalibration(model, few), few);
    return { changed, misses: scope.match.misses, what: `biases of ${counted(changed, "layer")} corrected` };
  },
};
