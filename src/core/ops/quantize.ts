/**
 * QuantizeLinear: q = saturate(round-half-even(x / scale) + zero point); DequantizeLinear: x = (q - zero point) · scale; DynamicQuantizeLinear.
 * QLinearConv and QLinearMatMul are lowered to y = quantize(product of dequantized operands). ONNX Runtime's integer kernels can differ by one step.
 */
import { type DataType, type Dim, Miss, type Value } from "#graph";
import { type AxisLink, defineOp, type Inferred, type Op, type OpDef, type Site } from "./define.ts";
import { readElementType, readFlag, readInteger, wrapAxis } from "./shared/attributes.ts";
import { sameAxes } from "./shared/axis-links.ts";
import {
  convAttributes,
  convAxes,
  convCost,
  convWeight,
  inferConv,
  readConv,
  toChannelsLast,
  transposeAround,
  withChannelsFirstData,
} from "./shared/convolution.ts";
import { noRank, onIntegers, quantizedAlready } from "./shared/misses.ts";
import {
  inferProduct,
  linkPerChannel,
  mapLinksToInputs,
  matmulCost,
  matmulWeight,
  pickInputs,
  productAxes,
} from "./shared/products.ts";
import { range, requireInput } from "./shared/shapes.ts";
import {
  quantizedTypeOf,
  toScalar,
  twoQuantizedInputs,
  writeDequantize,
  writeQuantize,
} from "./shared/write-quantize.ts";

interface Settings {
  readonly axis: number;
  /** The number of values along the axis that share a scale; 0 without blocks. */
  readonly block: number;
  readonly type: DataType | undefined;
}

function read(site: Site): Settings | Miss {
  const { dims } = requireInput(site, 0);
  const scale = site.inputs[1]?.dims;
  const block = readInteger(site, "block_size", 0);
  const type = readElementType(site, "output_dtype");
  const isSingle = scale === undefined || scale.length === 0 || (scale.length === 1 && scale[0] === 1);
  if (isSingle) return { axis: 0, block, type };
  return dims === undefined ? noRank : { axis: wrapAxis(readInteger(site, "axis", 1), dims.length), block, type };
}

function axes(s: Settings, site: Site, dims: readonly Dim[]): readonly AxisLink[] | Miss {
  const scales = [1, 2].map((input) => ({ port: `in${input}` as const, scaleDims: site.inputs[input]?.dims ?? [] }));
  if (s.block === 0) {
    const scaleLinks = scales.flatMap(({ port, scaleDims }): AxisLink[] =>
      scaleDims.length === 1 && scaleDims[0] !== 1 ? [{ from: [port, 0], to: ["out0", s.axis] }] : [],
    );
    return [...sameAxes(dims), ...scaleLinks];
  }
  const size = dims[s.axis];
  if (typeof size !== "number") return new Miss("is quantized in blocks along an axis whose size is not known");
  const indicesOfBlock = (index: number): number[] => range(Math.min(s.block, size - index * s.block), index * s.block);
  const indicesOfSameBlock = (index: number): number[] => indicesOfBlock(Math.floor(index / s.block));
  const scaleLinks = scales.flatMap(({ port, scaleDims }) =>
    scaleDims.map((_, axis): AxisLink => {
      const link = { from: [port, axis], to: ["out0", axis] } as const;
      return axis === s.axis ? { ...link, map: indicesOfBlock } : link;
    }),
  );
  return [...sameAxes(dims), { from: ["in0", s.axis], to: ["in0", s.axis], map: indicesOfSameBlock }, ...scaleLinks];
}

const linearFacets = {
  needsFloat32: () => "kernels for integers take scales in float32",
  read,
  axes,
  quantize: quantizedAlready,
} satisfies Partial<OpDef<Settings>>;

export const QuantizeLinear = defineOp<Settings>({
  ...linearFacets,
  name: "QuantizeLinear",
  infer: (s, site) => [{ type: site.inputs[2]?.type ?? s.type ?? "uint8", dims: requireInput(site, 0).dims }],
  gradient: new Miss("rounds to integers; train with `fake-quantize` instead"),
});

export const DequantizeLinear = defineOp<Settings>({
  ...linearFacets,
  name: "DequantizeLinear",
  codes: [{ input: 0, scale: 1, zeroPoint: 2 }],
  infer: (s, site) => [{ type: s.type ?? site.inputs[1]?.type ?? "float32", dims: requireInput(site, 0).dims }],
  gradient: new Miss("its input is integers"),
});

