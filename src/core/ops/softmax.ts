/**
 * Softmax, LogSoftmax and Hardmax (1 at the first maximum) along one axis. Before opset 13 all axes from `axis` (default 1) on are treated as one.
 * Gradients: softmax dx = y · (dy - Σ dy·y); log-softmax dx = dy - eʸ · Σ dy; Hardmax is piecewise constant.
 * Losses that a model contains are defined for inference only: training adds its loss to the scores.
 */
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { type Distribution, defineOp, type Op, type Site } from "./define.ts";
import { readInteger, readString, wrapAxis } from "./shared/attributes.ts";
import { defineInert } from "./shared/inert.ts";
import { inferenceOnly, noRank, noLowering } from "./shared/misses.ts";
import { requireInput, range, requirePositions, sameAsInput, sameAxes } from "./shared/rules.ts";

interface Settings {
  /** The normalized axes; undefined if the rank is unknown. */
  readonly axes: readonly number[] | undefined;
  /** Set if opset 13 would change the result: the rank is unknown, or another axis is the only one longer than 1. */
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
  const axis = readInteger(site, "axis", site.version < 13 ? 1 : -1);
  if (dims === undefined) return site.version >= 13 ? { axes: undefined } : { axes: undefined, flattens: axis };
  const first = wrapAxis(axis, dims.length);
  if (site.version >= 13) return { axes: [first] };
  const long = range(dims.length - first, first).filter((other) => dims[other] !== 1);
  const [only = first, ...more] = long;
  // A later opset would use the written axis, or the last.
  const later = site.attribute("axis") === undefined ? dims.length - 1 : first;
  const isElsewhere = more.length === 0 && only !== later;
  return { axes: long.length > 0 ? long : [first], ...(isElsewhere ? { flattens: first } : {}) };
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
      return sameAxes(dims, { refused: (axis) => axes.includes(axis), reason: `${name} normalizes over this axis` });
    },
    lower: ({ axes = [], flattens }, emit, [x]) => {
      const first = flattens ?? (axes.length > 1 ? axes[0] : undefined);
      if (x === undefined || first === undefined) return noLowering;
      return [emit.Reshape([emit[name]([emit.Flatten([x], { axis: first })], { axis: 1 }), emit.Shape([x])])];
    },
    gradient: ({ axes }, { emit, y, up }) => {
      if (axes === undefined) return noRank;
      const sum = (value: Value): Value => emit.ReduceSum([value, axes], { keepdims: 1 });
      return [rule(emit, y, up, sum)];
    },
    // The exponential multiplies the input's quantization step, and the integer form has output steps of 1/256 only.
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

/**
 * Scores: samples × classes × positions; targets: class indices, samples × positions. A position costs -weight(class) · score(class), or 0 for
 * `ignore_index`; "mean" divides by the sum of the counted weights. SoftmaxCrossEntropyLoss first takes the log-softmax over axis 1, its output 1.
 */
export const lossOperators: readonly Op[] = ["NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"].map((name) =>
  defineInert(inferenceOnly, {
    name,
    read: (site) => ({
      ignored: readInteger(site, "ignore_index", undefined),
      reduction: readString(site, "reduction", "mean"),
    }),
    infer: ({ reduction }, site) => {
      const { type, dims } = requireInput(site, 0);
      return [
        { type, dims: reduction === "none" ? site.inputs[1]?.dims : [] },
        { type, dims },
      ];
    },
    wants: (_, site) => requirePositions(1, site.inputs[0]?.dims?.[1]),
  }),
);
