/** Slice and Pad. Bounds of Slice are attributes before opset 10; `pads` is an attribute before 11; Pad has `axes` since 18. */
import type { Dim, Value } from "#graph";
import { addDims, dimText, fixedDims, isSymbolic, Miss, multiplyDims, sliceRange, symbol } from "#graph";
import { type AxisLink, defineOp, type Site } from "./define.ts";
import {
  constantIntegersOf,
  readAttributeOrInput,
  readFloat,
  readIntegers,
  readString,
  wrapAxis,
} from "./shared/attributes.ts";
import { withMovedElements } from "./shared/elements.ts";
import { noLowering, noRank } from "./shared/misses.ts";
import {
  fillWith,
  forwardWanted,
  inferShape,
  range,
  replaceLists,
  requireInput,
  sizesOf,
  typeOf,
} from "./shared/shapes.ts";

interface SliceRange {
  readonly axis: number;
  readonly start: Dim;
  readonly end: Dim;
  readonly step: number;
  /** Whether bounds, axes or steps are computed at run time. */
  readonly isOpen?: true;
}

function readSlice(site: Site): readonly SliceRange[] | Miss {
  const rank = site.inputs[0]?.dims?.length;
  if (rank === undefined) return noRank;
  const starts = site.inputs[1] === undefined ? readIntegers(site, "starts") : site.inputs[1].elements;
  const ends = site.inputs[2] === undefined ? readIntegers(site, "ends") : site.inputs[2].elements;
  const axes = readAttributeOrInput(site, "axes", 3);
  const steps = site.inputs[4] === undefined ? undefined : constantIntegersOf(site.inputs[4]);
  const hasRuntimeSteps = steps === undefined && site.inputs[4] !== undefined;
  if (steps?.includes(0) === true) return new Miss("a step is 0");
  if (starts === undefined || ends === undefined || axes === "runtime" || hasRuntimeSteps) {
    const count = site.inputs[1]?.dims?.[0];
    const leadingAxes = range(typeof count === "number" ? Math.min(count, rank) : rank);
    const slicedAxes = axes === "runtime" ? range(rank) : (axes?.known ?? leadingAxes);
    return slicedAxes.map((axis) => ({ axis: wrapAxis(axis, rank), start: 0, end: 0, step: 1, isOpen: true }));
  }
  return starts.map((start, index) => ({
    axis: wrapAxis(axes?.known[index] ?? index, rank),
    start,
    end: ends[index] ?? 0,
    step: steps?.[index] ?? 1,
  }));
}

type ResolvedRange = ReturnType<typeof sliceRange>;

function resolveRange({ start, end, step, isOpen }: SliceRange, size: number): ResolvedRange | undefined {
  return isOpen === true || isSymbolic(start) || isSymbolic(end) ? undefined : sliceRange(size, start, end, step);
}

/** Symbolic bounds are assumed to be within the axis, as for a position table that covers the longest sequence. */
function slicedDim(range: SliceRange, size: Dim): Dim {
  const { start, end, step } = range;
  const fixedRange = isSymbolic(size) ? undefined : resolveRange(range, size);
  if (fixedRange !== undefined) return fixedRange.count;
  if (step === 1 && !isSymbolic(start) && !isSymbolic(end)) {
    if (start >= 0 && end >= minOpenEnd) return addDims(size, -start);
    if (start >= 0 && end < 0) return addDims(size, end - start);
    if (start < 0 && end >= minOpenEnd) return -start;
    if (start === 0 && end === 1) return 1;
  } else if (step === 1 && isFromFront(start)) {
    if (isFromFront(end)) return addDims(!isSymbolic(end) && end >= minOpenEnd ? size : end, multiplyDims(-1, start));
    if (!isSymbolic(end)) return addDims(addDims(size, end), multiplyDims(-1, start));
  }
  return symbol(`slice(${dimText(size)}, ${dimText(start)}, ${dimText(end)}, ${step})`);
}

/** A bound from this number on means "to the end". Exporters write 10⁹, 2³¹ - 1 or 2⁶³ - 1. */
const minOpenEnd = 1e9;

const isFromFront = (bound: Dim): boolean => (isSymbolic(bound) ? !bound.text.startsWith("-") : bound >= 0);

function rangeOf(ranges: readonly SliceRange[], axis: number): SliceRange | undefined {
  return ranges.find((range) => range.axis === axis);
}

/** Returns the range of an axis if it is known and has step 1: then channels can be removed. */
function contiguousRange(
  ranges: readonly SliceRange[],
  axis: number,
  size: Dim | undefined,
): ResolvedRange | undefined {
  const range = rangeOf(ranges, axis);
  return range === undefined || range.step !== 1 || typeof size !== "number" ? undefined : resolveRange(range, size);
}

function coversAxis(range: SliceRange, size: Dim | undefined): boolean {
  const { start, end, step } = range;
  if (size === undefined) return false;
  if (typeof size === "number") {
    const bounds = resolveRange(range, size);
    return bounds !== undefined && bounds.count === size && (bounds.first === 0 || size === 0);
  }
  return start === 0 && step === 1 && (end === size || (!isSymbolic(end) && end >= minOpenEnd));
}

