/** Any number of operands, element by element: Max, Min, Sum, Mean. */
import { type Dim, extremeDims } from "../tensor/dims.ts";
import type { Op } from "./define.ts";
import { variadic } from "./shared/elementwise.ts";

/** Operands that share the extremum share the gradient evenly. */
function extremum(name: "Max" | "Min"): Op {
  const among = name === "Max" ? "max" : "min";
  return variadic({
    name,
    onDims: (...operands: readonly Dim[]) => extremeDims(among, operands),
    derivatives: ({ emit, up, y, operands }) => {
      const reached = operands.map((input) => emit.CastLike([emit.Equal([input, y]), up]));
      const share = emit.Div([up, reached.reduce((sum, value) => emit.Add([sum, value]))]);
      return reached.map((value) => emit.Mul([share, value]));
    },
  });
}

export const variadicOperators: readonly Op[] = [
  extremum("Max"),
  extremum("Min"),
  variadic({
    name: "Sum",
    derivatives: ({ up, operands }) => operands.map(() => up),
    // A stored operand with more than one element, added to an activation, is a bias.
    parameters: (_, site) =>
      site.inputs.flatMap((operand, input) =>
        operand?.stored === true && operand.dims?.some((dim) => dim !== 1) ? [input] : [],
      ),
  }),
  variadic({
    name: "Mean",
    derivatives: ({ emit, up, operands, number }) => {
      const share = emit.Div([up, number(operands.length)]);
      return operands.map(() => share);
    },
  }),
];
