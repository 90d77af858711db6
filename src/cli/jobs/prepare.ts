/** Data opened and made ready for a model: prepared as stated, as the files beside the model say, or as the model scores best. */
import {
  type Dataset,
  enlarged,
  enlargement,
  enlargementText,
  findStates,
  geometryUsed,
  imageChannels,
  mapBatches,
  type OpenDatasetOptions,
  openDataset,
  openParts,
  type Parts,
  type PartsOptions,
  type Preprocessing,
  type PreprocessingSpec,
  parseState,
  preprocess,
  presets,
  rateInput,
  readingFor,
  readSidecars,
  type Sidecars,
  setStates,
  soundInput,
  statesText,
  textColumns,
  tokenInput,
  tokenize,
} from "../../data/index.ts";
import { inputsLikeLabels } from "../../data/labels.ts";
import { contrastOf } from "../../data/presets.ts";
import { firstBatch } from "../../data/select.ts";
import { unknownShare } from "../../data/unknown.ts";
import type { Engine } from "../../engine/index.ts";
import { PithError } from "../../errors.ts";
import { guessPreprocessing, imageInput } from "../../evaluate/index.ts";
import { fewSamples } from "../../evaluate/similarity.ts";
import type { Model } from "../../graph/model.ts";
import type { JobContext } from "../../job/job.ts";
import { dimsText, elementCount } from "../../tensor/dims.ts";
import type { Batch } from "../../tensor/types.ts";
import { type DataRequest, statedOf } from "../data.ts";
import { answerKind, isBeyondClasses } from "../metrics.ts";
import { chanceQuestion, percent } from "../numbers.ts";
import { contents, withContents } from "./set.ts";

export interface Preparation {
  /** What reports say: "imagenet", or that it was guessed; undefined where the data is fed as it is. */
  readonly name: string | undefined;
  /** The preprocessing alone: "imagenet". */
  readonly preset: string | undefined;
  /** What makes the figures doubtful, as sentences. */
  readonly warnings: readonly string[];
  /** One of them is that the model scores no better than chance. */
  readonly atChance?: boolean;
  /** Whether the samples have labels. */
  readonly labelled: boolean;
  /** What later commands have to know to prepare data in the same way, where it was stated or found out. */
  readonly record?: Partial<PreprocessingSpec>;
  /** Any part of the same data, ready for the model. */
  ready(dataset: Dataset): Dataset;
}

/**
 * Opens the data of a request in disjoint parts, read as the model needs it: texts in windows of tokens for a language model, sound in frames,
 * classes numbered as config.json beside the model has them.
 * @throws PithError E_DATA and E_FILE as `openParts` does.
 */
export async function openData(
  model: Model,
  modelPath: string,
  request: DataRequest,
  options: Omit<PartsOptions, keyof OpenDatasetOptions> = {},
): Promise<Parts> {
  storeStates(model, request);
  const reading = readingOf(model, await readSidecars(modelPath), request);
  return openParts(request.path, { ...reading, ...options });
}

/** All samples at a path, or of several parts the test part, read as `openData` reads them. */
export async function openWhole(model: Model, modelPath: string, request: DataRequest): Promise<Dataset> {
  return openDataset(request.path, readingOf(model, await readSidecars(modelPath), request));
}

function readingOf(model: Model, beside: Sidecars, request: DataRequest): ReturnType<typeof readingFor> {
  const rate = rateInput(model.graph.feeds)?.name;
  const given = request.set.find(([name]) => name === rate)?.[1];
  return readingFor(model, beside, statedOf(request), typeof given === "number" ? given : undefined);
}

/** Stores in a model which outputs it is fed with at the next step, where that was said. @throws PithError E_NAME */
export function storeStates(model: Model, { states }: DataRequest): void {
  if (states.length > 0) setStates(model, states.map(parseState));
}

export interface Guessing {
  /** What the guess of a preprocessing is made on, if it has labels: always the part that commands judge by, so that figures compare. */
  readonly judged?: Dataset;
  /** Another model for the same data that knows more about it: the original of one that was damaged. */
  readonly by?: Model | undefined;
  /** The model is going to be trained: it may know nothing yet. */
  readonly learns?: boolean;
}

