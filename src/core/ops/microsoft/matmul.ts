/**
 * FusedMatMul (MatMul with transpositions and a factor) and FusedGemm (Gemm with an activation).
 * `transBatchA` multiplies a stack [m, batch…, k] as [batch…, m, k]. `transA` then swaps the last two axes.
 */
import { Miss, type Value } from "#graph";
import type { AxisEnd, AxisLink, Operand, QuantizeRule, Site, WeightRole } from "../define.ts";
import { type Activation, readActivation, writeActivation } from "../shared/activations.ts";
import { readFlag, readFloat, readString } from "../shared/attributes.ts";
import { defineMicrosoftOp } from "../shared/inert.ts";
import { lowerFirst } from "../shared/misses.ts";
import {
  chainProducts,
  type GemmSettings,
  gemmFacets,
  gemmWeight,
  inferProduct,
  matmulCost,
  matmulLinks,
  matmulWeight,
  quantizeByMatMulInteger,
  readGemm,
  storedOperands,
} from "../shared/products.ts";
import { range } from "../shared/shapes.ts";

interface Settings {
  readonly transposed: readonly [a: boolean, b: boolean];
  readonly batch: readonly [a: boolean, b: boolean];
  readonly alpha: number;
}

/** Axis i of the multiplied operand is axis order[i] of the node's operand. */
function axisOrder(rank: number, isTransposed: boolean, batch: boolean): readonly number[] {
  const axes = range(rank);
  const stack = batch && rank > 2 ? [...axes.slice(1, -1), 0, rank - 1] : axes;
  return isTransposed && rank > 1 ? [...stack.slice(0, -2), ...stack.slice(-2).reverse()] : stack;
}

function operandOrder(s: Settings, site: Site, input: 0 | 1): readonly number[] | undefined {
  const rank = site.inputs[input]?.dims?.length;
  return rank === undefined ? undefined : axisOrder(rank, s.transposed[input], s.batch[input]);
}

function matmulSiteOf(s: Settings, site: Site): Site {
  const reorder = (input: 0 | 1): Operand | undefined => {
    const operand = site.inputs[input];
    const axes = operandOrder(s, site, input);
    const { dims } = operand ?? {};
    if (operand === undefined || dims === undefined || axes === undefined) return operand;
    return { ...operand, dims: axes.map((axis) => dims[axis] ?? 1) };
  };
  return { ...site, inputs: [reorder(0), reorder(1)] };
}

function axes(s: Settings, site: Site): readonly AxisLink[] | Miss {
  const linksOfMatmul = matmulLinks(matmulSiteOf(s, site));
  if (linksOfMatmul instanceof Miss) return linksOfMatmul;
  const orders: Readonly<Record<string, readonly number[] | undefined>> = {
    in0: operandOrder(s, site, 0),
    in1: operandOrder(s, site, 1),
  };
  const endOf = ([port, axis]: AxisEnd): AxisEnd => [port, orders[port]?.[axis] ?? axis];
  return linksOfMatmul.map((link) => ("from" in link ? { ...link, from: endOf(link.from), to: endOf(link.to) } : link));
}

function readWeightRole(s: Settings, site: Site): WeightRole | Miss {
  const role = matmulWeight(matmulSiteOf(s, site));
  if (role instanceof Miss) return role;
  const axisOf = (input: 0 | 1, axis: number): number => operandOrder(s, site, input)?.[axis] ?? axis;
  const [input, data] = role.input === 0 ? ([0, 1] as const) : ([1, 0] as const);
  return {
    ...role,
    out: axisOf(input, role.out),
    in: axisOf(input, role.in),
    dataAxis: axisOf(data, role.dataAxis),
    ...(s.alpha === 1 ? {} : { productFactor: s.alpha }),
    // The first product transposes the data; the last product applies the factor.
    chain: chainProducts(input, (emit, operands, { isFirst, isLast }) => {
      const transposes = (operand: 0 | 1): number => (s.transposed[operand] && (operand === input || isFirst) ? 1 : 0);
      const settings = { transA: transposes(0), transB: transposes(1), alpha: isLast ? s.alpha : 1 };
      return emit["com.microsoft.FusedMatMul"](operands, settings);
    }),
  };
}

function quantize(s: Settings, site: Site): QuantizeRule | Miss {
  const rule = quantizeByMatMulInteger(readWeightRole(s, site), s.transposed[1]);
  const isTransposed = s.transposed[0] || s.batch[0];
  return isTransposed && !(rule instanceof Miss) ? new Miss("the data operand is transposed") : rule;
}

export const FusedMatMul = defineMicrosoftOp<Settings>({
  name: "FusedMatMul",
  read: (site) => ({
    transposed: [readFlag(site, "transA"), readFlag(site, "transB")],
    batch: [readFlag(site, "transBatchA"), readFlag(site, "transBatchB")],
    alpha: readFloat(site, "alpha", 1),
  }),
  infer: (s, site) => {
    const [a = 0, b = 0] = site.inputs.map((operand) => operand?.dims?.length);
    if (s.batch.includes(true) && (a < 3 || a !== b)) return new Miss("transposed batches need equal ranks above 2");
    return inferProduct(matmulSiteOf(s, site));
  },
  parameters: storedOperands,
  homogeneous: [[0, 1]],
  weight: readWeightRole,
  axes,
  lower: (s, emit, inputs) => {
    const operands: Value[] = [];
    for (const [input, transposed] of s.transposed.entries()) {
      const value = inputs[input];
      const rank = value?.type?.dims?.length;
      if (value === undefined || rank === undefined) return new Miss("the rank of an operand is not known");
      const perm = axisOrder(rank, transposed, s.batch[input] ?? false);
      operands.push(perm.every((axis, index) => axis === index) ? value : emit.Transpose([value], { perm }));
    }
    const y = emit.MatMul(operands);
    return [s.alpha === 1 ? y : emit.Mul([y, s.alpha])];
  },
  cost: (s, site) => matmulCost(matmulSiteOf(s, site)),
  quantize,
});

/** Computes activation(alpha · A'·B' + beta · C), where ' transposes optionally. */
export const FusedGemm = defineMicrosoftOp<GemmSettings & { readonly activation: Activation }>({
  name: "FusedGemm",
  read: (site) => {
    const names = ["activation_alpha", "activation_beta", "activation_gamma"];
    const parameters = names.flatMap((name) => readFloat(site, name, undefined) ?? []);
    const activation = readActivation(readString(site, "activation", ""), parameters);
    return activation instanceof Miss ? activation : { ...readGemm(site), activation };
  },
  ...gemmFacets,
  homogeneous: undefined,
  weight: (s, site) => {
    const role = gemmWeight(s, site);
    if (role instanceof Miss || role.input !== 1) return new Miss("the right operand is not a stored matrix");
    return s.activation.name === "" ? role : { ...role, fused: s.activation.name };
  },
  lower: (s, emit, [a, b, c]) => {
    const { alpha, beta, activation } = s;
    const y = emit.Gemm([a, b, c], { alpha, beta, transA: s.transA ? 1 : 0, transB: s.transB ? 1 : 0 });
    return [writeActivation(emit, y, activation)];
  },
  quantize: new Miss(`an activation is fused into it: ${lowerFirst}`),
});
