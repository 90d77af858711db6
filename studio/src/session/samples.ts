/** Opens the user's samples for the model, and predicts some of them. */
import { type Batch, type Model, PithError, toNumbers } from "pith";
import { collect, type IndexedDataset, memory, parsePreprocessing } from "pith/data";
import { estimate, type Metric, measure } from "pith/evaluate";
import { type OpenedTask, openTask } from "pith/task";
import { sampleViewsOf } from "../../../src/app/report/index.ts";
import {
  type ImageInput,
  type Pixels,
  partSizes,
  type SamplesRequest,
  type SamplesView,
  type ShownSample,
} from "../backend/backend.ts";
import { engine } from "./engine.ts";
import type { CallContext, Sampled } from "./session.ts";

/** Minimum number of test samples beside training samples, as for recipes with numbers of samples. */
const minTestSamples = 200;
const scoresWarning =
  "The outputs are compared as scores of classes. If they are other numbers, ignore classes and percentages.";
const shownSamples = 6;
const shownClasses = 3;

export async function openSamples(
  model: Model,
  { data, preprocess, samples = partSizes.samples }: SamplesRequest,
  { signal, report }: CallContext,
): Promise<{ readonly view: SamplesView; readonly task: OpenedTask }> {
  const warnings: string[] = [];
  const context = {
    engine,
    seed: 0,
    signal,
    log: ({ text, level }: { readonly text: string; readonly level?: string }) => {
      if (level === "warning") warnings.push(text);
      report({ note: text });
    },
    progress: (done: number, total?: number) => report({ stage: "try preprocessings", done, total }),
  };
  report({ stage: "read the samples" });
  const task = await openTask(model, { ...partSizes, samples, data, preprocess }, context);
  task.recordIn(model);
  const { metric, test } = task;
  report({ stage: "run the original" });
  const progress = (done: number, total?: number): void => report({ stage: "run the original", done, total });
  const measured =
    metric.truth === "original"
      ? []
      : await measure(engine, [model], test, [metric], { remembered: model, signal, progress });
  const [rows] = measured[0] ?? [];
  const view: SamplesView = {
    name: data,
    tested: test.count ?? 0,
    available: task.stored.availableTestCount,
    calibrated: task.calibrate?.count ?? 0,
    isLabeled: task.labelled,
    preprocessing: task.preprocessing,
    preset: task.preset,
    image: await imageInputOf(task),
    tried: task.tried,
    metric: { name: metric.name, unit: metric.unit, better: metric.better },
    original: rows && estimate(metric, rows),
    classes: test.classes,
    shown: await showSamples(model, task),
    warnings: [...new Set([...warnings, ...task.warnings, ...(task.assumesScores ? [scoresWarning] : [])])],
  };
  return { view, task };
}

/** Opens the samples again with some of them for training, whose labels are not used. Of data without parts, other samples are then tested on. */
export const openForTraining = (
  model: Model,
  { task, request: { data, samples = partSizes.samples } }: Sampled,
  signal: AbortSignal,
): Promise<OpenedTask> =>
  openTask(
    model,
    {
      ...partSizes,
      samples,
      data,
      preprocess: task.preset,
      learns: "answers",
      unlabeledTraining: Number.POSITIVE_INFINITY,
      minTestSamples,
    },
    { engine, seed: 0, signal },
  );

async function showSamples(model: Model, { test, shownSamples: viewed }: OpenedTask): Promise<readonly ShownSample[]> {
  const source = "gather" in test ? (test as IndexedDataset) : await collect(test, shownSamples);
  const count = Math.min(shownSamples, source.count);
  // Samples are often sorted by class, so the shown ones are evenly spread.
  const positions = Array.from({ length: count }, (_, index) => Math.floor((index * source.count) / count));
  const drawn = memory(test.name, await source.gather(Uint32Array.from(positions)));
  const stored = await sampleViewsOf(positions, test, viewed);
  const measured = await measure(engine, [model], drawn, [topClasses], { remembered: model });
  const [rows = new Float64Array(0)] = measured[0] ?? [];
  return Promise.all(
    positions.map(async (position, index) => {
      const sample = await drawn.gather(Uint32Array.of(index));
      const [label] = sample.label === undefined ? [] : toNumbers(sample.label);
      const row = rows.subarray(index * topClasses.columns, (index + 1) * topClasses.columns);
      return { position, stored: stored[index], input: pixelsOf(sample), label, top: readTop(row) };
    }),
  );
}

