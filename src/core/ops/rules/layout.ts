/** Rules for pairs of operators that change the shape or the order of axes: Reshape, Transpose, Pad. */
import { type Dim, isSymbolic, multiplyDims, sameDims, type Value } from "#graph";
import type { Site } from "../define.ts";
import {
  constantIntegersOf,
  readAttributeOrInput,
  readFlag,
  readIntegers,
  readString,
  wrapAxis,
} from "../shared/attributes.ts";
import { integersConstant, range } from "../shared/shapes.ts";
import { dimsOf, emitNamed, ints, type PairResult, type PairRule, type PairScope } from "./rule.ts";

export function axesOf(site: Site, rank: number | undefined): readonly number[] | undefined {
  const axes = readAttributeOrInput(site, "axes", 1);
  if (axes === undefined || axes === "runtime" || rank === undefined) return undefined;
  return axes.known.map((axis) => wrapAxis(axis, rank));
}

/** Converts axes of a tensor without the axes `missing` to axes of the tensor with them. */
export function skipMissingAxes(axes: readonly number[], rank: number, missing: readonly number[]): readonly number[] {
  const presentAxes = range(rank).filter((axis) => !missing.includes(axis));
  return axes.map((axis) => presentAxes[axis] ?? 0);
}

export function writeAxes({ first, second, secondSite, emit }: PairScope, axes: readonly number[]): PairResult {
  const sortedAxes = [...axes].sort((a, b) => a - b);
  const [x] = first.inputs;
  if (secondSite.inputs[1] === undefined) return { inputs: [x], attributes: { axes: ints(sortedAxes) } };
  return { inputs: [x, integersConstant(emit, sortedAxes, `${second.outputs[0]?.name}_axes`)] };
}

function permutationAt(site: Site): readonly number[] | undefined {
  const rank = site.inputs[0]?.dims?.length;
  return readIntegers(site, "perm") ?? (rank === undefined ? undefined : range(rank).reverse());
}

const transposePair: PairRule = {
  id: "transposes",
  description: "two transpositions are one",
  first: ["Transpose"],
  second: ["Transpose"],
  fuse({ first, firstSite, secondSite }) {
    const [before, after] = [permutationAt(firstSite), permutationAt(secondSite)];
    if (before === undefined || after === undefined) return undefined;
    return { inputs: [first.inputs[0]], attributes: { perm: ints(after.map((axis) => before[axis] ?? 0)) } };
  },
};

const reshapeOperators = ["Reshape", "Flatten", "Squeeze", "Unsqueeze"];

/** At most one dimension of the merged shape can be inferred. */
const reshapePair: PairRule = {
  id: "reshapes",
  description: "two reshapes are one",
  first: reshapeOperators,
  second: reshapeOperators,
  fuse(scope) {
    const { first, second, secondSite, input, isOnlyReader } = scope;
    const [x] = first.inputs;
    if (x === undefined || input !== 0 || secondSite.version < 5) return undefined;
    const shape = second.op === "Reshape" ? constantIntegersOf(secondSite.inputs[1]) : undefined;
    // A 0 copies a dimension, which must be the same in the first input.
    const [before, between] = [dimsOf(scope, x), dimsOf(scope, first.outputs[0])];
    const isCopyValid = (size: number, axis: number): boolean =>
      size !== 0 || (before?.[axis] !== undefined && before[axis] === between?.[axis]);
    if (shape !== undefined && (readFlag(secondSite, "allowzero") || shape.every(isCopyValid)))
      return { inputs: [x, second.inputs[1]] };
    // With other readers, no node could be removed, and the new shape would take bytes.
    const target = isOnlyReader ? reshapeTarget(dimsOf(scope, x), dimsOf(scope, second.outputs[0])) : undefined;
    return target && { value: emitNamed(scope).Reshape([x, target]) };
  },
};

