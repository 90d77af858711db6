/** Elementwise operators with broadcasting: arithmetic, comparison, logic and bits, and Max, Min, Sum, Mean of any number of operands. */
import { Miss } from "../errors.ts";
import { isFloat, toFloat64, toNumbers } from "../tensor/convert.ts";
import {
  addDims,
  type Dim,
  divideDims,
  extremeDims,
  floorDims,
  isDimension,
  isSymbolic,
  multiplyDims,
  sameDims,
} from "../tensor/dims.ts";
import { defineOp, type Op, type Operand, type QuantizeRule, type Site, type Wanted } from "./define.ts";
import { readElementType, readFlag, readString } from "./shared/attributes.ts";
import { createBlocks, reorderFromBlocks, matchScaleInBlocks, scaleInBlocks } from "./shared/channel-blocks.ts";
import { compareElements, multiplyFloats, divideFloats, addFloats, isIntegerOrBool } from "./shared/elements.ts";
import {
  type BinaryDerivative,
  type BinaryRow,
  defineBinary,
  channelVectorInputs,
  defineUnary,
  defineVariadic,
} from "./shared/elementwise.ts";
import { computesIntegers, noQuantizedKernel } from "./shared/misses.ts";
import { requireInput, sameAxes, sizesOf, typeOf } from "./shared/rules.ts";

const joins = (): QuantizeRule => ({ kind: "activation", inputs: [0, 1] });
const exceedsHalf = "its squares and powers can exceed the range of float16";
const flat = new Miss("is constant almost everywhere");
const onBits = new Miss("reinterprets bits");
const both = (f: BinaryDerivative): readonly [BinaryDerivative, BinaryDerivative] => [f, f];

/** A stored operand with several elements that is added to an activation is a bias. */
const bias = (_: unknown, site: Site): readonly number[] =>
  [...site.inputs.keys()].filter((input) => {
    const operand = site.inputs[input];
    return operand?.stored === true && operand.dims?.some((dim) => dim !== 1) === true;
  });

/** A stored vector that scales the channels of an activation is a normalization's weight. */
const scale = (_: unknown, site: Site): readonly number[] => channelVectorInputs(site);

/** Integers compared with 0 or 1 are flags; compared with another number (a sample rate), an input should be that number. */
const compared = (_: unknown, site: Site): readonly Wanted[] =>
  site.inputs.flatMap((operand, input) => {
    const other = site.inputs[1 - input];
    if (operand === undefined || !isIntegerOrBool(operand.type) || other?.small === undefined) return [];
    const [number, ...more] = toNumbers(other.small);
    if (number === undefined || more.length > 0) return [];
    const isFlag = number === 0 || number === 1;
    return [{ input, low: isFlag ? 0 : number, high: isFlag ? 1 : number, strict: false }];
  });

const comparison = (name: string, options: Pick<BinaryRow<undefined>, "onDims"> = {}): Op =>
  defineBinary({ name, derivatives: flat, type: "bool", wants: compared, ...options });

/** Untrained bounds (image sizes, zeros, ones) are integers. */
function isUntrained({ small }: Operand): boolean {
  return small !== undefined && toFloat64(small).every((entry) => Number.isInteger(entry) || !Number.isFinite(entry));
}

/** Operands that share the extremum share the gradient evenly. A bound per channel is trained, as in PyTorch. */
function extremum(name: "Max" | "Min"): Op {
  const among = name === "Max" ? "max" : "min";
  return defineVariadic({
    name,
    onDims: (...operands: readonly Dim[]) => extremeDims(among, operands),
    parameters: (_, site) => channelVectorInputs(site).filter((input) => !isUntrained(requireInput(site, input))),
    derivatives: ({ emit, up, y, operands }) => {
      const isExtremum = operands.map((input) => emit.CastLike([emit.Equal([input, y]), up]));
      const share = emit.Div([up, isExtremum.reduce((sum, value) => emit.Add([sum, value]))]);
      return isExtremum.map((value) => emit.Mul([share, value]));
    },
    quantize: name === "Min" ? limits : undefined,
  });
}

/** A clamp with a nonnegative upper bound per channel. */
function limits(_: null, site: Site): QuantizeRule | Miss {
  const { small } = site.inputs[1] ?? {};
  if (small === undefined || !isFloat(small.type) || !channelVectorInputs(site).includes(1)) return noQuantizedKernel;
  const high = toFloat64(small).reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  return high < 0 ? noQuantizedKernel : { kind: "clamp", low: undefined, high, eachChannel: true };
}