/** @throws PithError E_DATA if the data has no samples, or what it needs cannot be found out. */
export async function prepare(
  engine: Engine,
  model: Model,
  modelPath: string,
  request: DataRequest,
  dataset: Dataset,
  context: JobContext,
  { judged = dataset, by = model, learns = false }: Guessing = {},
): Promise<Preparation> {
  storeStates(model, request);
  const others = model.graph.outputs
    .filter(({ foreign }) => foreign?.type !== undefined)
    .map(({ name }) => `"${name}"`);
  if (others.length > 0) {
    const what = others.length === 1 ? "is a sequence or a map" : "are sequences or maps";
    const text = `Output ${others.join(", ")} ${what}: it is ignored; the outputs that are tensors are compared.`;
    context.log({ id: "outputs", text, level: "warning" });
  }
  const first = await firstBatch(dataset);
  const said = inputsText(model, first);
  const prepared = await prepareFor(engine, model, modelPath, request, dataset, { first, judged, by, learns }, context);
  if (said === undefined) return prepared;
  return { ...prepared, name: prepared.name === undefined ? said : `${prepared.name}; ${said}` };
}

/** `"y" is fed to the input of that name, and is not a label`: of columns that would be labels, were they not inputs. */
function inputsText({ graph }: Model, batch: Batch): string | undefined {
  const names = inputsLikeLabels(graph.feeds).filter((name) => batch[name] !== undefined);
  if (names.length === 0) return undefined;
  const listed = names.map((name) => `"${name}"`).join(", ");
  return names.length === 1
    ? `${listed} is fed to the input of that name, and is not a label`
    : `${listed} are fed to the inputs of these names, and are not labels`;
}

async function prepareFor(
  engine: Engine,
  model: Model,
  modelPath: string,
  request: DataRequest,
  dataset: Dataset,
  guessing: Pick<Found, "first" | "judged" | "by" | "learns">,
  context: JobContext,
): Promise<Preparation> {
  const { first } = guessing;
  const beside = await readSidecars(modelPath);
  const fixed = contents(model, request.set);
  // The class of a picture is no truth for a detector.
  const labelled =
    first.label !== undefined &&
    model.graph.feeds.every(({ name }) => name !== "label") &&
    answerKind(model, undefined) !== "boxes";
  const ready = (change: (dataset: Dataset) => Dataset) => (part: Dataset) => withContents(change(part), fixed);
  const kind = kindOf(model, first, dataset.name);
  const stated = statedOf(request);
  if (kind !== "images" && stated.images !== undefined && request.recorded !== true) {
    throw new PithError("E_OPTION", `--preprocess is for stored images, and ${dataset.name} has none.`);
  }
  switch (kind) {
    case "images": {
      const classes = first.label !== undefined && elementCount(first.label.dims) === first.label.dims[0];
      const known = labelled && !(classes && isBeyondClasses(model));
      return prepareImages(engine, model, request, dataset, { ...guessing, beside, labelled: known, ready }, context);
    }
    case "tokens": {
      const reading = readingOf(model, beside, request);
      const language = reading.running !== undefined;
      const options = {
        language,
        ...(beside.tokenizer === undefined ? {} : { tokenizer: beside.tokenizer }),
        ...(stated.length === undefined ? {} : { length: stated.length }),
      };
      const name = tokensText(first, beside, stated.length);
      const unknown = beside.tokenizer === undefined ? 0 : await unknownShare(dataset, beside.tokenizer);
      const warnings = unknown > mostUnknown ? [unknownText(unknown, dataset.name)] : [];
      for (const text of warnings) context.log({ id: "unknown-tokens", text, level: "warning" });
      return {
        name,
        preset: name,
        warnings,
        labelled: labelled || language,
        record: { length: stated.length },
        ready: ready((part) => tokenize(part, model.graph.feeds, options)),
      };
    }
    case "sound": {
      const input = soundInput(model)?.name ?? "audio";
      const rate = rateInput(model.graph.feeds)?.name;
      const reading = readingOf(model, beside, request);
      const { frame, context: before = 0, rate: wanted } = reading.frames ?? { frame: 0 };
      const how = [
        `frame=${frame}`,
        ...(before > 0 ? [`context=${before}`] : []),
        ...(wanted ? [`rate=${wanted}`] : []),
      ];
      const name = `${stated.frames === undefined ? "guessed " : ""}${how.join(" ")}${statesStated(model, [input, rate ?? ""])}`;
      return {
        name,
        preset: how.join(" "),
        warnings: [],
        labelled,
        record: { frames: stated.frames },
        ready: ready((part) => mapBatches(part, (batch) => soundBatch(batch, input, rate))),
      };
    }
    default: {
      const states = statesStated(model, [...Object.keys(first), ...fixed.keys()]);
      const name = states === "" ? undefined : states.slice("; ".length);
      return { name, preset: undefined, warnings: [], labelled, ready: ready((part) => part) };
    }
  }
}

