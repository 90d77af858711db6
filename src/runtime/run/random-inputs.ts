/** Random inputs in the ranges that the graph requires, for timing and comparing models without data. */
import { cachePerRevision, createDimRewrite, infer, requiredIntervals } from "#analysis";
import type { Batch, DataType, Dense, Dim, Model, Random, ValueType } from "#ir";
import {
  allValues,
  dimsText,
  dimText,
  dimValue,
  elementCount,
  fromNumbers,
  integerRange,
  isFloat,
  isSymbolic,
  unsupportedError,
  zeros,
} from "#ir";
import { requireMemory } from "../../core/engine/screen-model.ts";
import { drawImages, imageSides } from "./random-images.ts";

export type Assignment = (name: string) => number;

export type Shapes = ReadonlyMap<string, readonly number[]>;

export interface RandomInputs {
  /** Name of an input that cannot be drawn, because of its type or unknown rank. */
  readonly undrawable: string | undefined;
  /** Returns the size of a dimension. `assignment` sizes the symbols that the model does not determine. */
  size(dim: Dim, assignment: Assignment): number;
  shapes(assignment: Assignment): Shapes;
  /** @throws PithError E_UNSUPPORTED if a value would exceed memory, or an input the maximum. */
  draw(shapes: Shapes, numbers: Random): Batch;
}

/** Returns random inputs for a model. They are valid until the model changes. */
export const randomInputs = (model: Model): RandomInputs => randomInputsOf(model, infer(model));

const randomInputsOf = cachePerRevision((model, inference): RandomInputs => {
  const rangesByInput = requiredIntervals(model, inference);
  const equal = createDimRewrite(model, inference);
  const { feeds } = model.graph;
  const drawable = feeds.flatMap(({ name, type }) => {
    if (type?.dims === undefined || !isDrawable(type)) return [];
    return [{ name, type: type.type, dims: type.dims, wanted: rangesByInput.get(name) ?? [] }];
  });
  const size = (dim: Dim, assignment: Assignment): number => {
    const equalDim = equal(dim);
    if (!isSymbolic(equalDim)) return equalDim;
    const symbolSizes = Object.fromEntries(
      [...equalDim.text.matchAll(/[A-Za-z_]\w*/g)].map(([word]) => [word, assignment(word)]),
    );
    return dimValue(equalDim, symbolSizes) ?? assignment(dimText(equalDim));
  };
  return {
    undrawable: feeds.find(({ name }) => !drawable.some((other) => other.name === name))?.name,
    size,
    shapes: (assignment) => new Map(drawable.map(({ name, dims }) => [name, dims.map((dim) => size(dim, assignment))])),
    draw(shapes, numbers) {
      /** Sizes of the symbols in these shapes. */
      const sizes = new Map<string, number>();
      for (const { name, dims } of drawable)
        for (const [axis, dim] of dims.entries())
          if (isSymbolic(dim)) sizes.set(dim.text, shapes.get(name)?.[axis] ?? 1);
      const sizeNow = (dim: Dim): number | undefined =>
        dimValue(equal(dim), Object.fromEntries(sizes)) ?? dimValue(dim, Object.fromEntries(sizes));
      for (const { name, type, tensor } of allValues(model.graph)) {
        const dims = tensor === undefined ? type?.dims?.map(sizeNow) : undefined;
        if (type !== undefined && dims?.every((dim) => dim !== undefined) === true)
          requireMemory(name, type.type, dims);
      }
      const hasEmptyCache = [...shapes].some(([name, dims]) => /past/.test(name) && dims.includes(0));
      return Object.fromEntries(
        drawable.map(({ name, type, wanted }) => {
          // A merged decoder reads its cache if this is true.
          if (name === "use_cache_branch" && hasEmptyCache) return [name, zeros("bool", shapes.get(name) ?? [])];
          const intervals = wanted.flatMap(({ low, high, strict }): Interval[] => {
            const [from, to] = [sizeNow(low), sizeNow(high)];
            return from === undefined || to === undefined ? [] : [{ low: from, high: to, strict }];
          });
          const dims = shapes.get(name) ?? [];
          if (elementCount(dims) > maxDrawn)
            throw unsupportedError(
              `Input "${name}" is ${type}${dimsText(dims)}: random numbers are drawn for at most ${maxDrawn.toLocaleString("en")} elements.`,
            );
          return [name, drawTensor(type, dims, intervals, numbers)];
        }),
      );
    },
  };
});

type Drawable = Exclude<DataType, "string" | "complex64" | "complex128" | "float8e8m0">;

function isDrawable(type: ValueType): type is ValueType & { readonly type: Drawable } {
  return !["string", "complex64", "complex128", "float8e8m0"].includes(type.type);
}

interface Interval {
  readonly low: number;
  readonly high: number;
  readonly strict: boolean;
}

function drawTensor(type: Drawable, dims: readonly number[], intervals: readonly Interval[], numbers: Random): Dense {
  const tensor = (values: Float64Array): Dense =>
    type === "bool" ? { type, dims, data: Uint8Array.from(values) } : fromNumbers(type, dims, values);
  const fillWith = (value: () => number): Dense => tensor(new Float64Array(elementCount(dims)).map(value));
  const strict = intervals.filter((interval) => interval.strict);
  if (strict.length > 0) {
    const low = Math.max(...strict.map((interval) => interval.low));
    const high = Math.min(...strict.map((interval) => interval.high));
    return fillWith(() => low + (high > low ? numbers.integer(high - low + 1) : 0));
  }
  const [hint] = intervals.filter(({ low, high }) => low !== defaultInterval.low || high !== defaultInterval.high);
  const isByte = type === "uint8" || type === "int8";
  const sides = isByte || isFloat(type) ? imageSides(dims) : undefined;
  if (sides !== undefined)
    return tensor(drawImages(dims, sides, isByte ? integerRange[type] : pixelScaleOf(hint), numbers));
  if (isFloat(type)) {
    const { low, high } = hint ?? defaultInterval;
    return fillWith(() => (low + high) / 2 + ((high - low) / 4) * numbers.normal());
  }
  if (isByte) {
    const [low, high] = integerRange[type];
    return fillWith(() => low + numbers.integer(high - low + 1));
  }
  // Most flags are 1, because a mask of zeros would hide all positions.
  if (type === "bool" || hint !== undefined) {
    const { low, high } = hint ?? { low: 0, high: 1 };
    return fillWith(() =>
      low === 0 && high === 1 ? Number(numbers.integer(4) > 0) : low + numbers.integer(Math.max(1, high - low + 1)),
    );
  }
  // Zero is the only integer that is valid for every use.
  return zeros(type, dims);
}

/** Maximum number of random elements of an input. */
const maxDrawn = 2 ** 28;

const defaultInterval = { low: -2, high: 2 } as const;
/** Minimum divisor from which pixels are assumed to be from 0 to 255. */
const minPixelDivisor = 16;

function pixelScaleOf(hint: Interval | undefined): readonly [number, number] | undefined {
  if (hint === undefined) return undefined;
  return (hint.high - hint.low) / 4 > minPixelDivisor ? [0, 255] : [hint.low, hint.high];
}