export const binaryOperators: readonly Op[] = [
  defineBinary({
    name: "Add",
    neutral: { left: 0, right: 0 },
    affine: (c) => [1, c],
    homogeneous: [[0], [1]],
    derivatives: both(({ up }) => up),
    onDims: (a = 0, b = 0) => addDims(a, b),
    onFloats: (a = 0, b = 0) => addFloats(a, b),
    parameters: bias,
    // Shares a pass over memory with a preceding normalization.
    inChannelBlocks: (_, emit, inputs, block) => {
      for (const [input, y] of inputs.entries()) {
        const scaled = y === undefined ? undefined : matchScaleInBlocks(y, block);
        const other = inputs[1 - input];
        if (scaled === undefined || scaled.sum !== undefined || y === undefined || other === undefined) continue;
        if (!sameDims(sizesOf(y), sizesOf(other))) continue;
        const sum = createBlocks(emit, block).toBlocked(other);
        return [reorderFromBlocks(emit, scaleInBlocks(emit, scaled.x, { ...scaled, sum }))];
      }
      return undefined;
    },
    quantize: joins,
  }),
  defineBinary({
    name: "Sub",
    neutral: { right: 0 },
    affine: (c, side) => (side === "right" ? [1, -c] : [-1, c]),
    homogeneous: [[0], [1]],
    derivatives: [({ up }) => up, ({ emit, up }) => emit.Neg([up])],
    onDims: (a = 0, b = 0) => addDims(a, multiplyDims(-1, b)),
    onFloats: (a = 0, b = 0) => addFloats(a, b, -1),
  }),
  defineBinary({
    name: "Mul",
    needsFloat32: ({ inputs: [a, b] }) => (a === b ? exceedsHalf : undefined),
    neutral: { left: 1, right: 1 },
    affine: (c) => [c, 0],
    homogeneous: [[0, 1]],
    derivatives: [({ emit, up, b }) => emit.Mul([up, b]), ({ emit, up, a }) => emit.Mul([up, a])],
    onDims: (a = 0, b = 0) => multiplyDims(a, b),
    onFloats: (a = 0, b = 0) => multiplyFloats(a, b),
    parameters: scale,
    quantize: joins,
  }),
  defineBinary({
    name: "Div",
    neutral: { right: 1 },
    affine: (c, side) => (side === "right" ? [1 / c, 0] : undefined),
    homogeneous: [[0]],
    // d(a/b)/db = -y/b
    derivatives: [
      ({ emit, up, b }) => emit.Div([up, b]),
      ({ emit, up, b, y }) => emit.Neg([emit.Mul([up, emit.Div([y, b])])]),
    ],
    onDims: (a = 0, b = 0) => quotient(a, b),
    onFloats: (a = 0, b = 0) => divideFloats(a, b),
  }),
  defineBinary({
    name: "Pow",
    needsFloat32: () => exceedsHalf,
    neutral: { right: 1 },
    // d(aᵇ)/da = b · aᵇ⁻¹; d(aᵇ)/db = y · ln a, defined as 0 for a = 0. The exponent can have another type than the base.
    derivatives: [
      ({ emit, up, a, b }) => {
        const exponent = typeOf(b) === typeOf(a) ? b : emit.CastLike([b, a]);
        return emit.Mul([up, emit.Mul([exponent, emit.Pow([a, emit.Sub([exponent, 1])])])]);
      },
      ({ emit, up, a, y }) => {
        const safe = emit.Where([emit.Equal([a, 0]), 1, a]);
        return emit.Mul([up, emit.Mul([y, emit.Log([safe])])]);
      },
    ],
  }),
  defineBinary<{ readonly fmod: boolean }>({
    name: "Mod",
    read: (site) => ({ fmod: readFlag(site, "fmod") }),
    // y = a - b · q, with the quotient q rounded down, or toward 0 with `fmod`.
    derivatives: [
      ({ up }) => up,
      ({ emit, up, a, b, y }) => emit.Neg([emit.Mul([up, emit.Round([emit.Div([emit.Sub([a, y]), b])])])]),
    ],
    onDims: (a = 0, b = 0) => remainder(a, b),
  }),
  defineBinary({
    name: "PRelu",
    oneSided: true,
    homogeneous: [[0]],
    derivatives: [
      ({ emit, up, a, b }) => emit.Where([emit.Less([a, 0]), emit.Mul([up, b]), up]),
      ({ emit, up, a }) => emit.Where([emit.Less([a, 0]), emit.Mul([up, a]), 0]),
    ],
    parameters: [1],
  }),
  comparison("Equal", { onDims: (a = 0, b = 0) => compareElements(a, b) }),
  comparison("Greater", { onDims: (a = 0, b = 0) => isLess(b, a) }),
  comparison("GreaterOrEqual", { onDims: (a = 0, b = 0) => negate(isLess(a, b)) }),
  comparison("Less", { onDims: (a = 0, b = 0) => isLess(a, b) }),
  comparison("LessOrEqual", { onDims: (a = 0, b = 0) => negate(isLess(b, a)) }),
  extremum("Max"),
  extremum("Min"),
  defineVariadic({
    name: "Sum",
    derivatives: ({ up, operands }) => operands.map(() => up),
    parameters: bias,
  }),
  defineVariadic({
    name: "Mean",
    derivatives: ({ emit, up, operands }) => {
      const share = emit.Div([up, operands.length]);
      return operands.map(() => share);
    },
  }),
];

