/** Guesses sizes of symbolic input dimensions, most likely first, and finds those with which a model runs. */
import { findStates } from "#batches";
import { asPithError, type Batch, isSymbolic, type Model, type PithError, random, unsupportedError } from "#ir";
import type { Session } from "../../core/engine/index.ts";
import type { Assignment, RandomInputs, Shapes } from "./random-inputs.ts";

export interface Guess {
  readonly shapes: Shapes;
  /** Whether the first axis has a usual number of samples. It can count something else, such as time. */
  readonly isUsual: boolean;
  assignment(model: Model): Assignment;
}

/** Sizes to try for symbolic dimensions but the batch: `length` of sequences, `side` of images, `cached` earlier tokens. */
export type TrialSizes = readonly [length: number, side: number, cached?: number];

export interface GuessOptions {
  readonly known?: ReadonlyMap<string, number> | undefined;
  readonly lengths: readonly TrialSizes[];
  readonly batchSizes: readonly number[];
  readonly isAffordable?: (assignment: Assignment, batch: number) => boolean;
}

export const likelyLengths: readonly TrialSizes[] = lengthsOf([
  16, 32, 64, 224, 256, 320, 640, 8, 7, 4, 3, 2, 1, 128, 512, 576,
]);

export function lengthsOf(sizes: readonly number[]): readonly TrialSizes[] {
  return sizes.map((size) => [size, size]);
}

export function* guesses(
  model: Model,
  inputs: RandomInputs,
  { known = new Map(), lengths, batchSizes: batches, isAffordable: fits }: GuessOptions,
): Generator<Guess, void, undefined> {
  const visitedTexts = new Set<string>();
  const usual = lengths.flatMap((length) => batches.map((batch) => ({ length, batch, isUsual: true })));
  const unusual = lengths
    .slice(0, 1)
    .flatMap((length) => firstSizes.map((batch) => ({ length, batch, isUsual: false })));
  for (const { length, batch, isUsual } of [...usual, ...unusual]) {
    const assignment = (assignedModel: Model): Assignment => guessSizes(assignedModel, known, batch, length);
    const sizes = assignment(model);
    const shapes = inputs.shapes(sizes);
    const text = JSON.stringify([...shapes]);
    if (visitedTexts.has(text) || fits?.(sizes, batch) === false) continue;
    visitedTexts.add(text);
    yield { shapes, isUsual, assignment };
  }
}

/** Sizes of a first axis that counts no samples. */
const firstSizes = [3, 4, 7, 16, 32, 64, 128, 512];

export async function firstThatRuns(
  session: Session,
  inputs: RandomInputs,
  guessesToTry: Iterable<Guess>,
  seed: number,
): Promise<{ readonly guess: Guess; readonly feeds: Batch } | PithError> {
  let first: PithError | undefined;
  for (const guess of guessesToTry) {
    try {
      const feeds = inputs.draw(guess.shapes, random(seed, "random inputs"));
      await session.run(feeds);
      return { guess, feeds };
    } catch (error) {
      const reason = asPithError(error);
      first ??= reason;
    }
  }
  return first ?? unsupportedError("There are no sizes to try.");
}

/** Guesses sizes of symbols from their names. */
function guessSizes(
  model: Model,
  knownSizes: ReadonlyMap<string, number>,
  batch: number,
  [length, side, cached = 2]: TrialSizes,
): Assignment {
  const samples = sampleNames(model);
  const isBatch = (name: string): boolean => /batch|^n$/i.test(name) || samples.has(name);
  const isCached = (name: string): boolean => /past|cache/i.test(name) && !/\+|total/.test(name);
  const isTotal = (name: string): boolean => /total|\+/.test(name);
  const isSide = (name: string): boolean => /height|width|^[hw]$/i.test(name);
  return (name) =>
    knownSizes.get(name) ??
    (isBatch(name) ? batch : isCached(name) ? cached : isTotal(name) ? length + cached : isSide(name) ? side : length);
}

/** Returns the symbols that count samples. */
function sampleNames({ graph, header }: Model): ReadonlySet<string> {
  const symbols = graph.feeds.map(({ name, type }) => ({
    name,
    dims: type?.dims?.map((dim) => (isSymbolic(dim) ? dim.text : "")) ?? [],
  }));
  const firsts = new Set(symbols.map(({ dims }) => dims[0] ?? ""));
  const [first] = symbols;
  const states = new Set(
    findStates({ graph, header }, first === undefined ? [] : [first.name]).map(({ input }) => input),
  );
  const unnamedSymbols = symbols.flatMap(({ name, dims }) =>
    dims.filter((text, axis) => text.startsWith("?") && dims.length > 1 && (axis === 0 || states.has(name))),
  );
  return new Set([...(firsts.size === 1 ? firsts : []), ...unnamedSymbols].filter((text) => text !== ""));
}
