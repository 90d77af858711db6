/**
 * Element by element, one operand: a row each.
 * `derivative` gets the upstream gradient, the input and the output. Where the derivative does not exist (Relu and Abs at 0) it is 0.
 * Deviations from the specification: none. Old attributes without effect (`consumed_inputs`, opset 1) are ignored.
 */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { type Dim, multiplyDims } from "../tensor/dims.ts";
import { decimal, text } from "./attributes.ts";
import { alwaysChanges, defineOp, noParameters, type Op, type OpDef, type Site } from "./define.ts";
import { combineElements, withElements } from "./elements.ts";
import { noMacs, sameAsInput, sameAxes, scalar, typeOf } from "./rules.ts";

type Derivative<S> = (parts: {
  readonly emit: Emit;
  readonly up: Value;
  readonly x: Value;
  readonly y: Value;
  readonly s: S;
  /** A constant of the operand's type. */
  readonly number: (value: number) => Value;
}) => Value | undefined;

interface Row<S> {
  readonly name: string;
  readonly read?: (site: Site) => S;
  readonly derivative: Derivative<S> | Miss;
  /** The same on dimensions, for shapes computed in the graph. */
  readonly onDims?: (...operand: readonly Dim[]) => Dim | undefined;
  readonly unchanged?: OpDef<S>["unchanged"];
  readonly quantize?: OpDef<S>["quantize"];
}

export function unary<S = undefined>(row: Row<S>): Op {
  const { derivative } = row;
  return defineOp<S>({
    name: row.name,
    read: (site) => row.read?.(site) as S,
    infer: (_, site) => {
      const { onDims } = row;
      return sameAsInput(site).map((operand) =>
        withElements(operand, onDims === undefined ? undefined : combineElements(site, onDims)),
      );
    },
    unchanged: row.unchanged ?? alwaysChanges,
    parameters: noParameters,
    weight: new Miss("has no weight"),
    axes: (_, site) => sameAxes(site),
    lower: new Miss("is primitive"),
    gradient:
      derivative instanceof Miss
        ? derivative
        : (s, { emit, inputs, outputs, upstream }) => {
            const [x, y, up] = [inputs[0], outputs[0], upstream[0]];
            if (x === undefined || y === undefined || up === undefined) return [undefined];
            return [derivative({ emit, up, x, y, s, number: (value) => scalar(emit, typeOf(x), value) })];
          },
    cost: noMacs,
    quantize: row.quantize ?? new Miss("runs in float"),
  });
}

const flat = new Miss("is constant almost everywhere");
const transparent = () => ({ kind: "transparent" }) as const;

