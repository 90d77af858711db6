/** Elementwise operators with broadcasting: arithmetic, comparison, logic and bits, and Max, Min, Sum, Mean. */
import {
  addDims,
  type Dim,
  divideDims,
  extremeDims,
  floorDims,
  isFloat,
  isNonnegative,
  isSymbolic,
  Miss,
  multiplyDims,
  sameDims,
  toFloat64,
  toNumbers,
} from "#graph";
import type { InputRange, Op, Operand, QuantizeRule, Site } from "./define.ts";
import { readFlag, readString } from "./shared/attributes.ts";
import { createBlocks, matchScaleInBlocks, reorderFromBlocks, scaleInBlocks } from "./shared/channel-blocks.ts";
import { addFloats, compareElements, divideFloats, isIntegerOrBool, multiplyFloats } from "./shared/elements.ts";
import {
  type BinaryRow,
  channelVectorInputs,
  defineBinary,
  defineUnary,
  defineVariadic,
} from "./shared/elementwise.ts";
import { computesIntegers, noQuantizedKernel } from "./shared/misses.ts";
import { requireInput, sizesOf, typeOf } from "./shared/shapes.ts";

const quantizeBothOperands = (): QuantizeRule => ({ kind: "activation", inputs: [0, 1] });
const exceedsFloat16 = "its squares and powers can exceed the range of float16";
const noSlope = new Miss("is constant almost everywhere");

/** Stored tensors with several elements, which are added to an activation. */
const biasInputs = (_: unknown, site: Site): readonly number[] =>
  [...site.inputs.keys()].filter((input) => {
    const operand = site.inputs[input];
    return operand?.stored === true && operand.dims?.some((dim) => dim !== 1) === true;
  });

/** Likely values of integers compared with a constant: 0 and 1 for a constant 0 or 1, otherwise the constant (a sample rate). */
const comparedIntervals = (_: unknown, site: Site): readonly InputRange[] =>
  site.inputs.flatMap((operand, input) => {
    const otherOperand = site.inputs[1 - input];
    if (operand === undefined || !isIntegerOrBool(operand.type) || otherOperand?.small === undefined) return [];
    const [number, ...otherNumbers] = toNumbers(otherOperand.small);
    if (number === undefined || otherNumbers.length > 0) return [];
    const isFlag = number === 0 || number === 1;
    return [{ input, low: isFlag ? 0 : number, high: isFlag ? 1 : number, strict: false }];
  });

const defineComparison = (name: string, options: Pick<BinaryRow<undefined>, "onDims"> = {}): Op =>
  defineBinary({ name, derivatives: noSlope, type: "bool", wants: comparedIntervals, ...options });

/** Whether a bound is probably not trained: image sizes, zeros, ones, infinities. */
function isUntrained({ small }: Operand): boolean {
  return small !== undefined && toFloat64(small).every((entry) => Number.isInteger(entry) || !Number.isFinite(entry));
}

/** Defines Max or Min. Operands that are equal to the extremum share the gradient evenly. */
function defineExtremum(name: "Max" | "Min"): Op {
  const direction = name === "Max" ? "max" : "min";
  return defineVariadic({
    name,
    onDims: (...operands: readonly Dim[]) => extremeDims(direction, operands),
    parameters: (_, site) => channelVectorInputs(site).filter((input) => !isUntrained(requireInput(site, input))),
    derivatives: ({ emit, up, y, operands }) => {
      const isExtremum = operands.map((input) => emit.CastLike([emit.Equal([input, y]), up]));
      const gradientShare = emit.Div([up, isExtremum.reduce((sum, value) => emit.Add([sum, value]))]);
      return isExtremum.map((value) => emit.Mul([gradientShare, value]));
    },
    quantize: name === "Min" ? quantizeAsClamp : undefined,
  });
}

