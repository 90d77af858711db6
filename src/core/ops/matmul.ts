/** Matrix products: MatMul, Gemm and MatMulInteger. dA = dY·Bᵀ, dB = Aᵀ·dY. */
import { type Dim, type Emit, elementCount, Miss, sameDims, unknownDim, type Value } from "#graph";
import { type Chain, defineOp, type Site, type WeightRole } from "./define.ts";
import { onIntegers } from "./shared/misses.ts";
import {
  chainProducts,
  type GemmSettings,
  gemmFacets,
  gemmWeight,
  inferProduct,
  matmulCost,
  matmulLinks,
  matmulWeight,
  productAxes,
  quantizeByMatMulInteger,
  readGemm,
  storedOperands,
} from "./shared/products.ts";
import { range, requireValue, reshapeTo, scalar, sizesOf, typeOf } from "./shared/shapes.ts";

/** If B is a single matrix, each gradient is one Gemm over all rows of A. */
function writeMatmulGradients(
  emit: Emit,
  a: Value,
  b: Value,
  up: Value,
  isWanted: (input: number) => boolean,
): (Value | undefined)[] {
  const matrix = (value: Value, dims: readonly number[]): Value =>
    sameDims(dims, sizesOf(value)) ? value : reshapeTo(emit, value, dims);
  const [shapeA, shapeB] = [sizesOf(a), sizesOf(b)];
  const [isRow, isColumn] = [shapeA.length === 1, shapeB.length === 1];
  const dimsA = isRow ? [1, ...shapeA] : shapeA;
  const dimsB = isColumn ? [...shapeB, 1] : shapeB;
  const [rows, shared, columns] = [dimsA.at(-2) ?? 1, dimsA.at(-1) ?? 1, dimsB.at(-1) ?? 1];
  if (dimsB.length === 2) {
    const stack = elementCount(dimsA.slice(0, -1));
    const flatUp = matrix(up, [stack, columns]);
    return [
      isWanted(0) ? matrix(emit.Gemm([flatUp, matrix(b, dimsB)], { transB: 1 }), shapeA) : undefined,
      isWanted(1) ? matrix(emit.Gemm([matrix(a, [stack, shared]), flatUp], { transA: 1 }), shapeB) : undefined,
    ];
  }
  const batch = sizesOf(up).slice(0, sizesOf(up).length - (isRow ? 0 : 1) - (isColumn ? 0 : 1));
  const upMatrix = matrix(up, [...batch, rows, columns]);
  const product = emit["com.microsoft.FusedMatMul"];
  const dA = isWanted(0) ? product([upMatrix, matrix(b, dimsB)], { transB: 1 }) : undefined;
  const dB = isWanted(1) ? product([matrix(a, dimsA), upMatrix], { transA: 1 }) : undefined;
  return [isRow && dA ? emit.Squeeze([dA, [-2]]) : dA, isColumn && dB ? emit.Squeeze([dB, [-1]]) : dB];
}

function equalTypesOf({ inputs: [a, b] }: Site, dims: readonly Dim[] | undefined) {
  return [b, a].flatMap((other, input) => (other === undefined ? [] : [{ input, type: { type: other.type, dims } }]));
}

/** Returns the role of a stored stack of matrices. Matrices with a single input only scale values. */
function stackedWeightRole({ inputs: [a, b] }: Site): WeightRole | undefined {
  if (a?.dims === undefined || b?.dims === undefined || a.stored === b.stored) return undefined;
  const [dims, data] = a.stored ? [a.dims, b.dims] : [b.dims, a.dims];
  const lastAxis = dims.length - 1;
  const [out, shared] = a.stored ? [lastAxis - 1, lastAxis] : [lastAxis, lastAxis - 1];
  if (lastAxis < 2 || data.length < 2 || dims[shared] === 1) return undefined;
  const fromEnd = a.stored ? 2 : 1;
  return {
    input: a.stored ? 0 : 1,
    out,
    in: shared,
    groups: 1,
    stack: range(dims.length - 2),
    data: a.stored ? 1 : 0,
    dataAxis: data.length - fromEnd,
    outputAxis: Math.max(dims.length, data.length) - fromEnd,
  };
}

