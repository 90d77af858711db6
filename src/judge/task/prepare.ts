/** Prepares the samples of a task as the model requires: detects images, texts and sound, and applies their preprocessing. */
import { hasNonClassOutput, mainOutput, outputKind } from "#analysis";
import { findStates, firstBatch, isIndexed, statesText } from "#batches";
import type { Batch, Dense, Estimate, Model, Value } from "#ir";
import {
  counted,
  dataError,
  dimsText,
  elementCount,
  integer,
  isFloat,
  optionError,
  percent,
  toFloat64,
  withMinusSign,
} from "#ir";
import type { Context } from "#pass";
import { inputsLikeLabels } from "../../data/files/labels.ts";
import { imageChannels } from "../../data/images/preprocess.ts";
import { rangeOf } from "../../data/images/presets.ts";
import { type Dataset, mapBatches, type Preprocessing, tokenize } from "../../data/index.ts";
import type { PreprocessingSpec } from "../../data/sidecars/preprocessing-spec.ts";
import { datasetOptionsFor, rateInput, type Sidecars, soundInput } from "../../data/sidecars/sidecars.ts";
import { textColumns, unknownShare, unusualTextColumn } from "../../data/text/sequences.ts";
import { tokenInput } from "../../data/text/token-inputs.ts";
import { areBoxLabels } from "../../runtime/metrics/detections.ts";
import { areLabelSets } from "../../runtime/metrics/label-sets.ts";
import { feedingOf } from "../../runtime/run/feeding.ts";
import { type Settings, toConstantTensors, withConstantInputs } from "./constant-inputs.ts";
import { prepareImages } from "./prepare-images.ts";

export interface Preparation {
  /** Description of the preprocessing, with a note if it was guessed. */
  readonly preprocessing: string | undefined;
  readonly preset: string | undefined;
  /** The preprocessings that were tried because none is stated, the chosen one first. */
  readonly tried?: readonly TriedPreprocessing[] | undefined;
  /** Doubts about the results, as complete sentences. */
  readonly warnings: readonly string[];
  readonly atChance: boolean;
  /** Whether the samples have labels that the metric can use. */
  readonly labelled: boolean;
  ready(dataset: Dataset): Dataset;
}

export interface TriedPreprocessing {
  readonly name: string;
  readonly accuracy: Estimate;
  /** Whether it is not significantly worse than the chosen one on the samples tried. */
  readonly fits: boolean;
}

export interface PreparedTask extends Preparation {
  /** The table's text column, if its name is not a usual one such as "text". */
  readonly texts?: string | undefined;
  readonly record: Partial<PreprocessingSpec>;
}

export interface PreparationContext {
  readonly stated: PreprocessingSpec;
  /** Whether `stated` comes from the model's metadata, and not from the caller. */
  readonly isRecorded: boolean;
  readonly sidecars: Sidecars;
  readonly set: Settings;
  readonly batch: number | undefined;
  /** The original, because a result can be damaged. */
  readonly reference: Model;
  /** Whether the model will be trained, so that it can be at chance level now. */
  readonly learns: boolean;
  /** Whether the samples will calibrate value ranges, which depend on the input scale. */
  readonly calibrates: boolean;
  readonly needsLabels: boolean;
  onGuess(): void;
}

export async function prepare(
  model: Model,
  dataset: Dataset,
  options: PreparationContext,
  context: Context,
): Promise<PreparedTask> {
  const ignoredOutputs = model.graph.outputs
    .filter(({ foreign }) => foreign?.type !== undefined)
    .map(({ name }) => `"${name}"`);
  if (ignoredOutputs.length > 0) {
    const kind = ignoredOutputs.length === 1 ? "is a sequence or a map" : "are sequences or maps";
    const text = `Output ${ignoredOutputs.join(", ")} ${kind}: it is ignored; the outputs that are tensors are compared.`;
    context.log({ id: "outputs", text, level: "warning" });
  }
  const first = await firstBatch(dataset);
  const note = inputsText(model, first);
  const preparedTask = await prepareKind(model, dataset, first, options, context);
  if (note === undefined) return preparedTask;
  const { preprocessing } = preparedTask;
  return { ...preparedTask, preprocessing: preprocessing === undefined ? note : `${preprocessing}; ${note}` };
}

function inputsText({ graph }: Model, batch: Batch): string | undefined {
  const names = inputsLikeLabels(graph.feeds).filter((name) => batch[name] !== undefined);
  if (names.length === 0) return undefined;
  const nameList = names.map((name) => `"${name}"`).join(", ");
  return names.length === 1
    ? `${nameList} is fed to the input of that name, and is not a label`
    : `${nameList} are fed to the inputs of these names, and are not labels`;
}

