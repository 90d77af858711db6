/** Opens the data of a model as a task: splits, preprocessing and metric. */
import { assumedScores, outputKind } from "#analysis";
import { firstBatch, parseState, setAside, setStates, testSeed } from "#batches";
import { counted, dataError, dimsText, integer, type Model } from "#ir";
import { type Context, completeContext } from "#pass";
import {
  type Dataset,
  draw,
  type IndexedDataset,
  mapBatches,
  openDataset,
  type Preprocessing,
} from "../../data/index.ts";
import {
  type PreprocessingSpec,
  parsePreprocessingSpec,
  preprocessingKey,
  preprocessingSpecText,
  readPreprocessing,
} from "../../data/sidecars/preprocessing-spec.ts";
import { datasetOptionsFor, missingSidecars, readSidecars, type Sidecars } from "../../data/sidecars/sidecars.ts";
import { addTrainingRecord, findTrainingUse } from "../../data/sidecars/trained-on.ts";
import { minCalibrated, openParts, type Parts, type PartsOptions } from "../../data/sources/parts.ts";
import { describeRepeats } from "../../data/sources/repeats.ts";
import { areBoxLabels } from "../../runtime/metrics/detections.ts";
import type { Metric, MetricOptions, Task } from "../../runtime/metrics/metric.ts";
import { numbersAdvice } from "../../runtime/metrics/output.ts";
import { ownTextName, textInputs } from "../../runtime/run/realistic-inputs.ts";
import type { Settings } from "./constant-inputs.ts";
import type { MetricName } from "./named-metrics.ts";
import { findReading } from "./output-reading.ts";
import { type Preparation, prepare } from "./prepare.ts";
import { randomData, randomName } from "./random-data.ts";
import { selectMetric } from "./select-metric.ts";

export interface TaskOptions {
  /** Path of the samples, see `openDataset`. "random" generates inputs, to learn another model's outputs. */
  readonly data: string;
  /** Split to test on (default: the test split). "all" also includes samples that were used for training or calibration. */
  readonly part?: PartsOptions["part"];
  /** Preset, or text for `parsePreprocessingSpec` ("imagenet", "length=128"). Default: as recorded, as files beside the model specify, or guessed. */
  readonly preprocess?: string | Preprocessing | undefined;
  /** Constant values of inputs that the data does not provide: `{ sr: 16000 }`. */
  readonly set?: Settings;
  /** Outputs that are fed as inputs at the next step, each as "output=input" (default: guessed from types, shapes and names). */
  readonly states?: readonly string[];
  /** Number of calibration samples (default: 0), set aside from the training samples, or from the only split. */
  readonly calibrate?: number;
  /** Number of training samples without labels if the data has no predefined splits (default: 0). Infinity: four fifths of the samples. */
  readonly unlabeledTraining?: number;
  /** Minimum number of test samples if the data has no predefined splits (default: 0), but at most half of the samples. A search needs 200. */
  readonly minTestSamples?: number;
  /** Maximum number of training samples and of test samples (default: all). */
  readonly samples?: number | undefined;
  readonly batch?: number | undefined;
  /** Metric (default: "accuracy"). Without labels, a metric that needs them is replaced by a comparison with the original. */
  readonly metric?: MetricName | Metric;
  /** Name of the main output (default: "logits", else the first float output, else the first). */
  readonly output?: string | undefined;
  /** Original or teacher of the model. Its preprocessing is the default. */
  readonly reference?: Model | undefined;
  /** Another model that gets the same samples. If both models record a preprocessing, it must be the same. */
  readonly secondModel?: Model | undefined;
  /**
   * Targets of a training, if there is one. A table or array without splits then provides four fifths for training, and the model can be at chance
   * level. "labels" requires training samples.
   */
  readonly learns?: "labels" | "answers" | undefined;
  /** Whether the caller fails without labels (default: false). If true, preprocessing is not guessed for unlabeled data. */
  readonly needsLabels?: boolean | undefined;
  /** Called before preprocessing is guessed or checked. Progress calls after it belong to the guess. */
  readonly onGuess?: () => void;
}

const noSidecars: Sidecars = {
  preprocessing: undefined,
  tokenizer: undefined,
  classes: undefined,
  architecture: undefined,
};

/** Returns the first sidecar file of each kind (such as tokenizer.json), because a result can be in another folder than its original. */
async function sidecarsOf(models: readonly Model[]): Promise<Sidecars> {
  let sidecars = noSidecars;
  for (const { place } of models) {
    if (place === undefined) continue;
    const nextSidecars = await readSidecars(place);
    sidecars = {
      preprocessing: sidecars.preprocessing ?? nextSidecars.preprocessing,
      tokenizer: sidecars.tokenizer ?? nextSidecars.tokenizer,
      classes: sidecars.classes ?? nextSidecars.classes,
      architecture: sidecars.architecture ?? nextSidecars.architecture,
    };
  }
  return { ...sidecars, missingFiles: models.map(missingSidecars).find((files) => files !== undefined) };
}

