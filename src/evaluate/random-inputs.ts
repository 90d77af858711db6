/**
 * Random inputs of a model, drawn from a seed: where there is no data, models are timed on them and compared.
 *
 * What numbers mean something to a model its graph tells (`analysis/wanted-inputs.ts`): indices lie within the tables that they index, floats are as
 * large as the first layer takes them. Pictures are blocks of several sizes, since white noise averages out over their pixels. Sizes that no file
 * says are guessed; names that must be equal are (`analysis/equal-sizes.ts`).
 */
import { equalSizes } from "../analysis/equal-sizes.ts";
import { infer } from "../analysis/infer.ts";
import { wantedInputs } from "../analysis/wanted-inputs.ts";
import { PithError } from "../errors.ts";
import type { ValueType } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { fromNumbers, integerRange, isFloat } from "../tensor/convert.ts";
import { zeros } from "../tensor/dense.ts";
import { type Dim, dimsText, dimText, dimValue, elementCount, isSymbolic } from "../tensor/dims.ts";
import { type Random, random } from "../tensor/random.ts";
import type { Batch, DataType, Dense } from "../tensor/types.ts";
import { pictureSides, pictures } from "./random-pictures.ts";

/** The size of a named dimension. */
export type Assignment = (name: string) => number;

/** Input → its dimensions. */
export type Shapes = ReadonlyMap<string, readonly number[]>;

export interface RandomInputs {
  /** An input that no random numbers can be drawn for: texts, or of unknown rank. */
  readonly undrawable: string | undefined;
  /** The size of a dimension, its names being as assigned where the model does not decide them. */
  size(dim: Dim, assignment: Assignment): number;
  /** The dimensions of each input that can be drawn. */
  shapes(assignment: Assignment): Shapes;
  /** One batch of these dimensions. */
  draw(shapes: Shapes, numbers: Random): Batch;
}

/** What is drawn for a model. Costs one inference and one walk; the model is not changed. */
export function randomInputs(model: Model): RandomInputs {
  const copy = model.clone();
  const inference = infer(copy);
  const wanted = wantedInputs(copy, inference);
  const equal = equalSizes(copy, inference);
  const { feeds } = copy.graph;
  const drawable = feeds.flatMap(({ name, type }) => {
    if (type?.dims === undefined || !isDrawable(type)) return [];
    return [{ name, type: type.type, dims: type.dims, wanted: wanted.get(name) ?? [] }];
  });
  const size = (dim: Dim, assignment: Assignment): number => {
    const open = equal(dim);
    if (!isSymbolic(open)) return open;
    const words = Object.fromEntries(
      [...open.text.matchAll(/[A-Za-z_]\w*/g)].map(([word]) => [word, assignment(word)]),
    );
    return dimValue(open, words) ?? assignment(dimText(open));
  };
  return {
    undrawable: feeds.find(({ name }) => !drawable.some((other) => other.name === name))?.name,
    size,
    shapes: (assignment) => new Map(drawable.map(({ name, dims }) => [name, dims.map((dim) => size(dim, assignment))])),
    draw(shapes, numbers) {
      /** Names, as these shapes have them: where an axis of a table is named, its rows are. */
      const sizes = new Map<string, number>();
      for (const { name, dims } of drawable)
        for (const [axis, dim] of dims.entries())
          if (isSymbolic(dim)) sizes.set(dim.text, shapes.get(name)?.[axis] ?? 1);
      const sizeNow = (dim: Dim): number | undefined =>
        dimValue(equal(dim), Object.fromEntries(sizes)) ?? dimValue(dim, Object.fromEntries(sizes));
      return Object.fromEntries(
        drawable.map(({ name, type, wanted }) => {
          const intervals = wanted.flatMap(({ low, high, strict }): Interval[] => {
            const [from, to] = [sizeNow(low), sizeNow(high)];
            return from === undefined || to === undefined ? [] : [{ low: from, high: to, strict }];
          });
          return [name, drawn(type, shapes.get(name) ?? [], intervals, numbers)];
        }),
      );
    },
  };
}

type Drawable = Exclude<DataType, "string" | "complex64" | "complex128" | "float8e8m0">;

function isDrawable(type: ValueType): type is ValueType & { readonly type: Drawable } {
  return !["string", "complex64", "complex128", "float8e8m0"].includes(type.type);
}

interface Interval {
  readonly low: number;
  readonly high: number;
  readonly strict: boolean;
}

