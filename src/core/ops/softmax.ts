/**
 * Softmax, LogSoftmax and Hardmax along one axis. Before opset 13, all axes from `axis` (default 1) on are flattened to one.
 * Gradients: softmax dx = y · (dy - Σ dy·y); log-softmax dx = dy - eʸ · Σ dy; Hardmax is piecewise constant.
 */
import type { Emit, Value } from "#graph";
import { type Distribution, defineOp, type Op, type Site } from "./define.ts";
import { readInteger, wrapAxis } from "./shared/attributes.ts";
import { sameAxes } from "./shared/axis-links.ts";
import { noLowering, noRank } from "./shared/misses.ts";
import { range, sameAsInput } from "./shared/shapes.ts";

interface Settings {
  /** The normalized axes; undefined if the rank is unknown. */
  readonly axes: readonly number[] | undefined;
  /** The first flattened axis before opset 13, if opset 13 would normalize another axis. */
  readonly flattenedFrom?: number;
}

interface SoftmaxDefinition {
  readonly name: "Softmax" | "LogSoftmax" | "Hardmax";
  readonly rule: (emit: Emit, y: Value, up: Value, sum: (value: Value) => Value) => Value | undefined;
  readonly form: Distribution["form"];
}

function read(site: Site): Settings {
  const dims = site.inputs[0]?.dims;
  const axis = readInteger(site, "axis", site.version < 13 ? 1 : -1);
  if (dims === undefined) return site.version >= 13 ? { axes: undefined } : { axes: undefined, flattenedFrom: axis };
  const firstAxis = wrapAxis(axis, dims.length);
  if (site.version >= 13) return { axes: [firstAxis] };
  const longAxes = range(dims.length - firstAxis, firstAxis).filter((other) => dims[other] !== 1);
  const [longAxis = firstAxis, ...more] = longAxes;
  const opset13Axis = site.attribute("axis") === undefined ? dims.length - 1 : firstAxis;
  const differsInOpset13 = more.length === 0 && longAxis !== opset13Axis;
  return {
    axes: longAxes.length > 0 ? longAxes : [firstAxis],
    ...(differsInOpset13 ? { flattenedFrom: firstAxis } : {}),
  };
}

function defineSoftmax({ name, rule, form }: SoftmaxDefinition): Op {
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
    lower: ({ axes = [], flattenedFrom }, emit, [x]) => {
      const firstAxis = flattenedFrom ?? (axes.length > 1 ? axes[0] : undefined);
      if (x === undefined || firstAxis === undefined) return noLowering;
      return [emit.Reshape([emit[name]([emit.Flatten([x], { axis: firstAxis })], { axis: 1 }), emit.Shape([x])])];
    },
    gradient: ({ axes }, { emit, y, up }) => {
      if (axes === undefined) return noRank;
      const sum = (value: Value): Value => emit.ReduceSum([value, axes], { keepdims: 1 });
      return [rule(emit, y, up, sum)];
    },
    // Not quantized: the exponential amplifies the quantization error of the input.
  });
}

export const softmaxOperators: readonly Op[] = [
  defineSoftmax({
    name: "Softmax",
    rule: (emit, y, up, sum) => emit.Mul([y, emit.Sub([up, sum(emit.Mul([up, y]))])]),
    form: "probabilities",
  }),
  defineSoftmax({
    name: "LogSoftmax",
    rule: (emit, y, up, sum) => emit.Sub([up, emit.Mul([emit.Exp([y]), sum(up)])]),
    form: "logarithms",
  }),
  defineSoftmax({ name: "Hardmax", rule: () => undefined, form: "probabilities" }),
];