function quantizeAsClamp(_: null, site: Site): QuantizeRule | Miss {
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
    derivatives: [({ up }) => up, ({ up }) => up],
    onDims: (a = 0, b = 0) => addDims(a, b),
    onFloats: (a = 0, b = 0) => addFloats(a, b),
    parameters: biasInputs,
    // Fuses the addition into a preceding normalization.
    inChannelBlocks: (_, emit, inputs, block) => {
      for (const [input, y] of inputs.entries()) {
        const precedingScale = y === undefined ? undefined : matchScaleInBlocks(y, block);
        const otherOperand = inputs[1 - input];
        if (
          precedingScale === undefined ||
          precedingScale.sum !== undefined ||
          y === undefined ||
          otherOperand === undefined
        )
          continue;
        if (!sameDims(sizesOf(y), sizesOf(otherOperand))) continue;
        const sum = createBlocks(emit, block).toBlocked(otherOperand);
        return [reorderFromBlocks(emit, scaleInBlocks(emit, precedingScale.x, { ...precedingScale, sum }))];
      }
      return undefined;
    },
    quantize: quantizeBothOperands,
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
    needsFloat32: ({ inputs: [a, b] }) => (a === b ? exceedsFloat16 : undefined),
    neutral: { left: 1, right: 1 },
    affine: (c) => [c, 0],
    homogeneous: [[0, 1]],
    derivatives: [({ emit, up, b }) => emit.Mul([up, b]), ({ emit, up, a }) => emit.Mul([up, a])],
    onDims: (a = 0, b = 0) => multiplyDims(a, b),
    onFloats: (a = 0, b = 0) => multiplyFloats(a, b),
    // A stored vector that scales channels is the scale of a normalization.
    parameters: (_, site) => channelVectorInputs(site),
    quantize: quantizeBothOperands,
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
    needsFloat32: () => exceedsFloat16,
    neutral: { right: 1 },
    // d(aᵇ)/da = b · aᵇ⁻¹; d(aᵇ)/db = y · ln a, defined as 0 for a = 0.
    derivatives: [
      ({ emit, up, a, b }) => {
        const exponent = typeOf(b) === typeOf(a) ? b : emit.CastLike([b, a]);
        return emit.Mul([up, emit.Mul([exponent, emit.Pow([a, emit.Sub([exponent, 1])])])]);
      },
      ({ emit, up, a, y }) => {
        const nonzeroBase = emit.Where([emit.Equal([a, 0]), 1, a]);
        return emit.Mul([up, emit.Mul([y, emit.Log([nonzeroBase])])]);
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
    oldAxis: 1,
    homogeneous: [[0]],
    derivatives: [
      ({ emit, up, a, b }) => emit.Where([emit.Less([a, 0]), emit.Mul([up, b]), up]),
      ({ emit, up, a }) => emit.Where([emit.Less([a, 0]), emit.Mul([up, a]), 0]),
    ],
    parameters: [1],
  }),
  defineComparison("Equal", { onDims: (a = 0, b = 0) => compareElements(a, b) }),
  defineComparison("Greater", { onDims: (a = 0, b = 0) => isLess(b, a) }),
  defineComparison("GreaterOrEqual", { onDims: (a = 0, b = 0) => negate(isLess(a, b)) }),
  defineComparison("Less", { onDims: (a = 0, b = 0) => isLess(a, b) }),
  defineComparison("LessOrEqual", { onDims: (a = 0, b = 0) => negate(isLess(b, a)) }),
  defineExtremum("Max"),
  defineExtremum("Min"),
  defineVariadic({ name: "Sum", derivatives: ({ up, operands }) => operands.map(() => up), parameters: biasInputs }),
  defineVariadic({
    name: "Mean",
    derivatives: ({ emit, up, operands }) => {
      const gradientShare = emit.Div([up, operands.length]);
      return operands.map(() => gradientShare);
    },
  }),
];

/** Returns the quotient a / b, truncated as in ONNX. */
function quotient(a: Dim, b: Dim): Dim | undefined {
  if (!isSymbolic(a) && !isSymbolic(b)) return b === 0 ? undefined : Math.trunc(a / b);
  const exactQuotient = divideDims(a, b);
  if (exactQuotient !== undefined || isSymbolic(b)) return exactQuotient;
  return b > 0 && isNonnegative(a) ? floorDims(a, b) : undefined;
}

/** Returns a - b · q with the rounded quotient q; undefined if a and b differ in sign, because the result then depends on `fmod`. */
function remainder(a: Dim, b: Dim): Dim | undefined {
  if (!isSymbolic(a) && !isSymbolic(b)) return a * b < 0 || b === 0 ? undefined : a % b;
  const roundedQuotient = quotient(a, b);
  return roundedQuotient === undefined ? undefined : addDims(a, multiplyDims(-1, multiplyDims(b, roundedQuotient)));
}

/** Returns 1 if a < b, 0 if a ≥ b, and undefined if neither is certain. */
function isLess(a: Dim, b: Dim): 0 | 1 | undefined {
  const difference = addDims(a, multiplyDims(-1, b));
  if (!isSymbolic(difference)) return difference < 0 ? 1 : 0;
  if (isNonnegative(difference)) return 0;
  return !isSymbolic(a) && a < 0 && isNonnegative(b) ? 1 : undefined;
}

const negate = (truth: 0 | 1 | undefined): 0 | 1 | undefined => (truth === undefined ? undefined : truth === 0 ? 1 : 0);

/** `onDims` receives 0 for false. */
const defineLogical = (name: string, neutral: number, onDims: NonNullable<BinaryRow<undefined>["onDims"]>): Op =>
  defineBinary({ name, derivatives: noSlope, type: "bool", neutral: { left: neutral, right: neutral }, onDims });

export const logicOperators: readonly Op[] = [
  defineLogical("And", 1, (a, b) => Number(a !== 0 && b !== 0)),
  defineLogical("Or", 0, (a, b) => Number(a !== 0 || b !== 0)),
  defineLogical("Xor", 0, (a, b) => Number((a === 0) !== (b === 0))),
  defineUnary({ name: "Not", derivative: noSlope, onDims: (a) => Number(a === 0) }),
  defineUnary({ name: "IsNaN", derivative: noSlope, type: "bool" }),
  defineUnary<{ readonly detectsNegative: boolean; readonly detectsPositive: boolean }>({
    name: "IsInf",
    read: (site) => ({
      detectsNegative: readFlag(site, "detect_negative", true),
      detectsPositive: readFlag(site, "detect_positive", true),
    }),
    derivative: noSlope,
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