export interface OpenedTask extends Omit<Task, keyof Preparation>, Preparation {
  /** Whether the metric treats outputs as class scores, although nothing in the model shows that they are scores. */
  readonly assumesScores: boolean;
  readonly reading: MetricOptions | undefined;
  readonly stored: Parts;
  readonly shownSamples: Dataset;
  /** Opens another path in the same way as the task's data, but without preprocessing. */
  openOther(path: string): Promise<Dataset>;
  /** Records the preprocessing and the states in a model, so that tasks of its results do not guess them. */
  recordIn(model: Model): void;
}

/**
 * Opens data for a model in disjoint splits. Preprocessing comes from `preprocess`, the model's metadata, or the files next to the model
 * (preprocessor_config.json, tokenizer.json, config.json), or is guessed for labeled images. Doubts are logged.
 * @throws PithError E_DATA and E_FILE as `openDataset`; E_DATA if preprocessing cannot be determined, the model and its reference disagree, or
 * training samples are missing; E_OPTION and E_NAME for options that do not fit the model.
 * @example
 * const task = await openTask(model, { data: "photos/", calibrate: 200 });
 * console.log(task.preprocessing); // guessed "imagenet". Set it with `preprocess: "imagenet"`.
 * task.recordIn(model); // models made from it then declare this preprocessing
 * const { estimate } = await evaluate(createEngine(), model, task.test, task.metric);
 */
