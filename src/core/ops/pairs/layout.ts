/** Pairs that only move elements: transpositions, reshapes, slices, concatenations. */
import type { Value } from "../../graph/graph.ts";
import { isFloat } from "../../tensor/convert.ts";
import { type Dim, isSymbolic, multiplyDims, sameDims } from "../../tensor/dims.ts";
import type { Site } from "../define.ts";
import { attributeOrInput, constantIntegers, integer, integers, text, wrapAxis } from "../shared/attributes.ts";
import { integersConstant, range } from "../shared/rules.ts";
import { dimsOf, ints, type Pair, type PairResult, type PairScope } from "./pair.ts";

function axesOf(site: Site, rank: number): readonly number[] | undefined {
  const given = attributeOrInput(site, "axes", 1);
  if (given === undefined || given === "runtime") return undefined;
  return given.known.map((axis) => wrapAxis(axis, rank));
}

function withAxes({ first, second, secondSite, emit }: PairScope, axes: readonly number[]): PairResult {
  const sorted = [...axes].sort((a, b) => a - b);
  const [x] = first.inputs;
  if (secondSite.inputs[1] === undefined) return { inputs: [x], attributes: { axes: ints(sorted) } };
  return { inputs: [x, integersConstant(emit, sorted, `${second.outputs[0]?.name}_axes`)] };
}

function permutation(site: Site): readonly number[] | undefined {
  const rank = site.inputs[0]?.dims?.length;
  return integers(site, "perm") ?? (rank === undefined ? undefined : range(rank).reverse());
}

const transposes: Pair = {
  what: "two transpositions are one",
  first: ["Transpose"],
  second: ["Transpose"],
  fuse({ first, firstSite, secondSite }) {
    const [before, after] = [permutation(firstSite), permutation(secondSite)];
    if (before === undefined || after === undefined) return undefined;
    return { inputs: [first.inputs[0]], attributes: { perm: ints(after.map((axis) => before[axis] ?? 0)) } };
  },
};

/** y = Unsqueeze(Unsqueeze(x, a), b): the axes of b, and those of a at their positions after b. */
const unsqueezes: Pair = {
  what: "two Unsqueeze are one",
  first: ["Unsqueeze"],
  second: ["Unsqueeze"],
  fuse(scope) {
    const between = dimsOf(scope, scope.first.outputs[0]);
    const added = attributeOrInput(scope.secondSite, "axes", 1);
    if (between === undefined || added === undefined || added === "runtime") return undefined;
    const rank = between.length + added.known.length;
    const outer = added.known.map((axis) => wrapAxis(axis, rank));
    const inner = axesOf(scope.firstSite, between.length);
    if (inner === undefined) return undefined;
    const kept = range(rank).filter((axis) => !outer.includes(axis));
    return withAxes(scope, [...outer, ...inner.map((axis) => kept[axis] ?? 0)]);
  },
};

const squeezes: Pair = {
  what: "two Squeeze are one",
  first: ["Squeeze"],
  second: ["Squeeze"],
  fuse(scope) {
    const [dims, between] = [dimsOf(scope, scope.first.inputs[0]), dimsOf(scope, scope.first.outputs[0])];
    if (dims === undefined || between === undefined) return undefined;
    const [inner, outer] = [axesOf(scope.firstSite, dims.length), axesOf(scope.secondSite, between.length)];
    if (inner === undefined || outer === undefined) return undefined;
    const kept = dims.map((_, axis) => axis).filter((axis) => !inner.includes(axis));
    return withAxes(scope, [...inner, ...outer.map((axis) => kept[axis] ?? 0)]);
  },
};

const reshaping = ["Reshape", "Flatten", "Squeeze", "Unsqueeze"];