export const Slice = defineOp<readonly SliceRange[]>({
  name: "Slice",
  sameType: 0,
  read: readSlice,
  infer: (ranges, site) => {
    const { type, dims } = requireInput(site, 0);
    if (dims === undefined) return [{ type, dims: undefined }];
    const out = dims.map((dim, axis) => {
      const range = rangeOf(ranges, axis);
      if (range === undefined) return dim;
      return range.isOpen === true ? site.open(0, axis) : slicedDim(range, dim);
    });
    return [
      withMovedElements({ type, dims: out }, site, (sizes) => {
        const starts = sizes.flatMap((size, axis) => {
          const range = rangeOf(ranges, axis);
          const bounds = range === undefined ? { first: 0 } : resolveRange(range, size);
          return bounds === undefined ? [] : [{ first: bounds.first, step: range?.step ?? 1 }];
        });
        if (starts.length < sizes.length) return undefined;
        return (position) => starts.map(({ first, step }, axis) => first + step * (position[axis] ?? 0));
      }),
    ];
  },
  // A symbolic end is assumed to lie within the dimension, but can be smaller.
  unchanged: (ranges, site) => {
    const dims = site.inputs[0]?.dims;
    return dims && ranges.every((range) => coversAxis(range, dims[range.axis])) ? 0 : undefined;
  },
  homogeneous: [[0]],
  axes: (ranges, site, dims) => {
    const links = dims.map((dim, axis): AxisLink => {
      const range = rangeOf(ranges, axis);
      const isComplete =
        range === undefined || (range.isOpen === undefined && range.step === 1 && slicedDim(range, dim) === dim);
      if (isComplete) return { from: ["in0", axis], to: ["out0", axis] };
      const keptRange = contiguousRange(ranges, axis, dim);
      return keptRange === undefined
        ? { refuses: ["in0", axis], reason: "Slice picks positions of this axis" }
        : { from: ["out0", axis], to: ["in0", axis], map: (index) => [keptRange.first + index] };
    });
    return {
      links,
      resize: (removal) => {
        const bounds = ranges.map((range) => {
          const oldRange = contiguousRange(ranges, range.axis, dims[range.axis]);
          if (oldRange === undefined) return [range.start, range.end];
          const start =
            oldRange.first - removal.removed(["in0", range.axis]).filter((index) => index < oldRange.first).length;
          return [start, start + oldRange.count - removal.removed(["out0", range.axis]).length];
        });
        const [starts, ends] = [bounds.map(([start]) => start), bounds.map(([, end]) => end)];
        if (![...starts, ...ends].every((bound) => typeof bound === "number")) return {};
        return replaceLists(site.version < 10, { starts: starts as number[], ends: ends as number[] });
      },
    };
  },
  gradient: (ranges, { emit, inputs: [x], up }) => {
    const dims = sizesOf(x);
    const resolvedRanges = ranges.flatMap((range) => {
      const bounds = resolveRange(range, dims[range.axis] ?? 0);
      return bounds === undefined ? [] : [{ ...range, ...bounds }];
    });
    if (resolvedRanges.length < ranges.length) return new Miss("its bounds are computed at run time");
    if (resolvedRanges.every(({ step }) => step === 1)) {
      const zerosBefore = dims.map(() => 0);
      const zerosAfter = dims.map(() => 0);
      for (const { axis, first, count } of resolvedRanges) {
        zerosBefore[axis] = first;
        zerosAfter[axis] = (dims[axis] ?? 0) - first - count;
      }
      return [emit.Pad([up, [...zerosBefore, ...zerosAfter], 0])];
    }
    // With other steps, the gradient is scattered along one axis after the other.
    let gradientPart = up;
    const shape = [...sizesOf(up)];
    for (const { axis, first, count, step } of resolvedRanges.toReversed()) {
      const indexShape = shape.map((_, other) => (other === axis ? count : 1));
      const indices = emit.Expand([emit.Reshape([range(count).map((k) => first + k * step), indexShape]), shape]);
      shape[axis] = dims[axis] ?? 0;
      gradientPart = emit.ScatterElements([fillWith(emit, typeOf(x), shape, 0), indices, gradientPart], { axis });
    }
    return [gradientPart];
  },
  quantize: () => ({ kind: "transparent" }),
});

function sourceIndex(mode: string, position: number, size: number): number {
  if (mode === "edge") return Math.min(size - 1, Math.max(0, position));
  if (mode === "wrap") return ((position % size) + size) % size;
  const period = Math.max(1, 2 * (size - 1));
  const foldedPosition = ((position % period) + period) % period;
  return foldedPosition < size ? foldedPosition : period - foldedPosition;
}

const padsAtRunTime = new Miss("its pads are computed at run time");