export async function openTask(
  model: Model,
  options: TaskOptions,
  partialContext: Partial<Context> = {},
): Promise<OpenedTask> {
  const context = completeContext(partialContext);
  const { samples, reference, learns, output, metric = "accuracy", set = {} } = options;
  const { calibrate = 0, unlabeledTraining = 0, minTestSamples = 0, onGuess = () => {} } = options;
  const statefulModel = (options.states ?? []).length === 0 ? model : model.clone();
  storeStates(statefulModel, options.states);
  const models = [...new Set([model, reference, options.secondModel])].filter((each) => each !== undefined);
  const { stated, isRecorded } = statedPreprocessing(options.preprocess, models);
  const sidecars = await sidecarsOf(models);
  const preparationSettings = { sidecars, stated, set };
  const readingOptions = datasetOptionsFor(model, sidecars, stated);
  const stored =
    options.data === ownTextName
      ? await createTextSplits(reference ?? model, options, context)
      : options.data === randomName && learns === "answers"
        ? await createRandomSplits(model, samples, context)
        : await openSplits(
            models,
            options.data,
            {
              ...readingOptions,
              warn: (text) => context.log({ id: "skipped", text, level: "warning" }),
              note: noteOnce((text) => context.log({ id: "classes", text })),
              part: options.part,
              calibrate,
              trains: learns !== undefined,
              minTestSamples,
              ...(learns === "answers" ? { unlabeledTraining } : {}),
              ...(samples === undefined ? {} : { test: samples }),
              seed: context.seed,
            },
            context,
          );
  if (learns === "labels" && (stored.train === undefined || stored.isDivided)) {
    throw dataError(
      `${(stored.testSource ?? stored.test).name} has one part only: there are no training samples besides the test samples.`,
      {
        hint: "Training takes labeled samples in two parts, recognized by names of files and folders: train and test, or dev, val. A table without parts is split. Without labels, recover and distill learn from another model.",
      },
    );
  }
  const { count: calibrationCount } = stored.calibrate ?? {};
  if (calibrationCount !== undefined && calibrationCount < minCalibrated && options.data !== ownTextName) {
    const text = `calibrated on ${counted(calibrationCount, "sample")} only, which may not represent others: use 100 or more`;
    context.log({ id: "calibration", text, level: "warning" });
  }
  const testSamples = stored.test;
  const {
    record: preparedSpec,
    texts,
    ...preparation
  } = await prepare(
    statefulModel,
    testSamples,
    {
      ...preparationSettings,
      isRecorded,
      batch: options.batch,
      reference: reference ?? statefulModel,
      learns: learns !== undefined,
      calibrates: calibrate > 0,
      needsLabels: options.needsLabels === true,
      onGuess,
    },
    context,
  );
  // At chance level, the guess is recorded only if the model will be trained with it.
  const isDoubtful = preparation.atChance && learns === undefined && options.preprocess === undefined && !isRecorded;
  const { images, length, frames } = isDoubtful ? {} : preparedSpec;
  const preprocessingText = preprocessingSpecText({ images, length, frames });
  const trainedText = learns !== undefined ? await addTrainingRecord(model, options.data, stored) : undefined;
  const { ready } = preparation;
  const reading =
    typeof metric === "string"
      ? await findReading(
          reference ?? statefulModel,
          output,
          ready(testSamples),
          // A model that will be trained on labels has other values afterwards.
          { metric, labelled: preparation.labelled, isFinal: learns !== "labels" },
          context,
        )
      : undefined;
  // The class of an image is not the truth for a detector.
  const labelled = typeof reading?.form === "object" ? await hasBoxLabels(ready(testSamples)) : preparation.labelled;
  // For running text, the labels are its own tokens.
  const withholdsLabels =
    learns !== undefined && stored.isDivided && (await firstBatch(testSamples)).tokens === undefined;
  if (labelled && metric === "accuracy" && outputKind(model, output) === "vector")
    context.log({
      id: "labels",
      text: `the labels of ${testSamples.name} are not used, because the model's output is an embedding`,
    });
  else if (withholdsLabels && labelled)
    context.log({
      id: "labels",
      text: `${(stored.testSource ?? testSamples).name} has one part: its labels are used for testing, not for training`,
    });
  const taskMetric = typeof metric === "string" ? selectMetric(model, metric, output, { labelled, reading }) : metric;
  if (texts !== undefined) {
    const truth =
      taskMetric.truth === "original" ? `; no labels: ${taskMetric.name} with the original is measured` : "";
    context.log({ id: "texts", text: `texts: column "${texts}" of ${testSamples.name}${truth}` });
  }
  const isAssumed = metric === "accuracy" && taskMetric.truth === "original" && sidecars.classes === undefined;
  const hasOtherForm = typeof reading?.form === "object" || reading?.parts !== undefined;
  const assumedOutput = isAssumed && !hasOtherForm ? assumedScores(model, output) : undefined;
  if (assumedOutput !== undefined && reading?.form === undefined)
    context.log({
      id: "metric",
      text: `"${assumedOutput.name}" ${dimsText(assumedOutput.type?.dims)} is treated as class scores, and results are compared by the class with the highest score: ${numbersAdvice}`,
    });
  if (metric === "accuracy" && reading?.form === "label sets")
    context.log({
      id: "metric",
      text: `results are compared by the sets of labels with a probability above 0.5, because ${labelled ? "the labels are rows of 0 and 1" : "each score has its own Sigmoid"}`,
    });
  const train = withholdsLabels
    ? stored.train && mapBatches(stored.train, ({ label: _, ...inputs }) => inputs)
    : stored.train;
  return {
    ...preparation,
    labelled,
    ...(train === undefined
      ? {}
      : { train: ready(samples === undefined ? train : draw(train, samples, context.seed)) }),
    ...(stored.calibrate === undefined ? {} : { calibrate: ready(stored.calibrate) }),
    text: stored.text && ready(stored.text),
    test: ready(testSamples),
    metric: taskMetric,
    reading,
    assumesScores: assumedOutput !== undefined,
    stored,
    shownSamples: testSamples,
    available: stored.availableTestCount === testSamples.count ? undefined : stored.availableTestCount,
    trained: trainedText,
    openOther: (path) => openDataset(path, readingOptions),
    recordIn(targetModel) {
      storeStates(targetModel, options.states);
      if (preprocessingText !== "") targetModel.header.metadata.set(preprocessingKey, preprocessingText);
    },
  };
}

/** Samples that one of the models was trained on are not used for testing, unless the caller requests all samples or another split. */
async function openSplits(
  models: readonly Model[],
  path: string,
  options: PartsOptions,
  context: Context,
): Promise<Parts> {
  const parts = await openParts(path, options);
  const choosesTestSamples = options.part === undefined || options.part === "test";
  const trainingUse = choosesTestSamples ? await findTrainingUse(models, path, parts) : undefined;
  const chosenParts =
    trainingUse === undefined || trainingUse.usedAll ? parts : await openParts(path, { ...options, heldOut: true });
  const splitText = describeSplits(chosenParts, options.trains === true);
  const { name, count } = chosenParts.test;
  if (trainingUse?.usedAll === true)
    context.log({ id: "trained-on", text: `${name}: ${trainingUse.text}`, level: "warning" });
  const trainedText =
    trainingUse === undefined || trainingUse.usedAll || options.trains === true ? "" : `; ${trainingUse.text}`;
  const text =
    splitText ?? (trainedText === "" ? undefined : `${name}: ${count} samples, drawn at random, are for the test`);
  if (text !== undefined) context.log({ id: "parts", text: `${text}${trainedText}` });
  const { train, calibrate } = chosenParts;
  const otherSplits = { training: options.trains === true ? train : undefined, calibration: calibrate };
  for (const repeats of await describeRepeats(chosenParts.test, otherSplits))
    context.log({ id: "repeats", text: repeats, level: "warning" });
  return chosenParts;
}