/** Both keep the element order, so only the last shape counts. It can be written if at most one dimension must be inferred. */
const reshapes: Pair = {
  what: "two reshapes are one",
  first: reshaping,
  second: reshaping,
  fuse(scope) {
    const { first, second, secondSite, input, emit } = scope;
    const [x] = first.inputs;
    if (x === undefined || input !== 0 || secondSite.version < 5) return undefined;
    const asks = second.op === "Reshape" ? constantIntegers(secondSite.inputs[1]) : undefined;
    // A 0 copies a dimension of the Reshape's input, which is now a different tensor.
    if (asks !== undefined && (!asks.includes(0) || integer(secondSite, "allowzero", 0) !== 0))
      return { inputs: [x, second.inputs[1]] };
    const target = shapeFor(dimsOf(scope, x), dimsOf(scope, second.outputs[0]));
    if (target === undefined) return undefined;
    return { value: emit.named(second.outputs[0]?.name ?? "reshaped").Reshape([x, target]) };
  },
};

/**
 * Axes that are merged, transposed and split again can be transposed without the first Reshape:
 *     Reshape: b × h × s × d → bh × s × d; Transpose: bh × d × s; Reshape: b × h × d × s
 *     Reshape: s × b × hd → s × bh × d; Transpose: bh × s × d; Reshape: b × h × s × d
 */
const mergedAround: Pair = {
  what: "a Transpose needs no merging Reshape around it",
  first: ["Transpose"],
  second: ["Reshape"],
  fuse(scope) {
    const { first, second, firstSite, input, emit } = scope;
    const merge = first.inputs[0]?.producer;
    const [x] = merge?.inputs ?? [];
    const perm = permutation(firstSite);
    if (merge?.op !== "Reshape" || merge.domain !== "" || x === undefined || input !== 0) return undefined;
    const [dims, merged] = [dimsOf(scope, x), dimsOf(scope, first.inputs[0])];
    const out = dimsOf(scope, second.outputs[0]);
    if (perm === undefined || dims === undefined || merged === undefined || out === undefined) return undefined;
    // Without a merge, the Reshape can be removed by itself.
    if (sameDims(dims, merged) || out.length <= merged.length) return undefined;
    const runs = runsOf(
      perm.map((axis) => merged[axis] ?? 1),
      out,
    );
    if (runs === undefined) return undefined;
    const order = merged.flatMap((_, axis) => runs[perm.indexOf(axis)] ?? []);
    const parted = order.map((axis) => out[axis] ?? 1);
    const full = range(out.length).map((axis) => order.indexOf(axis));
    const named = emit.named(second.outputs[0]?.name ?? "transposed");
    if (sameDims(dims, parted)) return { value: named.Transpose([x], { perm: full }) };
    const target = shapeFor(dims, parted);
    return target && { value: named.Transpose([emit.Reshape([x, target])], { perm: full }) };
  },
};

/** Returns for each size the consecutive axes of `out` whose product it is; undefined if there is no such split. */
function runsOf(sizes: readonly Dim[], out: readonly Dim[]): readonly (readonly number[])[] | undefined {
  let next = 0;
  const runs = sizes.map((size) => {
    const start = next;
    let product: Dim = out[next++] ?? 1;
    while (product !== size && next < out.length) product = multiplyDims(product, out[next++] ?? 1);
    return product === size ? range(next - start, start) : undefined;
  });
  return next === out.length && runs.every((run) => run !== undefined) ? runs : undefined;
}

/** Returns a Reshape shape with at most one of 0 (copied) and -1 (inferred): beside a copied 0 (an empty batch), -1 cannot be inferred. */
export function shapeFor(
  dims: readonly Dim[] | undefined,
  out: readonly Dim[] | undefined,
): readonly number[] | undefined {
  if (dims === undefined || out === undefined) return undefined;
  const target = out.map((dim, axis) => (isSymbolic(dim) ? (dim === dims[axis] ? 0 : -1) : dim));
  const open = target.filter((dim) => dim === -1).length;
  return out.includes(0) || open > 1 || (open === 1 && target.includes(0)) ? undefined : target;
}

const concats: Pair = {
  what: "a Concat of a Concat becomes one Concat",
  first: ["Concat"],
  second: ["Concat"],
  fuse({ first, second, firstSite, secondSite, input, alone }) {
    const rank = secondSite.inputs.find((operand) => operand?.dims !== undefined)?.dims?.length;
    if (rank === undefined || !alone) return undefined;
    const [inner, outer] = [firstSite, secondSite].map((site) => wrapAxis(integer(site, "axis", 1), rank));
    if (inner !== outer) return undefined;
    return { inputs: [...second.inputs.slice(0, input), ...first.inputs, ...second.inputs.slice(input + 1)] };
  },
};