/**
 * If axes are merged by a Reshape, transposed and split again, the Transpose can be applied without merging:
 *     Reshape: b × h × s × d → bh × s × d; Transpose: bh × d × s; Reshape: b × h × d × s
 *     Reshape: s × b × hd → s × bh × d; Transpose: bh × s × d; Reshape: b × h × s × d
 */
const mergedTransposePair: PairRule = {
  id: "merged-around",
  description: "a Transpose needs no merging Reshape around it",
  first: ["Transpose"],
  second: ["Reshape"],
  fuse(scope) {
    const { first, second, firstSite, input, emit } = scope;
    const namedEmit = emitNamed(scope);
    const merge = first.inputs[0]?.producer;
    const [x] = merge?.inputs ?? [];
    const perm = permutationAt(firstSite);
    if (merge?.op !== "Reshape" || merge.domain !== "" || x === undefined || input !== 0) return undefined;
    const [dims, mergedDims] = [dimsOf(scope, x), dimsOf(scope, first.inputs[0])];
    const out = dimsOf(scope, second.outputs[0]);
    if (perm === undefined || dims === undefined || mergedDims === undefined || out === undefined) return undefined;
    // If nothing is merged, another rule removes the Reshape.
    if (sameDims(dims, mergedDims) || out.length <= mergedDims.length) return undefined;
    const transposedDims = perm.map((axis) => mergedDims[axis] ?? 1);
    const runs = runsOf(transposedDims, out);
    if (runs === undefined) return undefined;
    const order = mergedDims.flatMap((_, axis) => runs[perm.indexOf(axis)] ?? []);
    const splitDims = order.map((axis) => out[axis] ?? 1);
    const attributes = { perm: range(out.length).map((axis) => order.indexOf(axis)) };
    if (sameDims(dims, splitDims)) return { value: namedEmit.Transpose([x], attributes) };
    const target = reshapeTarget(dims, splitDims);
    return target && { value: namedEmit.Transpose([emit.Reshape([x, target])], attributes) };
  },
};

/** Divides the axes of `out` into consecutive runs whose products of dimensions are `sizes`. */
function runsOf(sizes: readonly Dim[], out: readonly Dim[]): readonly (readonly number[])[] | undefined {
  let nextAxis = 0;
  const runs = sizes.map((size) => {
    const start = nextAxis;
    let product: Dim = out[nextAxis++] ?? 1;
    while (product !== size && nextAxis < out.length) product = multiplyDims(product, out[nextAxis++] ?? 1);
    return product === size ? range(nextAxis - start, start) : undefined;
  });
  return nextAxis === out.length && runs.every((run) => run !== undefined) ? runs : undefined;
}

/** Returns a Reshape's shape, with symbols as 0 (copied) or -1 (inferred); undefined for two -1, or 0 and -1. */
function reshapeTarget(
  dims: readonly Dim[] | undefined,
  out: readonly Dim[] | undefined,
): readonly number[] | undefined {
  if (dims === undefined || out === undefined) return undefined;
  const target = out.map((dim, axis) => (isSymbolic(dim) ? (dim === dims[axis] ? 0 : -1) : dim));
  const inferredCount = target.filter((dim) => dim === -1).length;
  return out.includes(0) || inferredCount > 1 || (inferredCount === 1 && target.includes(0)) ? undefined : target;
}

/**
 * Replaces a Pad with zeros by pads of the convolution or pool after it. For MaxPool, replaces a Pad with -∞ if values are not negative.
 */
