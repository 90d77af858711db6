/**
 * QLinearConv and QLinearMatMul: y = quantize(product of dequantized operands); lowered to that form. They are layers with quantized weights.
 * ONNX Runtime's integer kernels can differ by one step on ties. com.microsoft's QLinearConv can have channels last.
 */
import { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import { defineOp, type Op, type Site } from "./define.ts";
import { integer } from "./shared/attributes.ts";
import { codeType, decoded, encoded, single, twoCoded } from "./shared/codes.ts";
import {
  channelsLast,
  convAttributes,
  convAxes,
  convCost,
  convolved,
  convWeight,
  readConv,
  turned,
  withChannelsFirst,
} from "./shared/convolution.ts";
import { onIntegers } from "./shared/misses.ts";
import { matmulCost, matmulWeight, multiplied, perChannel, picked, productAxes, unpicked } from "./shared/products.ts";

function plainConv(site: Site, last: boolean): Site {
  const plain = picked(site, [0, 3, 8]);
  return last ? { ...plain, inputs: plain.inputs.with(0, turned(plain.inputs[0])) } : plain;
}

function quantizedConv(domain: "" | "com.microsoft"): Op {
  return defineOp({
    name: "QLinearConv",
    domain,
    codes: twoCoded,
    read: (site) => {
      const last = integer(site, "channels_last", 0) !== 0;
      const s = readConv(plainConv(site, last));
      return s instanceof Miss ? s : { ...s, last };
    },
    infer: (s, site) => {
      const found = convolved(s, plainConv(site, s.last), codeType(site, 7));
      if (found instanceof Miss || !s.last) return found;
      return found.map(({ type, dims }) => ({ type, dims: dims && channelsLast(dims) }));
    },
    parameters: [],
    weight: (s, site) => {
      const role = convWeight(s, plainConv(site, s.last));
      if (role instanceof Miss) return role;
      const axis = s.last ? s.kernel.length + 1 : 1;
      const { bias, ...rest } = { ...role, input: 3, dataAxis: axis, outputAxis: axis, fused: "QuantizeLinear" };
      return bias === undefined ? rest : { ...rest, bias: 8 };
    },
    lower: (s, emit, [x, xScale, xZero, w, wScale, wZero, yScale, yZero, bias]) => {
      const data = decoded(emit, x, xScale, xZero);
      const weight = decoded(emit, w, wScale, wZero, 0);
      const scale = bias && emit.Mul([single(emit, xScale), single(emit, wScale)]);
      const added = bias && decoded(emit, bias, scale, undefined, 0);
      const conv = ([first]: readonly (Value | undefined)[]): Value =>
        emit.Conv([first, weight, added], convAttributes(s));
      const y = s.last ? withChannelsFirst(emit, s.kernel.length + 2, [data], conv) : conv([data]);
      return [encoded(emit, y, yScale, yZero)];
    },
    axes: (s, site) => {
      const last = s.kernel.length + 1;
      const axisOf = (axis: number): number => (axis < 1 || !s.last ? axis : axis === 1 ? last : axis - 1);
      const scales = perChannel(site, [4, 5], axisOf(1));
      return scales instanceof Miss
        ? scales
        : unpicked(convAxes(s, plainConv(site, s.last)), [0, 3, 8], scales, axisOf);
    },
    cost: (s, site) => convCost(s, plainConv(site, s.last)),
    ...onIntegers,
  });
}

const operands = [0, 3];

export const QLinearMatMul = defineOp({
  name: "QLinearMatMul",
  codes: twoCoded,
  infer: (_, site) => multiplied(picked(site, operands), codeType(site, 7)),
  parameters: [],
  weight: (_, site) => {
    const role = matmulWeight(picked(site, operands));
    if (role instanceof Miss) return role;
    return { ...role, input: role.input * 3, data: role.data * 3, fused: "QuantizeLinear" };
  },
  lower: (_, emit, [a, aScale, aZero, b, bScale, bZero, yScale, yZero]) => {
    const [rows, columns] = [a?.type?.dims?.length, b?.type?.dims?.length];
    if (rows === undefined || columns === undefined) return new Miss("the rank of an operand is not known");
    const left = decoded(emit, a, aScale, aZero, Math.max(0, rows - 2));
    const right = decoded(emit, b, bScale, bZero, columns - 1);
    return [encoded(emit, emit.MatMul([left, right]), yScale, yZero)];
  },
  axes: (_, site) => productAxes(site, operands, [4, 5], [1, 2, 6, 7]),
  cost: (_, site) => matmulCost(picked(site, operands)),
  ...onIntegers,
});

export const quantizedProductOperators: readonly Op[] = [quantizedConv(""), quantizedConv("com.microsoft")];