async function prepareKind(
  model: Model,
  dataset: Dataset,
  first: Batch,
  options: PreparationContext,
  context: Context,
): Promise<PreparedTask> {
  const { sidecars, stated } = options;
  const constants = toConstantTensors(model, options.set);
  const preparation = (change: (dataset: Dataset) => Dataset) => (part: Dataset) =>
    withConstantInputs(change(part), constants);
  const kind = kindOf(model, first, dataset.name);
  if (kind !== "images" && stated.images !== undefined && !options.isRecorded) {
    throw optionError(`\`preprocess\` is for stored images, and ${dataset.name} has none.`);
  }
  // The class of an image is not the truth for a detector.
  const labelled =
    first.label !== undefined &&
    model.graph.feeds.every(({ name }) => name !== "label") &&
    outputKind(model, undefined) !== "boxes";
  const defaults = { warnings: [], atChance: false, labelled, record: {} };
  switch (kind) {
    case "images": {
      const { label } = first;
      const hasOneClassPerSample = label !== undefined && elementCount(label.dims) === label.dims[0];
      const hasUsableLabels = labelled && !(hasOneClassPerSample && hasNonClassOutput(model));
      // Boxes and sets of labels have no accuracies to compare.
      const width = Number(mainOutput(model.graph.outputs)?.type?.dims?.at(-1));
      const canGuess = hasUsableLabels && label !== undefined && !areBoxLabels(label) && !areLabelSets(label, width);
      const needsLabels = options.needsLabels && !hasUsableLabels;
      const images = { first, labelled: canGuess, ready: preparation };
      const preparedTask = await prepareImages(model, dataset, images, { ...options, needsLabels }, context);
      return { ...preparedTask, labelled: hasUsableLabels };
    }
    case "tokens": {
      const isLanguageModel = datasetOptionsFor(model, sidecars, stated).runningText !== undefined;
      const { tokenizer, missingFiles } = sidecars;
      const { length } = stated;
      const name = tokensText(first, sidecars, length);
      const unknownTokenShare = tokenizer === undefined ? 0 : await unknownShare(dataset, tokenizer);
      const warnings = unknownTokenShare > maxUnknown ? [unknownText(unknownTokenShare, dataset.name)] : [];
      for (const text of warnings) context.log({ id: "unknown-tokens", text, level: "warning" });
      return {
        ...defaults,
        preprocessing: name,
        preset: length === undefined ? undefined : `length=${length}`,
        warnings,
        labelled: labelled || isLanguageModel,
        record: { length },
        texts: unusualTextColumn(await firstBatch(dataset, checkedCells), dataset.name),
        ready: preparation((part) =>
          tokenize(part, model.graph.feeds, { language: isLanguageModel, tokenizer, length, missingFiles }),
        ),
      };
    }
    case "sound": {
      const input = soundInput(model)?.name ?? "audio";
      const rate = rateInput(model.graph.feeds)?.name;
      const {
        frame,
        context: contextSamples = 0,
        rate: hertz,
      } = datasetOptionsFor(model, sidecars, stated).frames ?? { frame: 0 };
      const steps = [
        `frame=${frame}`,
        ...(contextSamples > 0 ? [`context=${contextSamples}`] : []),
        ...(hertz ? [`rate=${hertz}`] : []),
      ].join(" ");
      return {
        ...defaults,
        preprocessing: `${stated.frames === undefined ? "guessed " : ""}${steps}${carriedStatesText(model, [input, rate ?? ""])}`,
        preset: steps,
        record: { frames: stated.frames },
        ready: preparation((part) => mapBatches(part, (batch) => soundBatch(batch, input, rate))),
      };
    }
    default: {
      const states = carriedStatesText(model, [...Object.keys(first), ...constants.keys()]);
      const preprocessing = states === "" ? undefined : states.slice("; ".length);
      const ready = preparation((part) => part);
      const { notes } = feedingOf(model, await firstBatch(ready(dataset)), dataset.name);
      for (const text of notes) context.log({ id: "shape", text });
      const textsById = [
        ["preprocessing", await rangeText(model, dataset, stated.images ?? sidecars.preprocessing)],
        ["not-finite", await brokenRowsText(model, dataset)],
      ] as const;
      const warnings: string[] = [];
      for (const [id, text] of textsById) {
        if (text === undefined) continue;
        context.log({ id, text, level: "warning" });
        warnings.push(text);
      }
      return { ...defaults, warnings, preprocessing, preset: undefined, ready };
    }
  }
}

/** Number of samples for the range check, and ratio of value ranges above which data probably lacks the preprocessing. */
const [rangeSamples, maxRangeRatio] = [64, 4];