/** Quantizes to uint8 over the range of the input, extended to include 0. */
export const DynamicQuantizeLinear = defineOp({
  name: "DynamicQuantizeLinear",
  mustBe: () => [{ input: 0, type: { type: "float32", dims: undefined } }],
  infer: (_, site): readonly Inferred[] => [
    { type: "uint8", dims: requireInput(site, 0).dims },
    { type: "float32", dims: [] },
    { type: "uint8", dims: [] },
  ],
  // The range includes 0, so channels of zeros do not affect other channels.
  axes: (_, __, dims) => [...sameAxes(dims), ...dims.map((_, axis): AxisLink => ({ absorbs: ["in0", axis] }))],
  gradient: new Miss("rounds to integers"),
  quantize: quantizedAlready,
});

function defineQuantizedConv(domain: "" | "com.microsoft"): Op {
  const convSite = (site: Site, hasChannelsLast: boolean): Site => {
    const operands = pickInputs(site, [0, 3, 8]);
    return hasChannelsLast ? withChannelsFirstData(operands) : operands;
  };
  return defineOp({
    name: "QLinearConv",
    domain,
    codes: twoQuantizedInputs,
    read: (site) => {
      const hasChannelsLast = readFlag(site, "channels_last");
      const s = readConv(convSite(site, hasChannelsLast));
      return s instanceof Miss ? s : { ...s, hasChannelsLast };
    },
    infer: (s, site) => {
      const outputs = inferConv(s, convSite(site, s.hasChannelsLast), quantizedTypeOf(site, 7));
      if (outputs instanceof Miss || !s.hasChannelsLast) return outputs;
      return outputs.map(({ type, dims }) => ({ type, dims: dims && toChannelsLast(dims) }));
    },
    parameters: [],
    weight: (s, site) => {
      const role = convWeight(s, convSite(site, s.hasChannelsLast));
      if (role instanceof Miss) return role;
      const axis = s.hasChannelsLast ? s.kernel.length + 1 : 1;
      const { bias, ...rest } = { ...role, input: 3, dataAxis: axis, outputAxis: axis, fused: "QuantizeLinear" };
      return bias === undefined ? rest : { ...rest, bias: 8 };
    },
    lower: (s, emit, [x, xScale, xZero, w, wScale, wZero, yScale, yZero, bias]) => {
      const data = writeDequantize(emit, x, xScale, xZero);
      const weight = writeDequantize(emit, w, wScale, wZero, 0);
      const scale = bias && emit.Mul([toScalar(emit, xScale), toScalar(emit, wScale)]);
      const dequantizedBias = bias && writeDequantize(emit, bias, scale, undefined, 0);
      const conv = ([first]: readonly (Value | undefined)[]): Value =>
        emit.Conv([first, weight, dequantizedBias], convAttributes(s));
      const y = s.hasChannelsLast ? transposeAround(emit, s.kernel.length + 2, [data], conv) : conv([data]);
      return [writeQuantize(emit, y, yScale, yZero)];
    },
    axes: (s, site) => {
      const lastAxis = s.kernel.length + 1;
      const axisOf = (axis: number): number =>
        axis < 1 || !s.hasChannelsLast ? axis : axis === 1 ? lastAxis : axis - 1;
      const scales = linkPerChannel(site, [4, 5], axisOf(1));
      return scales instanceof Miss
        ? scales
        : mapLinksToInputs(convAxes(s, convSite(site, s.hasChannelsLast)), [0, 3, 8], scales, axisOf);
    },
    cost: (s, site) => convCost(s, convSite(site, s.hasChannelsLast)),
    ...onIntegers,
  });
}

const matrixInputs = [0, 3];

export const QLinearMatMul = defineOp({
  name: "QLinearMatMul",
  codes: twoQuantizedInputs,
  infer: (_, site) => inferProduct(pickInputs(site, matrixInputs), quantizedTypeOf(site, 7)),
  parameters: [],
  weight: (_, site) => {
    const role = matmulWeight(pickInputs(site, matrixInputs));
    if (role instanceof Miss) return role;
    return { ...role, input: role.input * 3, data: role.data * 3, fused: "QuantizeLinear" };
  },
  lower: (_, emit, [a, aScale, aZero, b, bScale, bZero, yScale, yZero]) => {
    const [rows, columns] = [a?.type?.dims?.length, b?.type?.dims?.length];
    if (rows === undefined || columns === undefined) return new Miss("the rank of an operand is not known");
    const operands = [
      writeDequantize(emit, a, aScale, aZero, Math.max(0, rows - 2)),
      writeDequantize(emit, b, bScale, bZero, columns - 1),
    ];
    return [writeQuantize(emit, emit.MatMul(operands), yScale, yZero)];
  },
  axes: (_, site) => productAxes(site, matrixInputs, [4, 5], [1, 2, 6, 7]),
  cost: (_, site) => matmulCost(pickInputs(site, matrixInputs)),
  ...onIntegers,
});

export const quantizedProductOperators: readonly Op[] = [defineQuantizedConv(""), defineQuantizedConv("com.microsoft")];
