/**
 * Matrix products: MatMul, Gemm and MatMulInteger. Gemm broadcasts its bias by NumPy's rule since opset 7, and can omit it since 11.
 * dA = dY·Bᵀ, dB = Aᵀ·dY. Two-dimensional products are written as Gemm, which transposes for free.
 */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { type Dim, elementCount, sameDims, unknownDim } from "../tensor/dims.ts";
import { type Chain, defineOp, type Site, type WeightRole } from "./define.ts";
import { onIntegers } from "./shared/misses.ts";
import {
  chained,
  type GemmSettings,
  gemmFacets,
  gemmWeight,
  matmulCost,
  matmulLinks,
  matmulWeight,
  multiplied,
  onMatMulInteger,
  productAxes,
  readGemm,
  storedOperands,
} from "./shared/products.ts";
import { fixed, present, reshapeTo, scalar, typeOf } from "./shared/rules.ts";

/** Writes dA and dB of stacked matrices; a weight shared by all rows is one large Gemm. */
function matmulGradient(
  emit: Emit,
  a: Value,
  b: Value,
  up: Value,
  wanted: (input: number) => boolean,
): (Value | undefined)[] {
  const matrix = (value: Value, dims: readonly number[]): Value =>
    sameDims(dims, fixed(value)) ? value : reshapeTo(emit, value, dims);
  const [shapeA, shapeB] = [fixed(a), fixed(b)];
  const dimsA = shapeA.length === 1 ? [1, ...shapeA] : shapeA;
  const dimsB = shapeB.length === 1 ? [...shapeB, 1] : shapeB;
  const [rows, shared, columns] = [dimsA.at(-2) ?? 1, dimsA.at(-1) ?? 1, dimsB.at(-1) ?? 1];
  if (dimsB.length === 2) {
    // One right matrix for all rows: flattens the stack.
    const stack = elementCount(dimsA.slice(0, -1));
    const flatUp = matrix(up, [stack, columns]);
    const dA = wanted(0) ? emit.Gemm([flatUp, matrix(b, dimsB)], { transB: 1 }) : undefined;
    const dB = wanted(1) ? emit.Gemm([matrix(a, [stack, shared]), flatUp], { transA: 1 }) : undefined;
    return [dA === undefined ? dA : matrix(dA, shapeA), dB === undefined ? dB : matrix(dB, shapeB)];
  }
  const batch = fixed(up).slice(0, fixed(up).length - (shapeA.length === 1 ? 0 : 1) - (shapeB.length === 1 ? 0 : 1));
  const upMatrix = matrix(up, [...batch, rows, columns]);
  const dA = wanted(0) ? emit["com.microsoft.FusedMatMul"]([upMatrix, matrix(b, dimsB)], { transB: 1 }) : undefined;
  const dB = wanted(1) ? emit["com.microsoft.FusedMatMul"]([matrix(a, dimsA), upMatrix], { transA: 1 }) : undefined;
  return [
    shapeA.length === 1 && dA !== undefined ? emit.Squeeze([dA, [-2]]) : dA,
    shapeB.length === 1 && dB !== undefined ? emit.Squeeze([dB, [-1]]) : dB,
  ];
}

function otherOperand(site: Site, dims: (input: 0 | 1) => readonly Dim[] | undefined) {
  return ([0, 1] as const).flatMap((input) => {
    const other = site.inputs[1 - input];
    return other === undefined ? [] : [{ input, type: { type: other.type, dims: dims(input) } }];
  });
}

/** A stack of stored matrices. Matrices with a single input only scale numbers, such as position frequencies. */
function stackedWeight({ inputs: [a, b] }: Site): WeightRole | undefined {
  if (a?.dims === undefined || b?.dims === undefined || a.stored === b.stored) return undefined;
  const [dims, data] = a.stored ? [a.dims, b.dims] : [b.dims, a.dims];
  const last = dims.length - 1;
  const [out, shared] = a.stored ? [last - 1, last] : [last, last - 1];
  if (last < 2 || data.length < 2 || dims[shared] === 1) return undefined;
  const from = a.stored ? 2 : 1;
  return {
    input: a.stored ? 0 : 1,
    out,
    in: shared,
    groups: 1,
    stack: dims.slice(0, -2).map((_, axis) => axis),
    data: a.stored ? 1 : 0,
    dataAxis: data.length - from,
    outputAxis: Math.max(dims.length, data.length) - from,
  };
}