/** Returns a sentence if the values of the only input have another range than the preprocessing would give. */
async function rangeText(
  { graph }: Model,
  dataset: Dataset,
  transform: Preprocessing | undefined,
): Promise<string | undefined> {
  const [feed, ...more] = graph.feeds;
  if (transform === undefined || feed === undefined || more.length > 0 || !isFloat(feed.type?.type ?? "string")) return;
  const column = columnOf(await firstBatch(dataset, rangeSamples), feed);
  if (column === undefined || column.type === "string") return;
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of toFloat64(column)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  const expected = rangeOf(transform);
  const rangeRatio = (high - low) / (expected.high - expected.low);
  // A range of zero, from equal values, shows nothing.
  if (!(rangeRatio > maxRangeRatio || (rangeRatio > 0 && rangeRatio < 1 / maxRangeRatio))) return;
  const figures = (...bounds: readonly number[]): string =>
    bounds.map((bound) => withMinusSign(String(Number(bound.toPrecision(3))))).join(" … ");
  return `The values of ${dataset.name} (${figures(low, high)}) are fed unchanged, but preprocessing "${transform.name}" of the model gives ${figures(expected.low, expected.high)}: apply it, or provide images as bytes (uint8), to which Pith applies it.`;
}

/** Returns the column of the input's name, or the only one. */
function columnOf({ label: _, ...columns }: Batch, { name }: Value): Dense | undefined {
  const [only, ...more] = Object.values(columns);
  return columns[name] ?? (more.length === 0 ? only : undefined);
}

const searchedValues = 2 ** 24;

async function brokenRowsText({ graph }: Model, dataset: Dataset): Promise<string | undefined> {
  if (!isIndexed(dataset)) return;
  let [broken, rows, searched] = [0, 0, 0];
  for await (const batch of dataset.batches({ size: 64 })) {
    if (searched > searchedValues) break;
    const brokenRows = new Set<number>();
    const columns = graph.feeds.flatMap((feed) => columnOf(batch, feed) ?? []);
    for (const column of columns) {
      if (column.type === "string" || !isFloat(column.type)) continue;
      const values = toFloat64(column);
      searched += values.length;
      const width = values.length / (column.dims[0] ?? 1);
      for (const [index, value] of values.entries())
        if (!Number.isFinite(value)) brokenRows.add(Math.floor(index / width));
    }
    broken += brokenRows.size;
    rows += columns[0]?.dims[0] ?? 0;
  }
  if (broken === 0) return;
  return `${integer(broken)} of ${counted(rows, "sample")} in ${dataset.name} ${broken === 1 ? "contains" : "contain"} NaN or infinite values, and ${broken === 1 ? "counts" : "count"} in the metrics. Remove or fill them.`;
}

function kindOf(model: Model, batch: Batch, owner: string): "images" | "tokens" | "sound" | "ready" {
  const { feeds } = model.graph;
  // Columns with the names and types of the inputs need no preprocessing.
  const isReady = feeds.every(({ name, type }) => {
    const column = batch[name];
    return column !== undefined && column.type !== "string" && (column.type !== "uint8" || type?.type === "uint8");
  });
  if (isReady) return "ready";
  if (batch.audio !== undefined && batch.begin !== undefined) return "sound";
  if (tokenInput(feeds) !== undefined && (batch.tokens !== undefined || textColumns(batch, owner) !== undefined)) {
    return "tokens";
  }
  requireNoImages(model, batch, owner);
  const takesImages = feeds.length === 1 || feeds.some(({ type }) => type?.dims?.length === 4);
  const [feed] = feeds;
  return takesImages && feed !== undefined && imageChannels(batch, feed) !== undefined ? "images" : "ready";
}

function requireNoImages({ graph }: Model, { image }: Batch, owner: string): void {
  const input = tokenInput(graph.feeds);
  if (input === undefined || !/^u?int/.test(input.type?.type ?? "") || image === undefined) return;
  if (graph.feeds.some(({ type }) => type?.dims?.length === 4)) return;
  const inputText = `${input.type?.type}${dimsText(input.type?.dims)}`;
  throw dataError(`${owner} holds images, and input "${input.name}" ${inputText} takes tokens of texts.`, {
    hint: "Texts are .txt, .csv, .tsv or .jsonl files, with tokenizer.json beside the model.",
  });
}

/** Suffice to distinguish numbers from text. */
const checkedCells = 64;
/** Share of unknown tokens above which the text is probably not in the language of the model. */
const maxUnknown = 0.2;

function unknownText(share: number, name: string): string {
  return `${percent(share)} of the tokens of ${name} are unknown to tokenizer.json: metrics on them are unreliable. Is the text in the language of the model?`;
}

function tokensText(batch: Batch, { tokenizer }: Sidecars, length: number | undefined): string {
  if (batch.tokens !== undefined) return `windows of ${batch.tokens.dims[1]} tokens`;
  const maxLength = length ?? tokenizer?.longest;
  return `tokenizer.json${maxLength === undefined ? "" : `, at most ${maxLength} tokens`}`;
}

function carriedStatesText(model: Model, fed: readonly string[]): string {
  const states = findStates(model, fed);
  return states.length === 0 ? "" : `; carried: ${statesText(states)}`;
}

function soundBatch({ audio, rate, ...rest }: Batch, input: string, rateName: string | undefined): Batch {
  return {
    ...rest,
    ...(audio === undefined ? {} : { [input]: audio }),
    ...(rate === undefined || rateName === undefined ? {} : { [rateName]: rate }),
  };
}
