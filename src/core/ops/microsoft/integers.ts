/** Fused integer products (DynamicQuantizeMatMul, QGemm, …). They are exact: lowering changes only the final rounding. */
import { type Emit, Miss, typeCodes, type Value } from "#graph";
import type { AxisLink, CodedInput, Op, Operand, Site, WeightRole } from "../define.ts";
import { defineMicrosoftOp } from "../shared/inert.ts";
import { onIntegers } from "../shared/misses.ts";
import {
  type GemmSettings,
  gemmFacets,
  inferProduct,
  linkPerChannel,
  mapLinksToInputs,
  matmulCost,
  matmulWeight,
  pickInputs,
  productAxes,
  readGemm,
} from "../shared/products.ts";
import { quantizedTypeOf, toScalar, twoQuantizedInputs, writeQuantize } from "../shared/write-quantize.ts";

interface Product {
  readonly name: string;
  readonly right: number;
  readonly bias: number;
  readonly codes: readonly CodedInput[];
  /** Whether the operator quantizes its data, over a range that includes 0. */
  readonly quantizesData?: true;
  lower(emit: Emit, inputs: readonly (Value | undefined)[]): Value;
}

function defineIntegerProduct({ name, right, bias, codes, quantizesData, lower }: Product): Op {
  const productSite = (site: Site): Site => pickInputs(site, [0, right]);
  return defineMicrosoftOp({
    name,
    codes,
    infer: (_, site) => inferProduct(productSite(site), "float32"),
    parameters: [bias],
    weight: (_, site): WeightRole | Miss => {
      const role = matmulWeight(productSite(site));
      if (role instanceof Miss) return role;
      if (role.input !== 1) return new Miss("the weight is the left operand");
      const biasRole = site.inputs[bias]?.stored === true ? { bias } : {};
      return { ...role, input: right, fused: "a sum", ...biasRole };
    },
    axes: (_, site, dims) => {
      const vectorsOf = (operand: number): number[] =>
        codes.flatMap(({ input, scale, zeroPoint }) => (input === operand ? [scale ?? zeroPoint, zeroPoint] : []));
      const rule = productAxes(site, [0, right], [...vectorsOf(right), bias], vectorsOf(0));
      if (rule instanceof Miss || quantizesData === undefined) return rule;
      return { ...rule, links: [...rule.links, ...dims.map((_, axis): AxisLink => ({ absorbs: ["in0", axis] }))] };
    },
    lower: (_, emit, inputs) => {
      const y = lower(emit, inputs);
      return [inputs[bias] === undefined ? y : emit.Add([y, inputs[bias]])];
    },
    cost: (_, site) => matmulCost(productSite(site)),
    ...onIntegers,
  });
}

function scaleSums(emit: Emit, sums: Value, a: Value | undefined, b: Value | undefined): Value {
  return emit.Mul([emit.Cast([sums], { to: typeCodes.float32 }), emit.Mul([toScalar(emit, a), toScalar(emit, b)])]);
}

export const DynamicQuantizeMatMul = defineIntegerProduct({
  name: "DynamicQuantizeMatMul",
  right: 1,
  bias: 4,
  codes: [{ input: 1, scale: 2, zeroPoint: 3 }],
  quantizesData: true,
  lower: (emit, [a, b, bScale, bZero]) => {
    const [codes, scale, zero] = emit.many("DynamicQuantizeLinear", [a], undefined, 3);
    return scaleSums(emit, emit.MatMulInteger([codes, b, zero, toScalar(emit, bZero)]), scale, bScale);
  },
});

export const MatMulIntegerToFloat = defineIntegerProduct({
  name: "MatMulIntegerToFloat",
  right: 1,
  bias: 6,
  codes: [
    { input: 0, scale: 2, zeroPoint: 4 },
    { input: 1, scale: 3, zeroPoint: 5 },
  ],
  lower: (emit, [a, b, aScale, bScale, aZero, bZero]) =>
    scaleSums(emit, emit.MatMulInteger([a, b, toScalar(emit, aZero), toScalar(emit, bZero)]), aScale, bScale),
});

const transposeDims = (operand: Operand | undefined): Operand | undefined =>
  operand?.dims && { ...operand, dims: operand.dims.toReversed() };

function gemmSiteOf(s: GemmSettings, { inputs: [a, , , b], ...site }: Site): Site {
  return { ...site, inputs: [s.transA ? transposeDims(a) : a, s.transB ? transposeDims(b) : b] };
}

/** Computes alpha · scaleA · scaleB · ((A - zeroA)' · (B - zeroB)' + C), quantized if the result has a scale. ' transposes optionally. */
export const QGemm = defineMicrosoftOp<GemmSettings>({
  name: "QGemm",
  read: readGemm,
  codes: twoQuantizedInputs,
  infer: (s, site) =>
    inferProduct(gemmSiteOf(s, site), site.inputs[7] === undefined ? "float32" : quantizedTypeOf(site, 8)),
  parameters: [],
  weight: (s, site): WeightRole | Miss => {
    const role = matmulWeight(gemmSiteOf(s, site));
    if (role instanceof Miss) return role;
    if (role.input !== 1) return new Miss("the weight is the left operand");
    const out = s.transB ? 0 : 1;
    const bias = site.inputs[6]?.stored === true ? { bias: 6 } : {};
    return { ...role, input: 3, out, in: 1 - out, dataAxis: s.transA ? 0 : 1, fused: "QuantizeLinear", ...bias };
  },
  lower: (s, emit, [a, aScale, aZero, b, bScale, bZero, c, yScale, yZero]) => {
    const transpose = (value: Value | undefined) => emit.Transpose([value], { perm: [1, 0] });
    const factors = [s.transA ? transpose(a) : a, s.transB ? transpose(b) : b];
    const sums = emit.MatMulInteger([...factors, toScalar(emit, aZero), toScalar(emit, bZero)]);
    const product = scaleSums(emit, c === undefined ? sums : emit.Add([sums, c]), aScale, bScale);
    const y = s.alpha === 1 ? product : emit.Mul([product, s.alpha]);
    return [yScale === undefined ? y : writeQuantize(emit, y, yScale, yZero)];
  },
  axes: (s, site) => {
    const operands = [0, 3, 6];
    const scales = linkPerChannel(site, [4, 5], 1);
    return scales instanceof Miss
      ? scales
      : mapLinksToInputs(gemmFacets.axes(s, pickInputs(site, operands)), operands, scales);
  },
  cost: (s, site) => matmulCost(gemmSiteOf(s, site)),
  ...onIntegers,
});
