/**
 * Softmax and LogSoftmax along one axis.
 * Opset history: before 13 the default axis is 1 and everything from that axis on is flattened into one; that equals the new form exactly
 * if the axis is the last, otherwise refused.
 *
 * Gradients: softmax dx = y · (dy - Σ dy·y); log-softmax dx = dy - eʸ · Σ dy.
 */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { integer, wrapAxis } from "./attributes.ts";
import { type AxisLink, alwaysChanges, defineOp, noParameters, type Op } from "./define.ts";
import { dimsAt, integersConstant, noMacs, sameAsInput } from "./rules.ts";

type Rule = (emit: Emit, y: Value, up: Value, sum: (value: Value) => Value) => Value;

function softmax(name: string, rule: Rule, quantized: boolean): Op {
  return defineOp<{ readonly axis: number }>({
    name,
    read: (site) => {
      const rank = site.inputs[0]?.dims?.length;
      const axis = integer(site, "axis", site.version < 13 ? 1 : -1);
      if (rank === undefined) return axis === -1 ? { axis } : new Miss("the rank of its input is not known");
      const wrapped = wrapAxis(axis, rank);
      if (site.version < 13 && wrapped !== rank - 1) return new Miss("flattens several axes (before opset 13)");
      return { axis: wrapped };
    },
    infer: (_, site) => sameAsInput(site),
    unchanged: alwaysChanges,
    parameters: noParameters,
    weight: new Miss("has no weight"),
    axes: (s, site) => {
      const dims = dimsAt(site, 0);
      if (dims instanceof Miss) return dims;
      const links = dims.map(
        (_, axis): AxisLink =>
          axis === s.axis
            ? { refuses: ["in0", axis], reason: `${name} normalizes over this axis` }
            : { from: ["in0", axis], to: ["out0", axis] },
      );
      return { links: [...links, { refuses: ["out0", s.axis], reason: `${name} normalizes over this axis` }] };
    },
    lower: new Miss("is primitive"),
    gradient: (s, { emit, outputs: [y], upstream: [up] }) => {
      if (y === undefined || up === undefined) return [];
      const axis = integersConstant(emit, [s.axis]);
      return [rule(emit, y, up, (value) => emit.ReduceSum([value, axis], { keepdims: 1 }))];
    },
    cost: noMacs,
    quantize: quantized ? () => ({ kind: "activation", inputs: [0] }) : new Miss("runs in float"),
  });
}

export const softmaxOperators: readonly Op[] = [
  softmax("Softmax", (emit, y, up, sum) => emit.Mul([y, emit.Sub([up, sum(emit.Mul([up, y]))])]), true),
  softmax("LogSoftmax", (emit, y, up, sum) => emit.Sub([up, emit.Mul([emit.Exp([y]), sum(up)])]), false),
];