/** Rows of the classes with the highest scores: index and probability of each, −1 where there are none. */
const topClasses: Metric = {
  name: "top classes",
  unit: "",
  better: "higher",
  columns: 2 * shownClasses,
  rows(outputs, truth) {
    const samples = Object.values(truth)[0]?.dims[0] ?? 1;
    const scores = Object.entries(outputs).find(([name]) => name === "logits")?.[1] ?? Object.values(outputs)[0];
    const rows = new Float64Array(samples * this.columns).fill(-1);
    if (scores === undefined || scores.dims.length !== 2 || scores.dims[0] !== samples) return rows;
    const values = toNumbers(scores);
    const classes = scores.dims[1] ?? 0;
    // A single score, such as that of a regression, is not a class.
    if (classes < 2) return rows;
    for (let sample = 0; sample < samples; sample++) {
      const shares = probabilities(values.slice(sample * classes, (sample + 1) * classes));
      const order = shares.map((_, index) => index).sort((a, b) => (shares[b] ?? 0) - (shares[a] ?? 0));
      for (const [rank, index] of order.slice(0, shownClasses).entries())
        rows.set([index, shares[index] ?? 0], sample * this.columns + 2 * rank);
    }
    return rows;
  },
  reduce: () => Number.NaN,
};

/** Returns the softmax of scores, unless they are probabilities already. */
function probabilities(scores: readonly number[]): readonly number[] {
  const total = scores.reduce((sum, score) => sum + score, 0);
  if (Math.abs(total - 1) < 1e-3 && scores.every((score) => score >= 0)) return scores;
  const highest = scores.reduce((left, right) => Math.max(left, right), Number.NEGATIVE_INFINITY);
  const powers = scores.map((score) => Math.exp(score - highest));
  const sum = powers.reduce((left, right) => left + right, 0);
  return powers.map((power) => power / sum);
}

function readTop(row: Float64Array): ShownSample["top"] {
  return Array.from({ length: shownClasses }, (_, rank) => ({
    index: row[2 * rank] ?? -1,
    share: row[2 * rank + 1] ?? 0,
  })).filter(({ index }) => index >= 0);
}

/** Returns how stored images become inputs; undefined for other samples. */
async function imageInputOf({ preset, test }: OpenedTask): Promise<ImageInput | undefined> {
  if (preset === undefined) return undefined;
  const first = "gather" in test ? await (test as IndexedDataset).gather(Uint32Array.of(0)) : undefined;
  const form = first && imageFormOf(first);
  if (form === undefined) return undefined;
  const parsed = parsePreset(preset);
  const { data: _, ...shape } = form;
  // The code of a page resizes, and then crops or stretches.
  if (parsed === undefined || (typeof parsed.resize !== "number" && parsed.crop !== undefined)) return undefined;
  const { scale, mean, std, channels, resize } = parsed;
  const usual = shape.width === shape.height ? usualShortSide(shape.height) : undefined;
  const shortSide = typeof resize === "object" ? undefined : (resize ?? usual);
  return { ...shape, shortSide, scale, mean, std, isBgr: channels === "BGR" };
}

/** Returns undefined for a preprocessing that a file names, such as "preprocessor_config.json". */
function parsePreset(text: string) {
  try {
    return parsePreprocessing(text);
  } catch (error) {
    if (error instanceof PithError) return undefined;
    throw error;
  }
}

/** Returns the short side before a crop, as Pith takes it if a preprocessing does not state it. */
const usualShortSide = (size: number): number =>
  size < 160 ? size : size >= 224 && size <= 256 ? 256 : Math.round(size / 0.875);

/** Returns the float input of a sample that has the shape of an image; undefined for other inputs. */
function imageFormOf({ label: _, ...inputs }: Batch) {
  const [input] = Object.values(inputs);
  if (input === undefined || input.dims.length !== 4 || input.type !== "float32") return undefined;
  const [, a = 0, b = 0, c = 0] = input.dims;
  const isChannelsFirst = a === 1 || a === 3;
  const [channels, height, width] = isChannelsFirst ? [a, b, c] : [c, a, b];
  return channels === 1 || channels === 3 ? { data: input, isChannelsFirst, channels, height, width } : undefined;
}

/** Returns the float input of a sample as an image: its lowest value is black, its highest is white. Undefined for other inputs. */
function pixelsOf(sample: Batch): Pixels | undefined {
  const form = imageFormOf(sample);
  if (form === undefined) return undefined;
  const { isChannelsFirst, channels, height, width } = form;
  const values = toNumbers(form.data);
  const [low, high] = values.reduce(([l, h], value) => [Math.min(l, value), Math.max(h, value)], [Infinity, -Infinity]);
  const data = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let pixel = 0; pixel < width * height; pixel++)
    for (let channel = 0; channel < 3; channel++) {
      const source = Math.min(channel, channels - 1);
      const place = isChannelsFirst ? source * width * height + pixel : pixel * channels + source;
      data[4 * pixel + channel] = (255 * ((values[place] ?? 0) - low)) / (high - low || 1);
    }
  return { width, height, data };
}