interface Bounds {
  readonly starts: readonly number[];
  readonly ends: readonly number[];
  readonly axes: readonly number[];
  readonly steps: readonly number[];
}

function bounds(site: Site): Bounds | undefined {
  const rank = site.inputs[0]?.dims?.length;
  const [starts, ends] = [constantIntegers(site.inputs[1]), constantIntegers(site.inputs[2])];
  if (rank === undefined || site.version < 10 || starts === undefined || ends === undefined) return undefined;
  const axes = site.inputs[3] === undefined ? starts.map((_, axis) => axis) : constantIntegers(site.inputs[3]);
  const steps = site.inputs[4] === undefined ? starts.map(() => 1) : constantIntegers(site.inputs[4]);
  if (axes === undefined || steps === undefined) return undefined;
  return { starts, ends, axes: axes.map((axis) => wrapAxis(axis, rank)), steps };
}

const slices: Pair = {
  what: "slices along different axes are one",
  first: ["Slice"],
  second: ["Slice"],
  fuse({ first, second, firstSite, secondSite, input, alone, emit }) {
    const [a, b] = [bounds(firstSite), bounds(secondSite)];
    if (a === undefined || b === undefined || !alone || input !== 0) return undefined;
    if (a.axes.some((axis) => b.axes.includes(axis))) return undefined;
    const name = second.outputs[0]?.name ?? "slice";
    const list = (key: keyof Bounds): Value => integersConstant(emit, [...a[key], ...b[key]], `${name}_${key}`);
    return { inputs: [first.inputs[0], list("starts"), list("ends"), list("axes"), list("steps")] };
  },
};

/** Since opset 15 Shape accepts a range. */
const slicedShape: Pair = {
  what: "Shape and Slice are merged",
  first: ["Shape"],
  second: ["Slice", "Gather"],
  fuse({ first, second, firstSite, secondSite, input, emit }) {
    const [x] = first.inputs;
    const rank = firstSite.inputs[0]?.dims?.length;
    if (x === undefined || rank === undefined || input !== 0 || firstSite.version < 15) return undefined;
    if (first.attributes.size > 0) return undefined;
    const bounds = second.op === "Slice" ? sliceRange(secondSite, rank) : gatherRange(secondSite, rank);
    if (bounds === undefined) return undefined;
    const [start, end] = bounds;
    return { value: emit.named(second.outputs[0]?.name ?? "shape").Shape([x], { start, end }) };
  },
};

function sliceRange(site: Site, rank: number): readonly [number, number] | undefined {
  const found = bounds(site);
  if (found?.starts.length !== 1 || found.steps[0] !== 1) return undefined;
  const clamp = (bound = 0): number => Math.min(rank, Math.max(0, bound < 0 ? bound + rank : bound));
  return [clamp(found.starts[0]), clamp(found.ends[0])];
}

function gatherRange(site: Site, rank: number): readonly [number, number] | undefined {
  const picks = constantIntegers(site.inputs[1]);
  if (picks === undefined || picks.length === 0 || site.inputs[1]?.dims?.length !== 1) return undefined;
  const places = picks.map((pick) => (pick < 0 ? pick + rank : pick));
  const [start = 0] = places;
  return places.every((place, index) => place === start + index) ? [start, start + places.length] : undefined;
}

/** A Gather with a one-element index vector keeps the axis. */
const gatheredAxis: Pair = {
  what: "one index is picked with its axis",
  first: ["Gather"],
  second: ["Unsqueeze"],
  fuse(scope) {
    const { first, firstSite, secondSite, alone, emit } = scope;
    const [x] = first.inputs;
    const dims = firstSite.inputs[0]?.dims;
    const picks = constantIntegers(firstSite.inputs[1]);
    const added = attributeOrInput(secondSite, "axes", 1);
    if (!alone || x === undefined || dims === undefined || picks?.length !== 1) return undefined;
    if (firstSite.inputs[1]?.dims?.length !== 0 || added === undefined || added === "runtime") return undefined;
    const axis = wrapAxis(integer(firstSite, "axis", 0), dims.length);
    if (added.known.length !== 1 || wrapAxis(added.known[0] ?? 0, dims.length) !== axis) return undefined;
    const name = scope.second.outputs[0]?.name ?? "picked";
    return { value: emit.named(name).Gather([x, picks], { axis }) };
  },
};