interface Found {
  readonly first: Batch;
  readonly beside: Sidecars;
  readonly labelled: boolean;
  readonly ready: (change: (dataset: Dataset) => Dataset) => (part: Dataset) => Dataset;
  readonly judged: Dataset;
  readonly by: Model;
  readonly learns: boolean;
}

/** Pictures with less are nearly constant: the least of those that networks are trained with is 1, from 0 to 1. */
const leastContrast = 0.05;

async function prepareImages(
  engine: Engine,
  model: Model,
  request: DataRequest,
  dataset: Dataset,
  { first, beside, labelled, ready, judged, by, learns }: Found,
  context: JobContext,
): Promise<Preparation> {
  const input = imageInput(model);
  const declared = statedOf(request).images ?? beside.preprocessing;
  if (declared !== undefined && contrastOf(declared) < leastContrast) {
    const text = `Prepared by "${declared.name}", black and white differ by ${contrastOf(declared).toPrecision(1)} only: mean and std are of pixels multiplied by scale, 1/255 unless said. Is scale=1 meant?`;
    context.log({ id: "preprocessing", text, level: "warning" });
  }
  const use = (how: Preprocessing) => ready((part) => preprocess(part, input, how));
  const grown = enlargement(model.graph);
  if (grown !== undefined) {
    const how = declared ?? presets.unit;
    const said = request.recorded === true ? ", as the model itself says" : "";
    const name = `${declared === undefined ? "guessed " : ""}${how.name}${said}; ${enlargementText(grown)}`;
    const change = ready((part) => enlarged(part, grown, how));
    return { name, preset: how.name, warnings: [], labelled: true, record: { images: declared }, ready: change };
  }
  // What is done to pictures without being asked for is said.
  const source = request.recorded === true ? ", as the model itself says" : "";
  const full = (how: Preprocessing): string => {
    const geometry = geometryUsed(first, input, how);
    const known = how.resize !== undefined || how.crop !== undefined || geometry === "";
    return `${how.name}${known ? "" : ` ${geometry}`}${source}`;
  };
  if (!labelled) {
    if (declared === undefined) {
      const why =
        first.label === undefined ? `${dataset.name} has no labels` : "Classes are not ground truth for a detector";
      throw new PithError("E_DATA", `${why}, so the preprocessing of its images cannot be guessed.`, {
        hint: "State it: --preprocess imagenet (or cifar10, mnist, unit, symmetric, raw, caffe).",
      });
    }
    return {
      name: full(declared),
      preset: declared.name,
      warnings: [],
      labelled: false,
      record: { images: declared },
      ready: use(declared),
    };
  }
  context.stage("preprocessing");
  const tried = (await firstBatch(judged)).label === undefined ? dataset : judged;
  const { chosen, chance, trusted, scores, indistinct } = await guessPreprocessing(engine, by, tried, {
    ...(request.batch === undefined ? {} : { batch: request.batch }),
    signal: context.signal,
    progress: (done, total) => context.progress(done, total),
    ...(declared === undefined ? {} : { tried: [declared] }),
  });
  const warnings: string[] = [];
  if (!trusted) {
    const { value = 0, count } = scores[0]?.accuracy ?? {};
    const text = chanceQuestion(chosen.name, value, chance, count, learns && by === model);
    warnings.push(text);
    context.log({ id: "chance", text, level: "warning" });
  }
  const { count = 0 } = scores[0]?.accuracy ?? {};
  if (declared === undefined && indistinct.length > 0 && count < fewSamples) {
    const text = undecidedText(chosen.name, indistinct, count);
    warnings.push(text);
    context.log({ id: "preprocessing", text, level: "warning" });
  }
  const name = declared === undefined ? guessText(chosen.name, indistinct) : full(chosen);
  return {
    ...{ name, preset: chosen.name, warnings, atChance: !trusted, labelled: true, ready: use(chosen) },
    record: { images: chosen },
  };
}