export const unaryOperators: readonly Op[] = [
  unary({
    name: "Relu",
    derivative: ({ emit, up, y, number }) => emit.Where([emit.Greater([y, number(0)]), up, number(0)]),
    quantize: () => ({ kind: "clamp" }),
  }),
  unary({ name: "Neg", derivative: ({ emit, up }) => emit.Neg([up]), onDims: (a = 0) => multiplyDims(-1, a) }),
  unary({ name: "Exp", derivative: ({ emit, up, y }) => emit.Mul([up, y]) }),
  unary({ name: "Log", derivative: ({ emit, up, x }) => emit.Div([up, x]) }),
  unary({
    name: "Sqrt",
    derivative: ({ emit, up, y, number }) => emit.Div([up, emit.Mul([y, number(2)])]),
  }),
  unary({
    name: "Reciprocal",
    derivative: ({ emit, up, y }) => emit.Neg([emit.Mul([up, emit.Mul([y, y])])]),
  }),
  unary({ name: "Abs", derivative: ({ emit, up, x }) => emit.Mul([up, emit.Sign([x])]) }),
  unary({
    name: "Sigmoid",
    derivative: ({ emit, up, y, number }) => emit.Mul([up, emit.Mul([y, emit.Sub([number(1), y])])]),
  }),
  unary({
    name: "Tanh",
    derivative: ({ emit, up, y, number }) => emit.Mul([up, emit.Sub([number(1), emit.Mul([y, y])])]),
  }),
  unary({
    name: "Erf",
    // d erf(x)/dx = 2/√π · exp(-x²)
    derivative: ({ emit, up, x, number }) =>
      emit.Mul([up, emit.Mul([number(2 / Math.sqrt(Math.PI)), emit.Exp([emit.Neg([emit.Mul([x, x])])])])]),
  }),
  unary({
    name: "Softplus",
    derivative: ({ emit, up, x }) => emit.Mul([up, emit.Sigmoid([x])]),
  }),
  unary({
    name: "Softsign",
    // y = x / (1 + |x|), so dy/dx = 1 / (1 + |x|)².
    derivative: ({ emit, up, x, number }) => {
      const size = emit.Add([emit.Abs([x]), number(1)]);
      return emit.Div([up, emit.Mul([size, size])]);
    },
  }),
  unary({ name: "Sin", derivative: ({ emit, up, x }) => emit.Mul([up, emit.Cos([x])]) }),
  unary({ name: "Cos", derivative: ({ emit, up, x }) => emit.Neg([emit.Mul([up, emit.Sin([x])])]) }),
  unary({
    name: "Mish",
    // y = x · t with t = tanh(softplus(x)), so dy/dx = t + x · (1 - t²) · σ(x).
    derivative: ({ emit, up, x, number }) => {
      const t = emit.Tanh([emit.Softplus([x])]);
      const slope = emit.Mul([x, emit.Mul([emit.Sub([number(1), emit.Mul([t, t])]), emit.Sigmoid([x])])]);
      return emit.Mul([up, emit.Add([t, slope])]);
    },
  }),
  unary<{ readonly tanh: boolean }>({
    name: "Gelu",
    read: (site) => ({ tanh: text(site, "approximate", "none") === "tanh" }),
    // y = x · Φ(x), so dy/dx = Φ(x) + x · φ(x). The other form has Φ ≈ (1 + tanh(u)) / 2 with u = √(2/π) · (x + 0.044715 x³).
    derivative: ({ emit, up, x, s, number }) => {
      const square = emit.Mul([x, x]);
      const half = (value: Value): Value => emit.Mul([number(0.5), emit.Add([number(1), value])]);
      if (!s.tanh) {
        const share = half(emit.Erf([emit.Mul([x, number(Math.SQRT1_2)])]));
        const density = emit.Mul([number(1 / Math.sqrt(2 * Math.PI)), emit.Exp([emit.Mul([square, number(-0.5)])])]);
        return emit.Mul([up, emit.Add([share, emit.Mul([x, density])])]);
      }
      const root = Math.sqrt(2 / Math.PI);
      const inner = emit.Mul([x, emit.Add([number(root), emit.Mul([square, number(root * 0.044715)])])]);
      const t = emit.Tanh([inner]);
      const slope = emit.Add([number(root), emit.Mul([square, number(3 * root * 0.044715)])]);
      const second = emit.Mul([number(0.5), emit.Mul([x, emit.Mul([emit.Sub([number(1), emit.Mul([t, t])]), slope])])]);
      return emit.Mul([up, emit.Add([half(t), second])]);
    },
  }),
  unary<{ readonly alpha: number; readonly beta: number }>({
    name: "HardSigmoid",
    read: (site) => ({ alpha: decimal(site, "alpha", 0.2), beta: decimal(site, "beta", 0.5) }),
    // y = clip(α·x + β, 0, 1): slope α strictly between the ends.
    derivative: ({ emit, up, y, s, number }) => {
      const inside = emit.And([emit.Greater([y, number(0)]), emit.Less([y, number(1)])]);
      return emit.Where([inside, emit.Mul([up, number(s.alpha)]), number(0)]);
    },
  }),
  unary<{ readonly alpha: number; readonly gamma: number }>({
    name: "Selu",
    read: (site) => ({ alpha: decimal(site, "alpha", 1.6732632), gamma: decimal(site, "gamma", 1.050701) }),
    // For x ≤ 0: y = γ·α·(eˣ - 1), so dy/dx = y + γ·α.
    derivative: ({ emit, up, x, y, s, number }) =>
      emit.Mul([
        up,
        emit.Where([emit.Greater([x, number(0)]), number(s.gamma), emit.Add([y, number(s.gamma * s.alpha)])]),
      ]),
  }),
  unary<{ readonly alpha: number }>({
    name: "LeakyRelu",
    read: (site) => ({ alpha: decimal(site, "alpha", 0.01) }),
    derivative: ({ emit, up, x, s, number }) =>
      emit.Where([emit.Greater([x, number(0)]), up, emit.Mul([up, number(s.alpha)])]),
  }),
  unary<{ readonly alpha: number }>({
    name: "Elu",
    read: (site) => ({ alpha: decimal(site, "alpha", 1) }),
    // For x ≤ 0: y = α(eˣ - 1), so dy/dx = y + α.
    derivative: ({ emit, up, x, y, s, number }) =>
      emit.Where([emit.Greater([x, number(0)]), up, emit.Mul([up, emit.Add([y, number(s.alpha)])])]),
  }),
  unary({ name: "Identity", derivative: ({ up }) => up, onDims: (a) => a, unchanged: () => 0, quantize: transparent }),
  unary({ name: "Not", derivative: flat, onDims: (a) => (a === 0 ? 1 : a === 1 ? 0 : undefined) }),
  unary({ name: "Sign", derivative: flat }),
  unary({ name: "Floor", derivative: flat }),
  unary({ name: "Ceil", derivative: flat }),
  // Half to even. Inside fake quantization the role `straight-through` of its output lets gradients pass; by itself it is flat.
  unary({ name: "Round", derivative: flat }),
  unary({
    name: "HardSwish",
    // y = x · clip(x/6 + 1/2, 0, 1): slope 0 below -3, 1 above 3, x/3 + 1/2 between.
    derivative: ({ emit, up, x, number }) => {
      const slope = emit.Add([emit.Div([x, number(3)]), number(0.5)]);
      const above = emit.Where([emit.Greater([x, number(3)]), number(1), slope]);
      return emit.Mul([up, emit.Where([emit.Greater([x, number(-3)]), above, number(0)])]);
    },
  }),
];