export const MatMul = defineOp({
  name: "MatMul",
  mustBe: (site) => equalTypesOf(site, undefined),
  infer: (_, site) => inferProduct(site),
  parameters: storedOperands,
  weight: (_, site) => {
    const role = matmulWeight(site);
    if (role instanceof Miss) return stackedWeightRole(site) ?? role;
    return { ...role, chain: chainProducts(role.input, (emit, operands) => emit.MatMul(operands)) };
  },
  homogeneous: [[0, 1]],
  axes: (_, site) => matmulLinks(site),
  gradient: (_, { emit, inputs: [a, b], up, wanted }) => writeMatmulGradients(emit, a, requireValue(b), up, wanted),
  cost: (_, site) => matmulCost(site),
  quantize: (_, site) => quantizeByMatMulInteger(matmulWeight(site)),
});

export const MatMulInteger = defineOp({
  name: "MatMulInteger",
  infer: (_, site) => inferProduct(site, "int32"),
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

/** The first product of the chain transposes the data; the last applies alpha, beta and the bias. */
function gemmChain(s: GemmSettings, { version }: Site, input: number): { readonly chain?: Chain } {
  // Before opset 7, an attribute controls the broadcasting.
  if (version < 7) return {};
  const chain = chainProducts(input, (emit, operands, { isFirst, isLast }, [, , bias]) => {
    const transposes = (operand: number): number => (operand === input || isFirst ? 1 : 0);
    const attributes = { transA: s.transA ? transposes(0) : 0, transB: s.transB ? transposes(1) : 0 };
    // Before opset 11 the bias is required.
    const zeroBias = (): Value | undefined => (version < 11 ? scalar(emit, typeOf(operands[input]), 0) : undefined);
    if (isLast) return emit.Gemm([...operands, bias ?? zeroBias()], { ...attributes, alpha: s.alpha, beta: s.beta });
    return emit.Gemm([...operands, zeroBias()], attributes);
  });
  return { chain };
}

export const Gemm = defineOp<GemmSettings>({
  name: "Gemm",
  mustBe: (site) => equalTypesOf(site, [unknownDim("", 0), unknownDim("", 1)]),
  read: readGemm,
  ...gemmFacets,
  weight: (s, site) => {
    const role = gemmWeight(s, site);
    if (role instanceof Miss) return role;
    const biasInput = s.beta === 1 && role.input === 1 ? { biasInput: 2 } : {};
    const productFactor = s.alpha === 1 ? {} : { productFactor: s.alpha };
    return { ...role, ...biasInput, ...productFactor, ...gemmChain(s, site, role.input) };
  },
  // Previous contributions to the gradient become the bias of the Gemm, which costs no extra pass.
  gradient: (s, { emit, inputs: [a, b, c], up, wanted, take }) => {
    type Factors = readonly (Value | undefined)[];
    const product = (input: number, factors: Factors, transA: boolean, transB: boolean): Value | undefined => {
      if (!wanted(input)) return undefined;
      const contribution = take(input);
      const settings = { alpha: s.alpha, transA: transA ? 1 : 0, transB: transB ? 1 : 0 };
      if (contribution === undefined) return emit.Gemm(factors, settings);
      return emit.Gemm([...factors, contribution.value], { ...settings, beta: contribution.factor });
    };
    const dA = s.transA ? product(0, [b, up], s.transB, true) : product(0, [up, b], false, !s.transB);
    const dB = s.transB ? product(1, [up, a], true, s.transA) : product(1, [a, up], !s.transA, false);
    if (c === undefined || !wanted(2)) return [dA, dB];
    return [dA, dB, s.beta === 1 ? up : emit.Mul([up, s.beta])];
  },
  quantize: (s, site) => {
    const rule = quantizeByMatMulInteger(gemmWeight(s, site), s.transB);
    if (rule instanceof Miss) return rule;
    if (s.transA) return new Miss("the data operand is transposed");
    if (s.alpha === 0) return new Miss("multiplies its product by 0 (alpha)");
    const bias = rule.weight.bias === undefined ? {} : { biasFactor: s.beta, biasAttribute: "beta" };
    return { ...rule, ...bias };
  },
});
