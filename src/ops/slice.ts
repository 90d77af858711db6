/**
 * Cutting out and filling up: Slice, Pad.
 * Opset history: Slice takes its bounds as attributes before 10, as inputs since; Pad takes `pads` as an attribute before 11, as an input
 * since, and axes since 18.
 */
import { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { addDims, type Dim, fixedDims, symbol } from "../tensor/dims.ts";
import { attributeOrInput, constantIntegers, text, wrapAxis } from "./attributes.ts";
import { type AxisLink, defineOp, noParameters, type Op, type Site } from "./define.ts";
import { dimsAt, filled, fixed, integersConstant, need, noMacs, reshapeTo, scalar, typeOf } from "./rules.ts";

interface Range {
  readonly axis: number;
  readonly start: number;
  readonly end: number;
  readonly step: number;
}

function readSlice(site: Site): readonly Range[] | Miss {
  const rank = site.inputs[0]?.dims?.length;
  if (rank === undefined) return new Miss("the rank of its input is not known");
  const starts = attributeOrInput(site, "starts", 1);
  const ends = attributeOrInput(site, "ends", 2);
  const axes = attributeOrInput(site, "axes", 3);
  if (starts === undefined || ends === undefined || starts === "runtime" || ends === "runtime" || axes === "runtime") {
    return new Miss("its bounds are computed at run time");
  }
  const steps = site.inputs[4] === undefined ? undefined : constantIntegers(site.inputs[4]);
  if (steps === undefined && site.inputs[4] !== undefined) return new Miss("its steps are computed at run time");
  return starts.known.map((start, place) => ({
    axis: wrapAxis(axes?.known[place] ?? place, rank),
    start,
    end: ends.known[place] ?? 0,
    step: steps?.[place] ?? 1,
  }));
}

/** Start and count within a fixed size, bounds clamped as the specification says. */
function resolved({ start, end, step }: Range, size: number): { readonly first: number; readonly count: number } {
  const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
  const clamp = (bound: number): number => Math.min(high, Math.max(low, bound < 0 ? bound + size : bound));
  const first = clamp(start);
  return { first, count: Math.max(0, Math.ceil((clamp(end) - first) / step)) };
}

function slicedDim(range: Range, size: Dim): Dim {
  if (typeof size === "number") return resolved(range, size).count;
  const { start, end, step } = range;
  if (step === 1 && start >= 0 && end > 1e15) return addDims(size, -start);
  if (step === 1 && start >= 0 && end < 0) return addDims(size, end - start);
  if (step === 1 && start < 0 && end > 1e15) return -start;
  return symbol(`slice(${size.text}, ${start}, ${end}, ${step})`);
}

const Slice = defineOp<readonly Range[]>({
  name: "Slice",
  read: readSlice,
  infer: (ranges, site) => {
    const { type, dims, elements } = need(site, 0);
    if (dims === undefined) return [{ type, dims: undefined }];
    const out = dims.map((dim, axis) => {
      const range = ranges.find((candidate) => candidate.axis === axis);
      return range === undefined ? dim : slicedDim(range, dim);
    });
    const [only] = ranges;
    if (elements === undefined || dims.length !== 1 || only === undefined) return [{ type, dims: out }];
    const { first, count } = resolved(only, elements.length);
    const kept = Array.from({ length: count }, (_, k) => elements[first + k * only.step] as Dim);
    return [{ type, dims: out, elements: kept }];
  },
  parameters: noParameters,
  weight: new Miss("has no weight"),
  axes: (ranges, site) => {
    const dims = dimsAt(site, 0);
    if (dims instanceof Miss) return dims;
    return {
      links: dims.map((dim, axis): AxisLink => {
        const range = ranges.find((candidate) => candidate.axis === axis);
        const whole = range === undefined || (range.step === 1 && slicedDim(range, dim) === dim);
        return whole
          ? { from: ["in0", axis], to: ["out0", axis] }
          : { refuses: ["in0", axis], reason: "Slice cuts this axis at fixed positions" };
      }),
    };
  },
  lower: new Miss("is primitive"),
  gradient: (ranges, { emit, inputs: [x], upstream: [up] }) => {
    if (x === undefined || up === undefined) return [];
    const dims = fixed(x);
    if (ranges.every(({ step }) => step === 1)) {
      const before = dims.map(() => 0);
      const after = dims.map(() => 0);
      for (const range of ranges) {
        const size = dims[range.axis] ?? 0;
        const { first, count } = resolved(range, size);
        before[range.axis] = first;
        after[range.axis] = size - first - count;
      }
      return [emit.Pad([up, integersConstant(emit, [...before, ...after]), scalar(emit, typeOf(x), 0)])];
    }
    // Strided: scatter along one axis after the other, from the last range back to the first.
    let part = up;
    const shape = ranges.reduce(
      (sizes, range) =>
        sizes.map((size, axis) => (axis === range.axis ? resolved(range, dims[axis] ?? 0).count : size)),
      [...dims],
    );
    for (const range of ranges.toReversed()) {
      const size = dims[range.axis] ?? 0;
      const { first, count } = resolved(range, size);
      const index = integersConstant(
        emit,
        Array.from({ length: count }, (_, k) => first + k * range.step),
      );
      const along = reshapeTo(
        emit,
        index,
        shape.map((_, axis) => (axis === range.axis ? count : 1)),
      );
      const indices = emit.Expand([along, integersConstant(emit, shape)]);
      shape[range.axis] = size;
      const zeros = filled(emit, typeOf(x), shape, 0);
      part = emit.ScatterElements([zeros, indices, part], { axis: range.axis });
    }
    return [part];
  },
  cost: noMacs,
  quantize: () => ({ kind: "transparent" }),
});

interface PadSettings {
  readonly mode: string;
  /** begin of each axis, then end of each axis. */
  readonly pads: readonly number[];
  readonly axes: readonly number[] | undefined;
  readonly fromInput: boolean;
  readonly zero: boolean;
}

/** The element that stands at a position outside of 0 … size - 1: the nearest, the mirrored (its edge not repeated), or the one cyclically. */
function source(mode: string, position: number, size: number): number {
  if (mode === "edge") return Math.min(size - 1, Math.max(0, position));
  if (mode === "wrap") return ((position % size) + size) % size;
  const period = Math.max(1, 2 * (size - 1));
  const folded = ((position % period) + period) % period;
  return folded < size ? folded : period - folded;
}

const Pad = defineOp<PadSettings>({
  name: "Pad",
  read: (site) => {
    const rank = site.inputs[0]?.dims?.length;
    if (rank === undefined) return new Miss("the rank of its input is not known");
    const given = attributeOrInput(site, "pads", 1);
    if (given === undefined || given === "runtime") return new Miss("its pads are computed at run time");
    const axes =
      site.inputs[3] === undefined ? undefined : constantIntegers(site.inputs[3])?.map((axis) => wrapAxis(axis, rank));
    if (axes === undefined && site.inputs[3] !== undefined) return new Miss("its axes are computed at run time");
    const half = given.known.length / 2;
    const pads = new Array<number>(2 * rank).fill(0);
    given.known.forEach((pad, place) => {
      const axis = axes?.[place % half] ?? place % half;
      pads[(place < half ? 0 : rank) + axis] = pad;
    });
    const filler = site.inputs[2];
    const zero = filler === undefined || (filler.small !== undefined && Number(filler.small.data[0] ?? 0) === 0);
    return { mode: text(site, "mode", "constant"), pads, axes, fromInput: site.inputs[1] !== undefined, zero };
  },
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    if (dims === undefined) return [{ type, dims: undefined }];
    return [
      { type, dims: dims.map((dim, axis) => addDims(dim, (s.pads[axis] ?? 0) + (s.pads[dims.length + axis] ?? 0))) },
    ];
  },
  parameters: noParameters,
  weight: new Miss("has no weight"),
  axes: (s, site) => {
    const dims = dimsAt(site, 0);
    if (dims instanceof Miss) return dims;
    const rank = dims.length;
    const padded = (axis: number): boolean => s.pads[axis] !== 0 || s.pads[rank + axis] !== 0;
    const rewritable =
      s.mode === "constant" && s.zero && s.fromInput && s.axes === undefined && s.pads.every((pad) => pad >= 0);
    const links = dims.map((_, axis): AxisLink => {
      if (!padded(axis)) return { from: ["in0", axis], to: ["out0", axis] };
      const begin = s.pads[axis] ?? 0;
      if (!rewritable) return { refuses: ["in0", axis], reason: `Pad fills this axis (${s.mode})` };
      return { from: ["in0", axis], to: ["out0", axis], map: (index) => [begin + index] };
    });
    return {
      links,
      // Channels of zeros that the padding made may go too: then it makes fewer.
      resize: (cut) => {
        if (!rewritable) return {};
        const pads = s.pads.map((pad, place) => {
          const axis = place % rank;
          const size = dims[axis];
          if (!padded(axis) || typeof size !== "number") return pad;
          const begin = s.pads[axis] ?? 0;
          const gone = cut
            .removed(["out0", axis])
            .filter((index) => (place < rank ? index < begin : index >= begin + size));
          return pad - gone.length;
        });
        return { inputs: { 1: fromNumbers("int64", [pads.length], pads) } };
      },
    };
  },
  // Padding by what is there picks elements along each axis.
  lower: (s, emit, [x]) => {
    if (s.mode === "constant") return new Miss("is primitive");
    const dims = fixedDims(x?.type?.dims);
    if (x === undefined || dims === undefined) return new Miss("the dimensions of its input are not fixed");
    const padded = dims.reduce((value, size, axis) => {
      const [before, after] = [s.pads[axis] ?? 0, s.pads[dims.length + axis] ?? 0];
      if (before === 0 && after === 0) return value;
      const picks = Array.from({ length: before + size + after }, (_, place) => source(s.mode, place - before, size));
      return emit.Gather([value, integersConstant(emit, picks)], { axis });
    }, x);
    return [padded === x ? emit.Identity([x]) : padded];
  },
  gradient: (s, { emit, inputs: [x, , filler], upstream: [up], wanted }) => {
    if (x === undefined || up === undefined) return [];
    if (s.mode !== "constant") return new Miss("is lowered first");
    // What was put on is taken off, and what was taken off comes back as zeros.
    const back = integersConstant(
      emit,
      s.pads.map((pad) => 0 - pad),
    );
    const dX = emit.Pad([up, back, scalar(emit, typeOf(x), 0)]);
    if (filler === undefined || !wanted(2)) return [dX];
    // All that did not come from x came from the filler.
    const whole = (value: Value): Value => emit.ReduceSum([value], { keepdims: 0 });
    return [
      dX,
      undefined,
      emit.Sub([whole(up), whole(emit.Pad([dX, integersConstant(emit, s.pads), scalar(emit, typeOf(x), 0)]))]),
    ];
  },
  cost: noMacs,
  quantize: new Miss("runs in float"),
});

export const sliceOperators: readonly Op[] = [Slice, Pad];