function describeSplits({ train, calibrate, test, totalCount }: Parts, trains: boolean): string | undefined {
  if (totalCount === undefined) return undefined;
  const uses = Object.entries({ training: trains ? train : undefined, calibration: calibrate, "the test": test });
  const counts = uses.flatMap(([use, part]) => (part?.count === undefined ? [] : [{ use, samples: part.count }]));
  const countTexts = counts.map(({ use, samples }) => `${integer(samples)} for ${use}`);
  const all = [countTexts.slice(0, -1).join(", "), countTexts.at(-1)].filter((text) => text !== "").join(" and ");
  const name = test.name.replace(/ \((test|train)\)$/, "");
  const lackText = /\.[^./\\]+$/.test(name) ? "no predefined split" : "no train/ or test/ folder";
  const drawnCount = counts.reduce((sum, { samples }) => sum + samples, 0);
  const samples = counted(totalCount, "sample");
  const isSplit = drawnCount === totalCount && counts.length > 1;
  const text = isSplit
    ? `its ${samples} are split at random into ${all}`
    : all.replace(" ", ` of its ${samples}, drawn at random, are `);
  const note = trains ? "; commands that do not train split them otherwise" : "";
  return `${name} has ${lackText}: ${text}${note}`;
}

/** All splits of a data set would log the same note about classes. */
function noteOnce(note: (text: string) => void): (text: string) => void {
  let isNoted = false;
  return (text) => {
    if (!isNoted) note(text);
    isNoted = true;
  };
}

async function hasBoxLabels(data: Dataset): Promise<boolean> {
  const { label } = await firstBatch(data);
  return label !== undefined && areBoxLabels(label);
}

/** Returns texts that Pith made as samples. By default without labels, so that results are compared with the original. */
async function createTextSplits(
  model: Model,
  { metric = "accuracy", calibrate = 0 }: TaskOptions,
  context: Context,
): Promise<Parts> {
  const inputs = await textInputs(model, context);
  if (inputs === undefined)
    throw dataError("Samples are needed: the model neither predicts the next token nor has a tokenizer.", {
      hint: "Give `data`: a folder of images, a file of texts.",
    });
  const withoutLabels = (part: IndexedDataset): IndexedDataset =>
    metric === "accuracy" ? mapBatches(part, ({ label: _, ...columns }) => columns) : part;
  const [test, calibration] = [withoutLabels(inputs.test), withoutLabels(inputs.calibrate)];
  context.log({ id: "own-text", text: `samples: ${test.name}` });
  return {
    train: calibration,
    calibrate: calibrate > 0 ? calibration : undefined,
    text: inputs.isGenerated ? calibration : undefined,
    test,
    availableTestCount: test.count,
    isDivided: false,
  };
}

async function createRandomSplits(model: Model, maxTest: number | undefined, context: Context): Promise<Parts> {
  const all = await randomData(model, context);
  const { drawn: train, rest } = setAside(all, 0.8 * all.count, testSeed);
  const test = maxTest === undefined ? rest : draw(rest, maxTest, testSeed);
  const text =
    "random inputs are used instead of samples: results say little about real data; prefer unlabeled samples of the same kind";
  context.log({ id: "random-data", text, level: "warning" });
  return { train, calibrate: undefined, test, availableTestCount: rest.count, isDivided: false };
}

/** @throws PithError E_NAME for an unknown input or output. */
function storeStates(model: Model, states: readonly string[] = []): void {
  if (states.length > 0) setStates(model, states.map(parseState));
}

/** Returns the preprocessing that the caller states, or that the models record. @throws PithError E_DATA if the models record different ones. */
export function statedPreprocessing(
  preprocess: TaskOptions["preprocess"],
  models: readonly Model[],
): { readonly stated: PreprocessingSpec; readonly isRecorded: boolean } {
  if (typeof preprocess === "string") return { stated: parsePreprocessingSpec(preprocess), isRecorded: false };
  if (preprocess !== undefined)
    return { stated: { images: preprocess, length: undefined, frames: undefined }, isRecorded: false };
  const texts = models.map((model) => preprocessingSpecText(readPreprocessing(model))).filter((text) => text !== "");
  const [text = ""] = texts;
  const other = texts.find((otherText) => otherText !== text);
  if (other === undefined) return { stated: parsePreprocessingSpec(text), isRecorded: text !== "" };
  throw dataError(`The model declares the preprocessing "${text}", the other model "${other}".`, {
    hint: "Use a teacher or original with the same preprocessing, or set one for both with `preprocess`.",
  });
}