/** `guessed "imagenet"; "cifar10" fits about as well. Set it with --preprocess imagenet.` */
function guessText(name: string, indistinct: readonly Preprocessing[]): string {
  const others = indistinct.map((other) => `"${other.name}"`).join(", ");
  const doubt = others === "" ? "" : `; ${others} ${indistinct.length === 1 ? "fits" : "fit"} about as well`;
  const word = name.includes(" ") ? `"${name}"` : name;
  return `guessed "${name}"${doubt}. Set it with --preprocess ${word}.`;
}

/** `5 samples do not tell preprocessing "unit" from "raw", and figures depend on which is right: state it with --preprocess.` */
function undecidedText(name: string, indistinct: readonly Preprocessing[], count: number): string {
  const others = indistinct.map((other) => `"${other.name}"`).join(", ");
  const samples = count === 1 ? "1 sample does" : `${count} samples do`;
  return `${samples} not tell preprocessing "${name}" from ${others}, and figures depend on which is right: state it with --preprocess.`;
}

type Kind = "images" | "tokens" | "sound" | "ready";

function kindOf(model: Model, batch: Batch, owner: string): Kind {
  const { feeds } = model.graph;
  // Columns under the names of the inputs, in their types, are ready as they are.
  const isReady = feeds.every(({ name, type }) => {
    const column = batch[name];
    return column !== undefined && column.type !== "string" && (column.type !== "uint8" || type?.type === "uint8");
  });
  if (isReady) return "ready";
  if (batch.audio !== undefined && batch.begin !== undefined) return "sound";
  if (tokenInput(feeds) !== undefined && (batch.tokens !== undefined || textColumns(batch, owner) !== undefined)) {
    return "tokens";
  }
  requireNoPictures(model, batch, owner);
  const takesImages = feeds.length === 1 || feeds.some(({ type }) => type?.dims?.length === 4);
  const [feed] = feeds;
  return takesImages && feed !== undefined && imageChannels(batch, feed) !== undefined ? "images" : "ready";
}

/** @throws PithError E_DATA for pictures where the model takes tokens. */
function requireNoPictures({ graph }: Model, { image }: Batch, owner: string): void {
  const input = tokenInput(graph.feeds);
  if (input === undefined || !/^u?int/.test(input.type?.type ?? "") || image === undefined) return;
  if (graph.feeds.some(({ type }) => type?.dims?.length === 4)) return;
  const takes = `${input.type?.type}${dimsText(input.type?.dims)}`;
  throw new PithError("E_DATA", `${owner} holds pictures, and input "${input.name}" ${takes} takes tokens of texts.`, {
    hint: "Texts are .txt, .csv, .tsv or .jsonl files, with tokenizer.json beside the model.",
  });
}

/** A text with more words than this that the tokenizer does not know is not what the model was made for. */
const mostUnknown = 0.2;

function unknownText(share: number, name: string): string {
  return `${percent(share)} of the tokens of ${name} are unknown to tokenizer.json: metrics on them mean little. Is it the language of the model?`;
}

function tokensText(batch: Batch, { tokenizer }: Sidecars, length: number | undefined): string {
  if (batch.tokens !== undefined) return `windows of ${batch.tokens.dims[1]} tokens`;
  const most = length ?? tokenizer?.longest;
  return `tokenizer.json${most === undefined ? "" : `, at most ${most} tokens`}`;
}

/** "; state from stateN": what is carried from step to step. */
function statesStated(model: Model, given: readonly string[]): string {
  const states = findStates(model, given);
  return states.length === 0 ? "" : `; carried: ${statesText(states)}`;
}

function soundBatch({ audio, rate, ...rest }: Batch, input: string, rateName: string | undefined): Batch {
  return {
    ...rest,
    ...(audio === undefined ? {} : { [input]: audio }),
    ...(rate === undefined || rateName === undefined ? {} : { [rateName]: rate }),
  };
}
