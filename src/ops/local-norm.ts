/**
 * Normalization by a norm: LpNormalization divides by the norm along an axis (0 stays 0); LRN divides each number by a power of
 * bias + alpha / size · Σ x² over the `size` channels around it.
 */
import { Miss } from "../errors.ts";
import { defineOp, type Op } from "./define.ts";
import { decimal, integer, wrapAxis } from "./shared/attributes.ts";
import { integersConstant, sameAsInput, sameAxes, scalar, typeOf } from "./shared/rules.ts";

const LpNormalization = defineOp<{ readonly axis: number; readonly p: number }>({
  name: "LpNormalization",
  sameType: 0,
  read: (site) => {
    const rank = site.inputs[0]?.dims?.length;
    if (rank === undefined) return new Miss("the rank of its input is not known");
    return { axis: wrapAxis(integer(site, "axis", -1), rank), p: integer(site, "p", 2) };
  },
  infer: (_, site) => sameAsInput(site),
  axes: (s, _, dims) =>
    sameAxes(dims, { but: (axis) => axis === s.axis, why: "LpNormalization normalizes over this axis" }),
  lower: (s, emit, [x]) => {
    const norm = emit[s.p === 1 ? "ReduceL1" : "ReduceL2"]([x, integersConstant(emit, [s.axis])], { keepdims: 1 });
    const [zero, one] = [scalar(emit, typeOf(x), 0), scalar(emit, typeOf(x), 1)];
    return [emit.Div([x, emit.Where([emit.Equal([norm, zero]), one, norm])])];
  },
});

const LRN = defineOp<{
  readonly size: number;
  readonly alpha: number;
  readonly beta: number;
  readonly bias: number;
}>({
  name: "LRN",
  read: (site) => ({
    size: integer(site, "size", 1),
    alpha: decimal(site, "alpha", 1e-4),
    beta: decimal(site, "beta", 0.75),
    bias: decimal(site, "bias", 1),
  }),
  infer: (_, site) => sameAsInput(site),
  axes: (_, __, dims) => sameAxes(dims, { but: (axis) => axis === 1, why: "LRN divides by the channels around each" }),
  // The mean over a window of channels: those outside count as 0.
  lower: (s, emit, [x]) => {
    const rank = x.type?.dims?.length;
    if (rank === undefined) return new Miss("the rank of its input is not known");
    if (rank > 4) return new Miss("there is no pooling over four axes");
    const places = new Array<number>(rank - 2).fill(0);
    const [before, after] = [Math.floor((s.size - 1) / 2), Math.ceil((s.size - 1) / 2)];
    const axis = integersConstant(emit, [1]);
    const number = (value: number) => scalar(emit, typeOf(x), value);
    const mean = emit.AveragePool([emit.Unsqueeze([emit.Mul([x, x]), axis])], {
      kernel_shape: [s.size, ...places.map(() => 1)],
      pads: [before, ...places, after, ...places],
      count_include_pad: 1,
    });
    const square = emit.Add([emit.Mul([emit.Squeeze([mean, axis]), number(s.alpha)]), number(s.bias)]);
    return [emit.Div([x, emit.Pow([square, number(s.beta)])])];
  },
});

export const localNormOperators: readonly Op[] = [LpNormalization, LRN];