/**
 * Zeros around the input of a window become the window's pads. For MaxPool, -∞ is equivalent if the input is never negative.
 * For other inputs it is not: the runtime returns the lowest finite number for a window of -∞ that touches its pads.
 */
export const paddedWindow: Pair = {
  what: "padding moves into the window",
  first: ["Pad"],
  second: ["Conv", "AveragePool", "MaxPool"],
  reorders: true,
  fuse({ first, second, firstSite, secondSite, input }) {
    const rank = firstSite.inputs[0]?.dims?.length;
    const given = attributeOrInput(firstSite, "pads", 1);
    if (rank === undefined || input !== 0 || given === undefined || given === "runtime") return undefined;
    // The index outputs of MaxPool count positions in the padded input.
    if (second.outputs.slice(1).some((output) => output !== undefined)) return undefined;
    if (firstSite.inputs[3] !== undefined || text(firstSite, "mode", "constant") !== "constant") return undefined;
    const pads = given.known;
    const spatial = rank - 2;
    const outside = [pads[0], pads[1], pads[rank], pads[rank + 1]];
    if (pads.length !== 2 * rank || outside.some((pad) => pad !== 0) || pads.some((pad) => pad < 0)) return undefined;
    const automatic = text(secondSite, "auto_pad", "NOTSET");
    if (automatic !== "NOTSET" && automatic !== "VALID") return undefined;
    const own = automatic === "VALID" ? undefined : integers(secondSite, "pads");
    const filler = fillerOf(firstSite);
    if (filler === undefined || !padsWith(second.op, filler)) return undefined;
    const average = second.op === "AveragePool";
    const counted = integer(secondSite, "count_include_pad", 0) !== 0;
    // An average cannot count the new padding and ignore its own.
    if (average && !counted && own?.some((pad) => pad !== 0) === true) return undefined;
    if (second.op !== "Conv" && integer(secondSite, "ceil_mode", 0) !== 0) return undefined;
    const sums = [...pads.slice(2, rank), ...pads.slice(rank + 2)].map((pad, place) => pad + (own?.[place] ?? 0));
    if (second.op === "MaxPool") {
      // A dilated window may touch only pads.
      const spread = integers(secondSite, "dilations")?.some((step) => step !== 1) === true;
      if (spread || !isAboveZero(first.inputs[0])) return undefined;
    }
    // ONNX Runtime requires pads smaller than the window.
    const kernel = integers(secondSite, "kernel_shape");
    if (second.op !== "Conv" && sums.some((pad, place) => pad >= (kernel?.[place % spatial] ?? 0))) return undefined;
    return {
      inputs: [first.inputs[0], ...second.inputs.slice(1)],
      attributes: {
        pads: ints(sums),
        auto_pad: undefined,
        ...(average ? { count_include_pad: { kind: "int", value: 1 } } : {}),
      },
    };
  },
};

/**
 * If a bias has more axes than the product (all of length 1), the sum gets these axes afterward:
 *     p = MatMul(x, W)  # [n, 10]          p = MatMul(x, W)
 *     y = Add(p, b)     # b: [1, 1, 10] →  y = Unsqueeze(Add(p, Squeeze(b)))
 * For integers ONNX Runtime fuses product and sum, and the result has the axes of the product.
 */
export const axesOfSum: Pair = {
  what: "the axes that only the bias has follow the sum",
  first: ["MatMul", "Gemm"],
  second: ["Add"],
  fuse({ first, second, input, emit, operand }) {
    const [product, other] = [first.outputs[0], second.inputs[1 - input]];
    const own = product && operand(product)?.dims;
    const dims = other && operand(other)?.dims;
    if (product === undefined || other === undefined || own === undefined || dims === undefined) return undefined;
    const more = dims.length - own.length;
    const ones = dims.slice(0, -1).findIndex((dim) => dim !== 1);
    const axes = range(ones < 0 ? dims.length - 1 : ones);
    if (more < 1 || axes.length < more) return undefined;
    const sum = emit.Add([product, emit.Squeeze([other, axes])]);
    return { value: emit.Unsqueeze([sum, axes.slice(0, more)]) };
  },
};