export const padWindowPair: PairRule = {
  id: "padded-window",
  description: "padding moves into the window",
  first: ["Pad"],
  second: ["Conv", "AveragePool", "MaxPool"],
  reorders: true,
  fuse({ first, second, firstSite, secondSite, input }) {
    const rank = firstSite.inputs[0]?.dims?.length;
    const padInput = readAttributeOrInput(firstSite, "pads", 1);
    if (rank === undefined || input !== 0 || padInput === undefined || padInput === "runtime") return undefined;
    // Quirk "empty-window".
    if (firstSite.inputs[0]?.dims?.includes(0) === true) return undefined;
    // MaxPool can also output indices, which refer to the padded input.
    if (second.outputs.slice(1).some((output) => output !== undefined)) return undefined;
    if (firstSite.inputs[3] !== undefined || readString(firstSite, "mode", "constant") !== "constant") return undefined;
    const pads = padInput.known;
    const spatialRank = rank - 2;
    const channelPads = [pads[0], pads[1], pads[rank], pads[rank + 1]];
    if (pads.length !== 2 * rank || channelPads.some((pad) => pad !== 0) || pads.some((pad) => pad < 0))
      return undefined;
    const autoPad = readString(secondSite, "auto_pad", "NOTSET");
    if (autoPad !== "NOTSET" && autoPad !== "VALID") return undefined;
    const windowPads = autoPad === "VALID" ? undefined : readIntegers(secondSite, "pads");
    const filler = fillerOf(firstSite);
    if (filler === undefined || filler !== (second.op === "MaxPool" ? Number.NEGATIVE_INFINITY : 0)) return undefined;
    const isAverage = second.op === "AveragePool";
    // AveragePool counts all its pads or none.
    if (isAverage && !readFlag(secondSite, "count_include_pad") && windowPads?.some((pad) => pad !== 0))
      return undefined;
    if (second.op !== "Conv" && readFlag(secondSite, "ceil_mode")) return undefined;
    const totalPads = [...pads.slice(2, rank), ...pads.slice(rank + 2)].map(
      (pad, index) => pad + (windowPads?.[index] ?? 0),
    );
    if (second.op === "MaxPool") {
      // A dilated window can consist of pads only.
      const isDilated = readIntegers(secondSite, "dilations")?.some((step) => step !== 1) === true;
      if (isDilated || !isAboveZero(first.inputs[0])) return undefined;
    }
    // Quirk "padding-of-pool".
    const kernel = readIntegers(secondSite, "kernel_shape");
    if (second.op !== "Conv" && totalPads.some((pad, index) => pad >= (kernel?.[index % spatialRank] ?? 0)))
      return undefined;
    return {
      inputs: [first.inputs[0], ...second.inputs.slice(1)],
      attributes: {
        pads: ints(totalPads),
        auto_pad: undefined,
        ...(isAverage ? { count_include_pad: { kind: "int", value: 1 } } : {}),
      },
    };
  },
};

/**
 * If a bias has more axes than the product, of length 1, an Unsqueeze adds them to the sum:
 *     p = MatMul(x, W)  # [n, 10]          p = MatMul(x, W)
 *     y = Add(p, b)     # b: [1, 1, 10] →  y = Unsqueeze(Add(p, Squeeze(b)))
 * Quantization requires this (quirk "axes-of-bias").
 */
export const biasAxesPair: PairRule = {
  id: "axes-of-sum",
  description: "the axes that only the bias has follow the sum",
  first: ["MatMul", "Gemm"],
  second: ["Add"],
  fuse({ first, second, input, emit, operand }) {
    const [product, bias] = [first.outputs[0], second.inputs[1 - input]];
    const dims = product && operand(product)?.dims;
    const biasDims = bias && operand(bias)?.dims;
    if (dims === undefined || biasDims === undefined) return undefined;
    const extraAxes = biasDims.length - dims.length;
    const firstLongAxis = biasDims.slice(0, -1).findIndex((dim) => dim !== 1);
    const axes = range(firstLongAxis < 0 ? biasDims.length - 1 : firstLongAxis);
    if (extraAxes < 1 || axes.length < extraAxes) return undefined;
    const sum = emit.Add([product, emit.Squeeze([bias, axes])]);
    return { value: emit.Unsqueeze([sum, axes.slice(0, extraAxes)]) };
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

export const layoutPairs: readonly PairRule[] = [transposePair, reshapePair, mergedTransposePair, padWindowPair];