/** Integer division truncates, which is rounding down for nonnegative operands. */
function quotient(a: Dim, b: Dim): Dim | undefined {
  if (!isSymbolic(a) && !isSymbolic(b)) return b === 0 ? undefined : Math.trunc(a / b);
  const exact = divideDims(a, b);
  if (exact !== undefined || isSymbolic(b)) return exact;
  return b > 0 && isDimension(a) ? floorDims(a, b) : undefined;
}

/** a - b · q with a rounded quotient q; undefined if the signs differ, because rounding modes differ then. */
function remainder(a: Dim, b: Dim): Dim | undefined {
  if (!isSymbolic(a) && !isSymbolic(b)) return a * b < 0 || b === 0 ? undefined : a % b;
  const rounded = quotient(a, b);
  return rounded === undefined ? undefined : addDims(a, multiplyDims(-1, multiplyDims(b, rounded)));
}

/** Returns 1, 0 or undefined. A dimension is never negative. */
function isLess(a: Dim, b: Dim): 0 | 1 | undefined {
  const difference = addDims(a, multiplyDims(-1, b));
  if (!isSymbolic(difference)) return difference < 0 ? 1 : 0;
  if (isDimension(difference)) return 0;
  return !isSymbolic(a) && a < 0 && isDimension(b) ? 1 : undefined;
}

const negate = (truth: 0 | 1 | undefined): 0 | 1 | undefined => (truth === undefined ? undefined : truth === 0 ? 1 : 0);

export const BitCast = defineOp({
  name: "BitCast",
  needsFloat32: () => "it reinterprets the bits of float32",
  read: (site) => {
    const to = readElementType(site, "to");
    return to === undefined ? new Miss("casts to a type that is not known") : { to };
  },
  infer: (s, site) => [{ type: s.to, dims: requireInput(site, 0).dims }],
  unchanged: (s, site) => (site.inputs[0]?.type === s.to ? 0 : undefined),
  axes: (_, __, dims) => sameAxes(dims),
  gradient: onBits,
  quantize: onBits,
});

/** And, Or, Xor: `onDims` computes with 0 and 1, and with undefined for an unknown operand. */
const logical = (name: string, neutral: number, onDims: NonNullable<BinaryRow<undefined>["onDims"]>): Op =>
  defineBinary({ name, derivatives: flat, type: "bool", neutral: { left: neutral, right: neutral }, onDims });

export const logicOperators: readonly Op[] = [
  logical("And", 1, (a, b) => (a === 0 || b === 0 ? 0 : a === 1 && b === 1 ? 1 : undefined)),
  logical("Or", 0, (a, b) => (a === 1 || b === 1 ? 1 : a === 0 && b === 0 ? 0 : undefined)),
  logical("Xor", 0, (a, b) => (typeof a === "number" && typeof b === "number" ? (a === b ? 0 : 1) : undefined)),
  defineUnary({ name: "Not", derivative: flat, onDims: (a) => (a === 0 ? 1 : a === 1 ? 0 : undefined) }),
  defineUnary({ name: "IsNaN", derivative: flat, type: "bool" }),
  defineUnary<{ readonly negative: boolean; readonly positive: boolean }>({
    name: "IsInf",
    read: (site) => ({
      negative: readFlag(site, "detect_negative", true),
      positive: readFlag(site, "detect_positive", true),
    }),
    derivative: flat,
    type: "bool",
  }),
  defineBinary({ name: "BitwiseAnd", derivatives: computesIntegers }),
  defineBinary({ name: "BitwiseOr", derivatives: computesIntegers, neutral: { left: 0, right: 0 } }),
  defineBinary({ name: "BitwiseXor", derivatives: computesIntegers, neutral: { left: 0, right: 0 } }),
  defineUnary({ name: "BitwiseNot", derivative: computesIntegers }),
  defineBinary<{ readonly direction: string }>({
    name: "BitShift",
    read: (site) => ({ direction: readString(site, "direction", "") }),
    derivatives: computesIntegers,
    neutral: { right: 0 },
  }),
];
