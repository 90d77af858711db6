/**
 * Layers on codes: QLinearConv and QLinearMatMul, with scale and zero point beside every operand. y = quantize(product of dequantized operands).
 * They are layers whose weight is stored quantized: shown, counted, and left alone; lowered to the same with DequantizeLinear and QuantizeLinear
 * around. ONNX Runtime's integer kernels round otherwise where a result lies between two codes: one code of difference is possible.
 *
 * com.microsoft has a QLinearConv that may have its channels last.
 */
import { Miss } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import { type Dim, elementCount, multiplyDims } from "../tensor/dims.ts";
import { defineOp, type Op, type Operand, type Site } from "./define.ts";
import { integer } from "./shared/attributes.ts";
import { codeType, decoded, encoded, single } from "./shared/codes.ts";
import { type ConvSettings, convCost, convDims, convWeight, readConv } from "./shared/convolution.ts";
import { quantizedAlready } from "./shared/misses.ts";
import { matmulDims, matmulWeight, picked } from "./shared/products.ts";

const integers = new Miss("computes integers");

interface QuantizedConv extends ConvSettings {
  readonly last: boolean;
}

const turn = (dims: readonly Dim[] | undefined): readonly Dim[] | undefined =>
  dims && [dims[0] as Dim, dims.at(-1) as Dim, ...dims.slice(1, -1)];

/** Data, weight and bias, channels first: the site of the float convolution. */
function plainConv(site: Site, last: boolean): Site {
  const plain = picked(site, [0, 3, 8]);
  const first = (operand: Operand | undefined): Operand | undefined =>
    operand && { ...operand, dims: turn(operand.dims) };
  return last ? { ...plain, inputs: [first(plain.inputs[0]), ...plain.inputs.slice(1)] } : plain;
}

function quantizedConv(domain: "" | "com.microsoft"): Op {
  return defineOp<QuantizedConv>({
    name: "QLinearConv",
    domain,
    read: (site) => {
      const last = integer(site, "channels_last", 0) !== 0;
      const s = readConv(plainConv(site, last));
      return s instanceof Miss ? s : { ...s, last };
    },
    infer: (s, site) => {
      const type = codeType(site, 7);
      if (site.inputs[0]?.dims === undefined) return [{ type, dims: undefined }];
      const dims = convDims(s, plainConv(site, s.last));
      if (dims instanceof Miss) return dims;
      return [{ type, dims: s.last ? [dims[0] as Dim, ...dims.slice(2), dims[1] as Dim] : dims }];
    },
    parameters: () => [],
    weight: (s, site) => {
      const role = convWeight(s, plainConv(site, s.last));
      if (role instanceof Miss) return role;
      const axis = s.last ? s.kernel.length + 1 : 1;
      const { bias, ...rest } = role;
      return {
        ...rest,
        input: 3,
        dataAxis: axis,
        outputAxis: axis,
        fused: "QuantizeLinear",
        ...(bias === undefined ? {} : { bias: 8 }),
      };
    },
    axes: quantizedAlready,
    lower: (s, emit, [x, xScale, xZero, w, wScale, wZero, yScale, yZero, bias]) => {
      const { kernel, strides, dilations, pads, group, autoPad, last } = s;
      const rank = kernel.length + 2;
      const spatial = kernel.map((_, axis) => axis + 1);
      const padding = autoPad === "NOTSET" || autoPad === "VALID" ? { pads } : { auto_pad: autoPad };
      const data = decoded(emit, x, xScale, xZero);
      const first = last ? emit.Transpose([data], { perm: [0, rank - 1, ...spatial] }) : data;
      const weight = decoded(emit, w, wScale, wZero, 0);
      const added: Value[] = [];
      if (bias !== undefined) {
        const scale = emit.Mul([single(emit, xScale), single(emit, wScale)]);
        added.push(decoded(emit, bias, scale, undefined, 0));
      }
      const settings = { kernel_shape: kernel, strides, dilations, group, ...padding };
      const y = emit.Conv([first, weight, ...added], settings);
      const back = last ? emit.Transpose([y], { perm: [0, ...spatial.map((axis) => axis + 1), 1] }) : y;
      return [encoded(emit, back, yScale, yZero)];
    },
    gradient: integers,
    cost: (s, site) => convCost(s, plainConv(site, s.last)),
    quantize: quantizedAlready,
  });
}

const operands = [0, 3];

const QLinearMatMul = defineOp<null>({
  name: "QLinearMatMul",
  read: () => null,
  infer: (_, site) => {
    const type = codeType(site, 7);
    const plain = picked(site, operands);
    if (plain.inputs.some((operand) => operand?.dims === undefined)) return [{ type, dims: undefined }];
    const found = matmulDims(plain);
    return found instanceof Miss ? found : [{ type, dims: found.dims }];
  },
  parameters: () => [],
  weight: (_, site) => {
    const role = matmulWeight(picked(site, operands));
    if (role instanceof Miss) return role;
    return { ...role, input: role.input * 3, data: role.data * 3, fused: "QuantizeLinear" };
  },
  axes: quantizedAlready,
  lower: (_, emit, [a, aScale, aZero, b, bScale, bZero, yScale, yZero]) => {
    const [rows, columns] = [a?.type?.dims?.length, b?.type?.dims?.length];
    if (rows === undefined || columns === undefined) return new Miss("the rank of an operand is not known");
    const left = decoded(emit, a, aScale, aZero, Math.max(0, rows - 2));
    const right = decoded(emit, b, bScale, bZero, columns - 1);
    return [encoded(emit, emit.MatMul([left, right]), yScale, yZero)];
  },
  gradient: integers,
  cost: (_, site) => {
    const found = matmulDims(picked(site, operands));
    return found instanceof Miss ? found : { macs: multiplyDims(elementCount(found.dims), found.shared) };
  },
  quantize: quantizedAlready,
});

export const quantizedProductOperators: readonly Op[] = [
  quantizedConv(""),
  quantizedConv("com.microsoft"),
  QLinearMatMul,
];
