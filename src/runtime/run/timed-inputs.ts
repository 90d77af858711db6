/** Chooses the sizes of inputs for timing: one sample of a typical size. */

import { type Batch, dimsText, dimText, elementCount, isFloat, isSymbolic, type Model, PithError, random } from "#ir";
import type { Engine } from "../../core/engine/index.ts";
import { requireDimensions } from "../../rewrite/clean-up/fix-dimensions.ts";
import { Decoding } from "./decoding.ts";
import { hasLargeWeights } from "./large-weights.ts";
import { firstThatRuns, type Guess, guesses, likelyLengths, type RandomInputs, randomInputs } from "./random-inputs.ts";

/** Default numbers of tokens and of pixels along an image side. */
export const timedLength = 128;
const timedSide = 224;

export type TimedShapes = Readonly<Record<string, readonly number[]>>;

export interface TimedOptions {
  /** Known sizes of named dimensions; others are guessed unless the model determines them. */
  readonly sizes: ReadonlyMap<string, number>;
  /** Tokens of a sequence (128). */
  readonly length?: number | undefined;
  readonly fixed?: readonly Batch[];
  readonly seed: number;
}

/**
 * Returns the input dimensions of each model: the first guess on which the first model runs. A single guess is not tested by a run.
 * @throws PithError E_NAME for a name that no input has, E_UNSUPPORTED for an input whose rank or type is not known, E_ENGINE if the first model runs
 * on none of the sizes that were tried.
 */
export async function timedShapes(
  engine: Engine,
  models: readonly Model[],
  { sizes, length = timedLength, fixed = [], seed }: TimedOptions,
): Promise<readonly TimedShapes[]> {
  requireDimensions(models, sizes.keys());
  const modelInputs = models.map((model, index) => ({ model, inputs: requireDrawable(model, fixed[index]) }));
  const [first] = modelInputs;
  if (first === undefined) return [];
  const lengths = [[length, timedSide] as const, ...likelyLengths];
  const sizeGuesses = [...guesses(first.model, first.inputs, { known: sizes, lengths, batches: [1] })];
  const shapesOf = (guess: Guess): TimedShapes[] =>
    modelInputs.map(({ model, inputs }) => Object.fromEntries(inputs.shapes(guess.assignment(model))));
  const [only, ...rest] = sizeGuesses;
  if (only !== undefined && rest.length === 0) return shapesOf(only);
  const session = await engine.load(first.model, { lean: hasLargeWeights(first.model) });
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

export function timedFeeds(model: Model, shapes: TimedShapes, seed: number, fixed?: Batch): Batch {
  return requireDrawable(model, fixed).draw(new Map(Object.entries(shapes)), random(seed, "feeds"));
}

/** Returns the inputs of a language model for a text, at first without a cache. */
export const textFeeds = (model: Model, tokens: readonly number[]): Batch => new Decoding(model).next([tokens]);

/** Maps each input to its type and dimensions, "int64[1, 128]", with the value of an integer scalar, which may select a branch: "int64[] = 16000". */
export function inputTexts(feeds: Batch): Readonly<Record<string, string>> {
  const texts = Object.entries(feeds).map(([name, { type, dims, data }]) => {
    const value = elementCount(dims) === 1 && !isFloat(type) ? ` = ${data[0]}` : "";
    return [name, `${type}${dimsText(dims)}${value}`] as const;
  });
  return Object.fromEntries(texts);
}

/** Returns the symbols of token positions: open dimensions of integer inputs except the first. */
export function sequenceNames({ graph }: Model): ReadonlySet<string> {
  const integerInputs = graph.feeds.filter(({ type }) => type?.type === "int64" || type?.type === "int32");
  const [batch] = integerInputs.flatMap(({ type }) => type?.dims?.slice(0, 1).filter(isSymbolic) ?? []);
  const open = integerInputs.flatMap(({ type }) => type?.dims?.slice(1).filter(isSymbolic) ?? []);
  return new Set(open.map(dimText).filter((name) => name !== batch?.text));
}

function requireDrawable(model: Model, fixed: Batch = {}): RandomInputs {
  const all = randomInputs(model);
  const undrawable = model.graph.feeds.find(({ name }) => name === all.undrawable);
  if (undrawable === undefined)
    return { ...all, draw: (shapes, numbers) => ({ ...all.draw(shapes, numbers), ...fixed }) };
  const { name, type } = undrawable;
  throw new PithError(
    "E_UNSUPPORTED",
    `Input "${name}" is ${type?.type ?? "of unknown type"} ${dimsText(type?.dims)}: no random numbers can be drawn for it.`,
  );
}
