/** Elementwise operators with one operand. At corners, the derivative is that of PyTorch. */

import { isNonnegative, multiplyDims, type Value } from "#graph";
import type { Op } from "./define.ts";
import { readFloat, readString } from "./shared/attributes.ts";
import { matchScaleInBlocks, reorderFromBlocks, scaleInBlocks } from "./shared/channel-blocks.ts";
import { roundQuotient } from "./shared/elements.ts";
import { defineUnary } from "./shared/elementwise.ts";
import { inferenceOnly } from "./shared/misses.ts";
import { typeOf } from "./shared/shapes.ts";

/** Close to the largest float32, 3.4e38. */
const maxSlope = 3e38;

const noGradient = (): undefined => undefined;

/** Squares of deviations overflow float16, and epsilons against division by zero underflow. */
const needsFloat32 = () => "its values can exceed the range of float16";

export const unaryOperators: readonly Op[] = [
  defineUnary({
    name: "Relu",
    homogeneous: [[0]],
    // HardSigmoid with the maximum slope is 1 for y above 3.3e-39 and 0 for y = 0. It takes less time than a Where, which is single-threaded.
    derivative: ({ emit, up, x, y }) =>
      typeOf(x) === "float32"
        ? emit.Mul([up, emit.HardSigmoid([y], { alpha: maxSlope, beta: 0 })])
        : emit.Where([emit.Greater([y, 0]), up, 0]),
    // Fuses Relu into a preceding normalization.
    inChannelBlocks: (_, emit, [x], block) => {
      const precedingScale = x === undefined ? undefined : matchScaleInBlocks(x, block);
      if (precedingScale === undefined) return undefined;
      const y = scaleInBlocks(emit, precedingScale.x, { ...precedingScale, activation: "Relu" });
      return [reorderFromBlocks(emit, y)];
    },
    quantize: () => ({ kind: "clamp", low: 0, high: undefined }),
  }),
  defineUnary({
    name: "Neg",
    homogeneous: [[0]],
    derivative: ({ emit, up }) => emit.Neg([up]),
    onDims: (a = 0) => multiplyDims(-1, a),
  }),
  defineUnary({ name: "Exp", needsFloat32, derivative: ({ emit, up, y }) => emit.Mul([up, y]) }),
  defineUnary({ name: "Log", needsFloat32, derivative: ({ emit, up, x }) => emit.Div([up, x]) }),
  defineUnary({ name: "Sqrt", needsFloat32, derivative: ({ emit, up, y }) => emit.Div([up, emit.Mul([y, 2])]) }),
  defineUnary({
    name: "Reciprocal",
    needsFloat32,
    derivative: ({ emit, up, y }) => emit.Neg([emit.Mul([up, emit.Mul([y, y])])]),
  }),
  defineUnary({
    name: "Abs",
    homogeneous: [[0]],
    derivative: ({ emit, up, x }) => emit.Mul([up, emit.Sign([x])]),
    onDims: (a = 0) => (typeof a === "number" ? Math.abs(a) : isNonnegative(a) ? a : undefined),
  }),
  defineUnary({
    name: "Sigmoid",
    saturates: [0, 1],
    quantize: () => ({ kind: "activation", inputs: [0] }),
    derivative: ({ emit, up, y }) => emit.Mul([up, emit.Mul([y, emit.Sub([1, y])])]),
  }),
  defineUnary({
    name: "Tanh",
    saturates: [-1, 1],
    derivative: ({ emit, up, y }) => emit.Mul([up, emit.Sub([1, emit.Mul([y, y])])]),
  }),
  defineUnary({
    name: "Erf",
    saturates: [-1, 1],
    // d erf(x)/dx = 2/√π · exp(-x²)
    derivative: ({ emit, up, x }) =>
      emit.Mul([up, emit.Mul([2 / Math.sqrt(Math.PI), emit.Exp([emit.Neg([emit.Mul([x, x])])])])]),
  }),
  defineUnary({ name: "Softplus", derivative: ({ emit, up, x }) => emit.Mul([up, emit.Sigmoid([x])]) }),
  defineUnary({
    name: "Softsign",
    saturates: [-1, 1],
    // y = x / (1 + |x|), so dy/dx = 1 / (1 + |x|)².
    derivative: ({ emit, up, x }) => {
      const denominator = emit.Add([emit.Abs([x]), 1]);
      return emit.Div([up, emit.Mul([denominator, denominator])]);
    },
  }),
  defineUnary({
    name: "Mish",
    // y = x · t with t = tanh(softplus(x)), so dy/dx = t + x · (1 - t²) · σ(x).
    derivative: ({ emit, up, x }) => {
      const t = emit.Tanh([emit.Softplus([x])]);
      const slope = emit.Mul([x, emit.Mul([emit.Sub([1, emit.Mul([t, t])]), emit.Sigmoid([x])])]);
      return emit.Mul([up, emit.Add([t, slope])]);
    },
  }),
  defineUnary<{ readonly tanh: boolean }>({
    name: "Gelu",
    read: (site) => ({ tanh: readString(site, "approximate", "none") === "tanh" }),
    // y = x · Φ(x), so dy/dx = Φ(x) + x · φ(x). With "tanh", Φ ≈ (1 + tanh(u)) / 2 where u = √(2/π) · (x + 0.044715 x³).
    derivative: ({ emit, up, x, s }) => {
      // (1 + value) / 2 for values in [-1, 1], in one pass over memory.
      const halveOnePlus = (value: Value): Value => emit.HardSigmoid([value], { alpha: 0.5, beta: 0.5 });
      if (!s.tanh) {
        // With r = x / √2: Φ(x) = (1 + erf r) / 2, x · φ(x) = r · exp(-r² - ln √π).
        const r = emit.Mul([x, Math.SQRT1_2]);
        const density = emit.Exp([emit.Sub([-Math.log(Math.PI) / 2, emit.Mul([r, r])])]);
        return emit.Mul([up, emit.Add([halveOnePlus(emit.Erf([r])), emit.Mul([r, density])])]);
      }
      const square = emit.Mul([x, x]);
      const root = Math.sqrt(2 / Math.PI);
      const inner = emit.Mul([x, emit.Add([root, emit.Mul([square, root * 0.044715])])]);
      const t = emit.Tanh([inner]);
      const slope = emit.Add([root, emit.Mul([square, 3 * root * 0.044715])]);
      const secondTerm = emit.Mul([0.5, emit.Mul([x, emit.Mul([emit.Sub([1, emit.Mul([t, t])]), slope])])]);
      return emit.Mul([up, emit.Add([halveOnePlus(t), secondTerm])]);
    },
  }),
  defineUnary<{ readonly alpha: number; readonly beta: number }>({
    name: "HardSigmoid",
    saturates: [0, 1],
    read: (site) => ({ alpha: readFloat(site, "alpha", 0.2), beta: readFloat(site, "beta", 0.5) }),
    // y = clip(α·x + β, 0, 1), so the slope is α for 0 < y < 1, otherwise 0.
    derivative: ({ emit, up, y, s }) => {
      const isInside = emit.And([emit.Greater([y, 0]), emit.Less([y, 1])]);
      return emit.Where([isInside, emit.Mul([up, s.alpha]), 0]);
    },
  }),
  defineUnary<{ readonly alpha: number; readonly gamma: number }>({
    name: "Selu",
    read: (site) => ({ alpha: readFloat(site, "alpha", 1.6732632), gamma: readFloat(site, "gamma", 1.050701) }),
    // For x ≤ 0: y = γ·α·(eˣ - 1), so dy/dx = y + γ·α.
    derivative: ({ emit, up, x, y, s }) =>
      emit.Mul([up, emit.Where([emit.Greater([x, 0]), s.gamma, emit.Add([y, s.gamma * s.alpha])])]),
  }),
  defineUnary<{ readonly alpha: number }>({
    name: "LeakyRelu",
    homogeneous: [[0]],
    read: (site) => ({ alpha: readFloat(site, "alpha", 0.01) }),
    derivative: ({ emit, up, x, s }) => emit.Where([emit.Greater([x, 0]), up, emit.Mul([up, s.alpha])]),
    quantize: () => ({ kind: "activation", inputs: [0] }),
  }),
  defineUnary<{ readonly alpha: number }>({
    name: "Elu",
    read: (site) => ({ alpha: readFloat(site, "alpha", 1) }),
    // For x ≤ 0: y = α(eˣ - 1), so dy/dx = y + α.
    derivative: ({ emit, up, x, y, s }) =>
      emit.Where([emit.Greater([x, 0]), up, emit.Mul([up, emit.Add([y, s.alpha])])]),
  }),
  defineUnary({
    name: "Identity",
    homogeneous: [[0]],
    containers: true,
    derivative: ({ up }) => up,
    onDims: (a) => a,
    unchanged: () => 0,
    quantize: () => ({ kind: "transparent" }),
  }),
  defineUnary({
    name: "Sign",
    derivative: noGradient,
    onDims: (a) => (typeof a === "number" ? Math.sign(a) : undefined),
  }),
  defineUnary({ name: "Floor", inSteps: true, derivative: noGradient, onFloats: (a = 0) => roundQuotient(a, "down") }),
  defineUnary({ name: "Ceil", inSteps: true, derivative: noGradient, onFloats: (a = 0) => roundQuotient(a, "up") }),
  // Rounds half to even, without a gradient. With the role `straight-through` (fake quantization), gradients pass.
  defineUnary({ name: "Round", inSteps: true, derivative: noGradient }),
  defineUnary({
    name: "HardSwish",
    // y = x · clip(x/6 + 1/2, 0, 1), so the slope is 0 below -3, 1 above 3, and x/3 + 1/2 between.
    derivative: ({ emit, up, x }) => {
      const slope = emit.Add([emit.Div([x, 3]), 0.5]);
      const slopeBelowThree = emit.Where([emit.LessOrEqual([x, 3]), slope, 1]);
      return emit.Mul([up, emit.Where([emit.Greater([x, -3]), slopeBelowThree, 0])]);
    },
  }),
  defineUnary<{ readonly alpha: number }>({
    name: "Celu",
    read: (site) => ({ alpha: readFloat(site, "alpha", 1) }),
    // y = max(x, 0) + min(0, α(e^(x/α) - 1)) = α · Elu(x/α).
    lower: ({ emit, x, s }) =>
      s.alpha === 1 ? emit.Elu([x]) : emit.Mul([emit.Elu([emit.Div([x, s.alpha])]), s.alpha]),
  }),
  defineUnary<{ readonly alpha: number }>({
    name: "Swish",
    read: (site) => ({ alpha: readFloat(site, "alpha", 1) }),
    // y = x · σ(α·x), so dy/dx = σ + α·y·(1 - σ).
    derivative: ({ emit, up, x, y, s }) => {
      const gate = emit.Sigmoid([emit.Mul([x, s.alpha])]);
      const gateSlope = emit.Mul([emit.Mul([y, s.alpha]), emit.Sub([1, gate])]);
      return emit.Mul([up, emit.Add([gate, gateSlope])]);
    },
  }),
  defineUnary<{ readonly bias: number; readonly lambda: number }>({
    name: "Shrink",
    read: (site) => ({ bias: readFloat(site, "bias", 0), lambda: readFloat(site, "lambd", 0.5) }),
    lower: ({ emit, x, s }) => {
      const isBelow = emit.Less([x, -s.lambda]);
      const isAbove = emit.Greater([x, s.lambda]);
      const shiftBy = (distance: number): Value => emit.Add([x, distance]);
      return emit.Where([isBelow, shiftBy(s.bias), emit.Where([isAbove, shiftBy(-s.bias), 0])]);
    },
  }),
  defineUnary<{ readonly alpha: number }>({
    name: "ThresholdedRelu",
    homogeneous: ({ alpha }) => (alpha === 0 ? { products: [[0]] } : undefined),
    read: (site) => ({ alpha: readFloat(site, "alpha", 1) }),
    derivative: ({ emit, up, x, s }) => emit.Where([emit.Greater([x, s.alpha]), up, 0]),
  }),
  defineUnary({ name: "Sin", derivative: ({ emit, up, x }) => emit.Mul([up, emit.Cos([x])]) }),
  defineUnary({ name: "Cos", derivative: ({ emit, up, x }) => emit.Neg([emit.Mul([up, emit.Sin([x])])]) }),
  ...["Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh"].map((name) =>
    defineUnary({ name, derivative: inferenceOnly }),
  ),
];
