/** Any number of operands, element by element: Max, Min, Sum, Mean. */

import { toFloat64 } from "../tensor/convert.ts";
import { type Dim, extremeDims } from "../tensor/dims.ts";
import type { Op, Operand } from "./define.ts";
import { channelVectors, variadic } from "./shared/elementwise.ts";
import { need } from "./shared/rules.ts";

/** Sizes of images, zeros, ones: bounds that nobody trained are whole. */
function isWhole({ small }: Operand): boolean {
  return small !== undefined && toFloat64(small).every((entry) => Number.isInteger(entry) || !Number.isFinite(entry));
}

/** Operands that share the extremum share the gradient evenly. A bound for each channel is a parameter, as PyTorch trains it. */
function extremum(name: "Max" | "Min"): Op {
  const among = name === "Max" ? "max" : "min";
  return variadic({
    name,
    onDims: (...operands: readonly Dim[]) => extremeDims(among, operands),
    parameters: (_, site) => channelVectors(site).filter((input) => !isWhole(need(site, input))),
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