export const MatMul = defineOp({
  name: "MatMul",
  mustBe: (site) => otherOperand(site, () => undefined),
  infer: (_, site) => multiplied(site),
  parameters: storedOperands,
  weight: (_, site) => {
    const role = matmulWeight(site);
    if (role instanceof Miss) return stackedWeight(site) ?? role;
    return { ...role, chain: chained(role.input, (emit, operands) => emit.MatMul(operands)) };
  },
  homogeneous: [[0, 1]],
  axes: (_, site) => matmulLinks(site),
  gradient: (_, { emit, inputs: [a, b], up, wanted }) => matmulGradient(emit, a, present(b), up, wanted),
  cost: (_, site) => matmulCost(site),
  quantize: (_, site) => onMatMulInteger(matmulWeight(site)),
});

export const MatMulInteger = defineOp({
  name: "MatMulInteger",
  infer: (_, site) => multiplied(site, "int32"),
  parameters: [],
  codes: [
    { input: 0, zeroPoint: 2 },
    { input: 1, zeroPoint: 3 },
  ],
  weight: (_, site) => matmulWeight(site),
  axes: (_, site) => productAxes(site, [0, 1], [3], [2]),
  cost: (_, site) => matmulCost(site),
  ...onIntegers,
});

/** The first product transposes the data; the last applies the factors and the bias. */
function gemmChain(s: GemmSettings, { version }: Site, input: number): { readonly chain?: Chain } {
  // Before opset 7 an attribute controls broadcasting.
  if (version < 7) return {};
  const chain = chained(input, (emit, operands, { first, last }, [, , bias]) => {
    const turns = (operand: number): number => (operand === input || first ? 1 : 0);
    const turned = { transA: s.transA ? turns(0) : 0, transB: s.transB ? turns(1) : 0 };
    // Before opset 11 the bias is required.
    const none = (): Value | undefined => (version < 11 ? scalar(emit, typeOf(operands[input]), 0) : undefined);
    if (last) return emit.Gemm([...operands, bias ?? none()], { ...turned, alpha: s.alpha, beta: s.beta });
    return emit.Gemm([...operands, none()], turned);
  });
  return { chain };
}

export const Gemm = defineOp<GemmSettings>({
  name: "Gemm",
  mustBe: (site) => otherOperand(site, () => [unknownDim("", 0), unknownDim("", 1)]),
  read: readGemm,
  ...gemmFacets,
  weight: (s, site) => {
    const role = gemmWeight(s, site);
    if (role instanceof Miss) return role;
    const at = s.beta === 1 && role.input === 1 ? { biasInput: 2 } : {};
    const scaled = s.alpha === 1 ? {} : { scaled: { attribute: "alpha", factor: s.alpha } };
    return { ...role, ...at, ...scaled, ...gemmChain(s, site, role.input) };
  },
  // The gradient so far becomes the bias, scaled by beta, so the sum is free.
  gradient: (s, { emit, inputs: [a, b, c], up, wanted, take }) => {
    const { alpha, beta } = s;
    type Factor = Value | undefined;
    const product = (
      input: number,
      left: Factor,
      right: Factor,
      transA: boolean,
      transB: boolean,
    ): Value | undefined => {
      if (!wanted(input)) return undefined;
      const before = take(input);
      const settings = { alpha, transA: transA ? 1 : 0, transB: transB ? 1 : 0 };
      if (before === undefined) return emit.Gemm([left, right], settings);
      return emit.Gemm([left, right, before.value], { ...settings, beta: before.factor });
    };
    const dA = s.transA ? product(0, b, up, s.transB, true) : product(0, up, b, false, !s.transB);
    const dB = s.transB ? product(1, up, a, true, s.transA) : product(1, a, up, !s.transA, false);
    if (c === undefined || !wanted(2)) return [dA, dB];
    return [dA, dB, beta === 1 ? up : emit.Mul([up, beta])];
  },
  quantize: (s, site) => {
    const rule = onMatMulInteger(gemmWeight(s, site), s.transB);
    if (rule instanceof Miss) return rule;
    if (s.transA) return new Miss("the data operand is transposed");
    if (s.alpha !== 1) return new Miss("scales its product (alpha)");
    const bias = rule.weight.bias === undefined ? {} : { biasFactor: s.beta, biasAttribute: "beta" };
    return { ...rule, ...bias };
  },
});