function fillerOf(site: Site): number | undefined {
  const operand = site.inputs[2];
  if (operand === undefined) {
    const attribute = site.attribute("value");
    return attribute?.kind === "float" ? attribute.value : 0;
  }
  const small = operand.small;
  return small === undefined || small.type === "string" ? undefined : Number(small.data[0]);
}

const isAboveZero = (value: Value | undefined): boolean =>
  value?.producer?.domain === "" && ["Relu", "Sigmoid", "Softplus", "Exp"].includes(value.producer.op);

const padsWith = (op: string, filler: number): boolean =>
  op === "MaxPool" ? filler === Number.NEGATIVE_INFINITY : filler === 0;

const reductions = ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2"];

const keptAxes: Pair = {
  what: "keepdims moves into the reduction",
  first: reductions,
  second: ["Squeeze", "Unsqueeze"],
  fuse(scope) {
    const { first, firstSite, second, secondSite, alone, emit } = scope;
    const dims = firstSite.inputs[0]?.dims;
    const [x] = first.inputs;
    if (!alone || dims === undefined || x === undefined) return undefined;
    const keeps = integer(firstSite, "keepdims", 1) !== 0;
    // The axes of Squeeze and of Unsqueeze must both be axes of the reduction's input.
    const counted = keeps ? secondSite.inputs[0]?.dims : second.outputs[0]?.type?.dims;
    if (keeps === (second.op === "Unsqueeze") || counted?.length !== dims.length) return undefined;
    const gone = axesOf(firstSite, dims.length);
    const moved = axesOf(secondSite, dims.length);
    if (gone === undefined || moved === undefined || integer(firstSite, "noop_with_empty_axes", 0) !== 0)
      return undefined;
    if ([...gone].sort().join() !== [...moved].sort().join()) return undefined;
    const key = first.op as "ReduceSum";
    const keepdims = keeps ? 0 : 1;
    const write = emit.named(second.outputs[0]?.name ?? first.op)[key];
    if (first.inputs[1] !== undefined) return { value: write([x, first.inputs[1]], { keepdims }) };
    return { value: write([x], { keepdims, axes: gone } as { keepdims: number }) };
  },
};

/** Max of max, sum of sums; also mean of means, because all groups have the same size. */
const reducedTwice: Pair = {
  what: "two reductions are one over the axes of both",
  first: ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1"],
  second: ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1"],
  same: true,
  reorders: true,
  fuse(scope) {
    const { first, firstSite, secondSite, alone } = scope;
    const [dims, between] = [firstSite.inputs[0]?.dims, secondSite.inputs[0]?.dims];
    if (!alone || first.inputs[0] === undefined || dims === undefined || between === undefined) return undefined;
    const [inner, outer] = [axesOf(firstSite, dims.length), axesOf(secondSite, between.length)];
    if (inner === undefined || outer === undefined || inner.length === 0 || outer.length === 0) return undefined;
    // Means of integers are rounded, so a mean of means would differ.
    const type = firstSite.inputs[0]?.type;
    if (first.op === "ReduceMean" && (type === undefined || !isFloat(type))) return undefined;
    const keeps = [firstSite, secondSite].map((site) => integer(site, "keepdims", 1) !== 0);
    if (keeps[0] !== keeps[1]) return undefined;
    const kept = dims.map((_, axis) => axis).filter((axis) => !inner.includes(axis));
    const all = [...new Set([...inner, ...(keeps[0] ? outer : outer.map((axis) => kept[axis] ?? 0))])];
    return withAxes(scope, all);
  },
};

export const layoutPairs: readonly Pair[] = [
  transposes,
  unsqueezes,
  squeezes,
  reshapes,
  mergedAround,
  concats,
  slices,
  slicedShape,
  gatheredAxis,
  paddedWindow,
  keptAxes,
  reducedTwice,
];