function drawn(type: Drawable, dims: readonly number[], intervals: readonly Interval[], numbers: Random): Dense {
  const tensor = (values: Float64Array): Dense =>
    type === "bool" ? { type, dims, data: Uint8Array.from(values) } : fromNumbers(type, dims, values);
  const each = (value: () => number): Dense => tensor(new Float64Array(elementCount(dims)).map(value));
  const strict = intervals.filter((interval) => interval.strict);
  if (strict.length > 0) {
    const low = Math.max(...strict.map((interval) => interval.low));
    const high = Math.min(...strict.map((interval) => interval.high));
    return each(() => low + (high > low ? numbers.integer(high - low + 1) : 0));
  }
  const [hint] = intervals.filter(({ low, high }) => low !== unit.low || high !== unit.high);
  const isByte = type === "uint8" || type === "int8";
  const sides = isByte || isFloat(type) ? pictureSides(dims) : undefined;
  if (sides !== undefined) return tensor(pictures(dims, sides, isByte ? integerRange[type] : scaleOf(hint), numbers));
  if (isFloat(type)) {
    const { low, high } = hint ?? unit;
    return each(() => (low + high) / 2 + ((high - low) / 4) * numbers.normal());
  }
  if (isByte) {
    const [low, high] = integerRange[type];
    return each(() => low + numbers.integer(high - low + 1));
  }
  // Flags: most are set, since masks of zeros hide everything.
  if (type === "bool" || hint !== undefined) {
    const { low, high } = hint ?? { low: 0, high: 1 };
    return each(() =>
      low === 0 && high === 1 ? Number(numbers.integer(4) > 0) : low + numbers.integer(Math.max(1, high - low + 1)),
    );
  }
  // The one whole number that is valid wherever it is used.
  return zeros(type, dims);
}

const unit = { low: -2, high: 2 } as const;
/** Inputs that are divided by more than this are pixels of 0 … 255. */
const leastDivisor = 16;

/** Between which numbers pixels lie; undefined where the graph says nothing. */
function scaleOf(hint: Interval | undefined): readonly [number, number] | undefined {
  if (hint === undefined) return undefined;
  return (hint.high - hint.low) / 4 > leastDivisor ? [0, 255] : [hint.low, hint.high];
}

/** What names of dimensions are likely to stand for: samples, what a cache holds, and all the rest. */
export function guessedSizes(
  model: Model,
  sizes: ReadonlyMap<string, number>,
  batch: number,
  length: number,
): Assignment {
  const isBatch = (name: string): boolean => /batch|^n$/i.test(name) || name === firstName(model);
  const past = (name: string): boolean => /past|cache/i.test(name) && !/\+|total/.test(name);
  const total = (name: string): boolean => /total|\+/.test(name);
  return (name) => sizes.get(name) ?? (isBatch(name) ? batch : past(name) ? 2 : total(name) ? length + 2 : length);
}

/** The name of the first dimension, where all inputs share it: the batch. */
function firstName(model: Model): string | undefined {
  const firsts = new Set(model.graph.feeds.map(({ type }) => type?.dims?.[0]));
  const [only] = firsts;
  return firsts.size === 1 && only !== undefined && isSymbolic(only) ? only.text : undefined;
}

/** Tokens, and places along a side of a picture, that a model is timed on where nothing says how many. */
export const timedLength = 128;
const timedSide = 224;
const isSide = /height|width|^[hw]$/i;

/**
 * One batch to time a model on: one sample, of a sequence of `length`.
 * @param sizes what named dimensions are taken as; those not named are guessed, where nothing in the model decides them.
 * @throws PithError E_NAME for a name that no input has, E_UNSUPPORTED for an input whose rank or type is not known.
 */
export function randomFeeds(
  model: Model,
  sizes: ReadonlyMap<string, number>,
  seed: number,
  length = timedLength,
): Batch {
  const inputs = randomInputs(model);
  const strange = model.graph.feeds.find(({ name }) => name === inputs.undrawable);
  if (strange !== undefined) {
    const { name, type } = strange;
    throw new PithError(
      "E_UNSUPPORTED",
      `Input "${name}" is ${type?.type ?? "of unknown type"} ${dimsText(type?.dims)}: no random numbers can be drawn for it.`,
    );
  }
  const used = new Set(model.graph.feeds.flatMap(({ type }) => type?.dims?.filter(isSymbolic).map(dimText) ?? []));
  for (const name of sizes.keys()) {
    if (used.has(name)) continue;
    throw new PithError("E_NAME", `No input has a dimension "${name}", only ${[...used].join(", ") || "fixed ones"}.`);
  }
  const guessed = guessedSizes(model, sizes, 1, length);
  return inputs.draw(
    inputs.shapes((name) => sizes.get(name) ?? (isSide.test(name) ? timedSide : guessed(name))),
    random(seed, "feeds"),
  );
}
