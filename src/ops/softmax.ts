/**
 * Softmax, LogSoftmax and Hardmax (1 at the first greatest, 0 elsewhere) along one axis.
 * Opset history: before 13 the default axis is 1, and everything from that axis on is taken as one. Where only one of these axes has more
 * than one element, the two meanings agree.
 *
 * Gradients: softmax dx = y · (dy - Σ dy·y); log-softmax dx = dy - eʸ · Σ dy; Hardmax is constant almost everywhere.
 */
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { type Distribution, defineOp, type Op, type Site } from "./define.ts";
import { integer, wrapAxis } from "./shared/attributes.ts";
import { noRank, primitive } from "./shared/misses.ts";
import { sameAsInput, sameAxes } from "./shared/rules.ts";

interface Settings {
  /** What is normalized over: one axis, or several that are taken as one. Undefined where the rank is not known. */
  readonly axes: readonly number[] | undefined;
  /** Before version 13 all axes from this one on were taken as one: where the rank is not known, or another of them is the only one above 1. */
  readonly flattens?: number;
}

type Rule = (emit: Emit, y: Value, up: Value, sum: (value: Value) => Value) => Value | undefined;

interface Row {
  readonly name: "Softmax" | "LogSoftmax" | "Hardmax";
  readonly rule: Rule;
  readonly form: Distribution["form"];
}

function read(site: Site): Settings {
  const dims = site.inputs[0]?.dims;
  const axis = integer(site, "axis", site.version < 13 ? 1 : -1);
  if (dims === undefined) return site.version >= 13 ? { axes: undefined } : { axes: undefined, flattens: axis };
  const first = wrapAxis(axis, dims.length);
  if (site.version >= 13) return { axes: [first] };
  const flattened = dims.map((_, other) => other).slice(first);
  const long = flattened.filter((other) => dims[other] !== 1);
  const [only = first, ...more] = long;
  // A later version would take the axis that is written, or the last.
  const later = site.attribute("axis") === undefined ? dims.length - 1 : first;
  const elsewhere = more.length === 0 && only !== later;
  return { axes: long.length > 0 ? long : [first], ...(elsewhere ? { flattens: first } : {}) };
}

function softmax({ name, rule, form }: Row): Op {
  return defineOp<Settings>({
    name,
    sameType: 0,
    read,
    infer: (_, site) => sameAsInput(site),
    distribution: ({ axes }) => ({ form, axes }),
    axes: ({ axes }, _, dims) => {
      if (axes === undefined) return noRank;
      return sameAxes(dims, { but: (axis) => axes.includes(axis), why: `${name} normalizes over this axis` });
    },
    lower: ({ axes = [], flattens }, emit, [x]) => {
      const first = flattens ?? (axes.length > 1 ? axes[0] : undefined);
      if (x === undefined || first === undefined) return primitive;
      return [emit.Reshape([emit[name]([emit.Flatten([x], { axis: first })], { axis: 1 }), emit.Shape([x])])];
    },
    gradient: ({ axes }, { emit, y, up }) => {
      if (axes === undefined) return noRank;
      const sum = (value: Value): Value => emit.ReduceSum([value, axes], { keepdims: 1 });
      return [rule(emit, y, up, sum)];
    },
    // The exponential of a difference multiplies the step of its input, and the integer form knows steps of 1/256 alone.
  });
}

export const softmaxOperators: readonly Op[] = [
  softmax({
    name: "Softmax",
    rule: (emit, y, up, sum) => emit.Mul([y, emit.Sub([up, sum(emit.Mul([up, y]))])]),
    form: "probabilities",
  }),
  softmax({
    name: "LogSoftmax",
    rule: (emit, y, up, sum) => emit.Sub([up, emit.Mul([emit.Exp([y]), sum(up)])]),
    form: "logarithms",
  }),
  softmax({ name: "Hardmax", rule: () => undefined, form: "probabilities" }),
];
