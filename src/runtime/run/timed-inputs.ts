/** Chooses the inputs for timing: one sample. */

import type { Dataset } from "#batches";
import { type Batch, dimsText, elementCount, isFloat, type Model, PithError, random, unsupportedError } from "#ir";
import type { Engine } from "../../core/engine/index.ts";
import { requireDimensions } from "../../rewrite/clean-up/fix-dimensions.ts";
import { readOneRun } from "./feeding.ts";
import type { OwnTextOptions } from "./own-text.ts";
import { type RandomInputs, randomInputs } from "./random-inputs.ts";
import { firstThatRuns, type Guess, guesses, likelyLengths } from "./size-guesses.ts";
import { hasLargeWeights } from "./size-limits.ts";

/** Default numbers of tokens and of pixels along an image side. */
const [timedLength, timedSide] = [128, 224];

export type TimedShapes = Readonly<Record<string, readonly number[]>>;

export interface TimedOptions {
  /** Known sizes of named dimensions. */
  readonly sizes: ReadonlyMap<string, number>;
  readonly fixed?: readonly Batch[];
  readonly seed: number;
}

export interface TimedInputs {
  /** One batch for each model. */
  readonly feeds: readonly Batch[];
  /** Name of the samples; undefined for random numbers. */
  readonly source: string | undefined;
}

/** Returns the inputs on which models are timed: the first of the given samples, a text, or random numbers. @throws PithError as `timedShapes`. */
export async function timedInputs(
  engine: Engine,
  models: readonly Model[],
  options: Partial<TimedOptions> & OwnTextOptions & { readonly samples?: Dataset | undefined } = {},
): Promise<TimedInputs> {
  const { samples, sizes = new Map(), fixed = [], seed = 0, file, signal } = options;
  const feedsFrom = async (dataset: Dataset): Promise<TimedInputs> => ({
    feeds: await Promise.all(models.map(async (model) => (await readOneRun(model, dataset)).feeds)),
    source: dataset.name,
  });
  if (samples !== undefined) return feedsFrom(samples);
  const [first] = models;
  const isFree = sizes.size === 0 && fixed.every((batch) => Object.keys(batch).length === 0);
  const text = { seed, file, signal, count: file === undefined ? 1 : undefined };
  // A page that times models gets their inputs, and cannot load the tokenizer.
  const { createOwnInputs, tryRealisticInputs } = await import("./own-text.ts");
  const texts = isFree && first !== undefined ? await createOwnInputs(engine, first, text, true) : undefined;
  const textFeeds = texts && (await tryRealisticInputs(undefined, () => feedsFrom(texts.samples)));
  if (textFeeds !== undefined) return textFeeds;
  const shapes = await timedShapes(engine, models, { sizes, fixed, seed });
  const feeds = models.map((model, index) => timedFeeds(model, shapes[index] ?? {}, seed, fixed[index]));
  return { feeds, source: undefined };
}

/**
 * Returns the input dimensions of each model: the first guess on which the first model runs. A single guess is not tested by a run.
 * @throws PithError E_NAME for an unknown name, E_UNSUPPORTED for an input of unknown rank or type, E_ENGINE if no guess runs.
 */
export async function timedShapes(
  engine: Engine,
  models: readonly Model[],
  { sizes, fixed = [], seed }: TimedOptions,
): Promise<readonly TimedShapes[]> {
  requireDimensions(models, sizes.keys());
  const modelInputs = models.map((model, index) => ({ model, inputs: requireDrawable(model, fixed[index]) }));
  const [first] = modelInputs;
  if (first === undefined) return [];
  const lengths = [[timedLength, timedSide] as const, ...likelyLengths];
  const sizeGuesses = [...guesses(first.model, first.inputs, { known: sizes, lengths, batchSizes: [1] })];
  const shapesOf = (guess: Guess): TimedShapes[] =>
    modelInputs.map(({ model, inputs }) => Object.fromEntries(inputs.shapes(guess.assignment(model))));
  const [only, ...rest] = sizeGuesses;
  if (only !== undefined && rest.length === 0) return shapesOf(only);
  const session = await engine.load(first.model, { threads: 1, spinning: false, lean: hasLargeWeights(first.model) });
  try {
    const result = await firstThatRuns(session, first.inputs, sizeGuesses, seed);
    if (result instanceof PithError) {
      const hint = "Set the sizes of named dimensions (`dim`), or the values of inputs (`set`).";
      throw result.reworded({ hint });
    }
    return shapesOf(result.guess);
  } finally {
    await session.release();
  }
}

export function timedFeeds(model: Model, shapes: TimedShapes, seed: number, fixedFeeds?: Batch): Batch {
  return requireDrawable(model, fixedFeeds).draw(new Map(Object.entries(shapes)), random(seed, "feeds"));
}

/** Maps each input to "int64[1, 128]", or to "int64[] = 16000" for a single value, which may select a branch. */
export function inputTexts(feeds: Batch): Readonly<Record<string, string>> {
  const texts = Object.entries(feeds).map(([name, { type, dims, data }]) => {
    const value = elementCount(dims) === 1 && !isFloat(type) ? ` = ${data[0]}` : "";
    return [name, `${type}${dimsText(dims)}${value}`] as const;
  });
  return Object.fromEntries(texts);
}

function requireDrawable(model: Model, fixedFeeds: Batch = {}): RandomInputs {
  const all = randomInputs(model);
  const undrawable = model.graph.feeds.find(({ name }) => name === all.undrawable);
  if (undrawable === undefined)
    return { ...all, draw: (shapes, numbers) => ({ ...all.draw(shapes, numbers), ...fixedFeeds }) };
  const { name, type } = undrawable;
  throw unsupportedError(
    `Input "${name}" is ${type?.type ?? "of unknown type"} ${dimsText(type?.dims)}: no random numbers can be drawn for it.`,
  );
}