export const Pad = defineOp({
  name: "Pad",
  padding: 1,
  sameType: 0,
  read: (site) => {
    const rank = site.inputs[0]?.dims?.length;
    if (rank === undefined) return noRank;
    const padList = readAttributeOrInput(site, "pads", 1);
    if (padList === undefined) return new Miss("has no pads");
    const axes = constantIntegersOf(site.inputs[3])?.map((axis) => wrapAxis(axis, rank));
    const isOpen = padList === "runtime" || (axes === undefined && site.inputs[3] !== undefined);
    // Starts of all axes, then ends.
    const pads = new Array<number>(2 * rank).fill(0);
    const values = padList === "runtime" || isOpen ? [] : padList.known;
    const padCount = values.length / 2;
    for (const [index, pad] of values.entries())
      pads[(index < padCount ? 0 : rank) + (axes?.[index % padCount] ?? index % padCount)] = pad;
    const filler = site.inputs[2];
    const fillsZero =
      filler === undefined
        ? readFloat(site, "value", 0) === 0
        : filler.small !== undefined && Number(filler.small.data[0] ?? 0) === 0;
    return {
      mode: readString(site, "mode", "constant"),
      pads,
      axes,
      fillsZero,
      isKnownZero: !isOpen && fillsZero,
      openAxes: isOpen ? (axes ?? range(rank)) : [],
    };
  },
  infer: (s, site) => {
    const padDims = (dims: readonly Dim[]): readonly Dim[] =>
      dims.map((dim, axis) => {
        if (s.openAxes.includes(axis)) return site.open(0, axis);
        return addDims(dim, (s.pads[axis] ?? 0) + (s.pads[dims.length + axis] ?? 0));
      });
    return inferShape(site, padDims);
  },
  unchanged: (s) => (s.openAxes.length === 0 && s.pads.every((pad) => pad === 0) ? 0 : undefined),
  homogeneous: (s) => (s.mode === "constant" && !s.fillsZero ? undefined : { products: [[0]] }),
  axes: (s, site, dims) => {
    const rank = dims.length;
    const isPadded = (axis: number): boolean => s.pads[axis] !== 0 || s.pads[rank + axis] !== 0;
    const isRewritable = s.mode === "constant" && s.isKnownZero && s.pads.every((pad) => pad >= 0);
    const axes = s.axes ?? range(rank);
    const links = dims.map((_, axis): AxisLink => {
      if (s.openAxes.includes(axis)) return { refuses: ["in0", axis], reason: padsAtRunTime.reason };
      if (!isPadded(axis)) return { from: ["in0", axis], to: ["out0", axis] };
      const begin = s.pads[axis] ?? 0;
      if (!isRewritable) return { refuses: ["in0", axis], reason: `Pad fills this axis (${s.mode})` };
      return { from: ["in0", axis], to: ["out0", axis], map: (index) => [begin + index] };
    });
    return {
      links,
      // Zero channels from padding are removed by padding less.
      resize: (removal) => {
        if (!isRewritable) return {};
        const pads = s.pads.map((pad, index) => {
          const axis = index % rank;
          const size = dims[axis];
          if (!isPadded(axis) || typeof size !== "number") return pad;
          const begin = s.pads[axis] ?? 0;
          const isCut = (position: number): boolean => (index < rank ? position < begin : position >= begin + size);
          return pad - removal.removed(["out0", axis]).filter(isCut).length;
        });
        return replaceLists(site.version < 11, {
          pads: [...axes, ...axes.map((axis) => rank + axis)].map((index) => pads[index] ?? 0),
        });
      },
    };
  },
  lower: (s, emit, [x]) => {
    if (s.mode === "constant") return noLowering;
    if (s.openAxes.length > 0) return padsAtRunTime;
    const dims = fixedDims(x?.type?.dims);
    if (x === undefined || dims === undefined) return new Miss("the dimensions of its input are not fixed");
    const paddedValue = dims.reduce((value, size, axis) => {
      const [before, after] = [s.pads[axis] ?? 0, s.pads[dims.length + axis] ?? 0];
      if (before === 0 && after === 0) return value;
      const picks = range(before + size + after, -before).map((position) => sourceIndex(s.mode, position, size));
      return emit.Gather([value, picks], { axis });
    }, x);
    return [paddedValue === x ? emit.Identity([x]) : paddedValue];
  },
  gradient: (s, { emit, inputs: [, , filler], up, wanted }) => {
    if (s.mode !== "constant") return new Miss("is differentiated as its primitives");
    if (s.openAxes.length > 0) return padsAtRunTime;
    // Negative pads crop what padding added.
    const dX = emit.Pad([up, s.pads.map((pad) => 0 - pad), 0]);
    if (filler === undefined || !wanted(2)) return [dX];
    // The gradient of the fill value is the sum over the padded positions.
    const sumAll = (value: Value): Value => emit.ReduceSum([value], { keepdims: 0 });
    return [dX, undefined, emit.Sub([sumAll(up), sumAll(emit.Pad([dX, s.pads, 0]))])];
  },
  wants: (_, __, output) => forwardWanted(output, 0),
  quantize: (s) =>
    s.mode === "constant" && !s.fillsZero
      ? new Miss("fills with a value other than 0")
      : {
          kind: "transparent",
          onCodes: (emit, [codes, pads, , axes], zeroPoint) =>
            emit.Pad([codes, pads, s.mode === "constant" ? zeroPoint : undefined, axes], { mode: s.mode }),
        },
});
