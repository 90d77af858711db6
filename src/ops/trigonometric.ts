/** Circular and hyperbolic functions and their inverses, element by element. Since opset 22 also of bfloat16. */
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import type { Op } from "./define.ts";
import { unary } from "./shared/elementwise.ts";

const square = (emit: Emit, x: Value): Value => emit.Mul([x, x]);

export const trigonometricOperators: readonly Op[] = [
  unary({ name: "Sin", derivative: ({ emit, up, x }) => emit.Mul([up, emit.Cos([x])]) }),
  unary({ name: "Cos", derivative: ({ emit, up, x }) => emit.Neg([emit.Mul([up, emit.Sin([x])])]) }),
  unary({
    name: "Tan",
    derivative: ({ emit, up, y, number }) => emit.Mul([up, emit.Add([square(emit, y), number(1)])]),
  }),
  unary({
    name: "Asin",
    derivative: ({ emit, up, x, number }) => emit.Div([up, emit.Sqrt([emit.Sub([number(1), square(emit, x)])])]),
  }),
  unary({
    name: "Acos",
    derivative: ({ emit, up, x, number }) =>
      emit.Neg([emit.Div([up, emit.Sqrt([emit.Sub([number(1), square(emit, x)])])])]),
  }),
  unary({
    name: "Atan",
    derivative: ({ emit, up, x, number }) => emit.Div([up, emit.Add([square(emit, x), number(1)])]),
  }),
  // cosh and sinh are written by exponentials: ONNX Runtime has them for float32 only.
  unary({
    name: "Sinh",
    derivative: ({ emit, up, x, number }) =>
      emit.Mul([up, emit.Mul([number(0.5), emit.Add([emit.Exp([x]), emit.Exp([emit.Neg([x])])])])]),
  }),
  unary({
    name: "Cosh",
    derivative: ({ emit, up, x, number }) =>
      emit.Mul([up, emit.Mul([number(0.5), emit.Sub([emit.Exp([x]), emit.Exp([emit.Neg([x])])])])]),
  }),
  unary({
    name: "Asinh",
    derivative: ({ emit, up, x, number }) => emit.Div([up, emit.Sqrt([emit.Add([square(emit, x), number(1)])])]),
  }),
  unary({
    name: "Acosh",
    derivative: ({ emit, up, x, number }) => emit.Div([up, emit.Sqrt([emit.Sub([square(emit, x), number(1)])])]),
  }),
  unary({
    name: "Atanh",
    derivative: ({ emit, up, x, number }) => emit.Div([up, emit.Sub([number(1), square(emit, x)])]),
  }),
];
