/**
 * Matrix products: MatMul (NumPy's rule for stacks of matrices), Gemm (two dimensions, scaled, with a bias), and the integer form.
 * Opset history: Gemm broadcasts its bias by NumPy's rule since 7 (before that if an attribute says so), and may leave it out since 11.
 *
 * The gradient of Y = A·B is dA = dY·Bᵀ, dB = Aᵀ·dY. Two-dimensional products are written as Gemm, which transposes for free.
 */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { type Dim, elementCount, multiplyDims, sameDims, unknownDim } from "../tensor/dims.ts";
import {
  type AxisLink,
  defineOp,
  type Facet,
  type Factored,
  type Op,
  type QuantizeRule,
  type Site,
  type WeightRole,
} from "./define.ts";
import { decimal, integer } from "./shared/attributes.ts";
import { quantizedAlready } from "./shared/misses.ts";
import { inTwo, matmulDims, matmulLinks, matmulWeight } from "./shared/products.ts";
import { dimsAt, fixed, integersConstant, need, reshapeTo, scalar, typeOf } from "./shared/rules.ts";

const matmulQuantize: Facet<(s: unknown, site: Site) => QuantizeRule | Miss> = (_, site) => {
  const weight = matmulWeight(site);
  if (weight instanceof Miss) return weight;
  if (weight.input !== 1) return new Miss("the weight is the left operand");
  return {
    kind: "weighted",
    weight,
    integerTransposed: false,
    integerWeight: "int8",
    integer: (emit, { x, weight: w, xZeroPoint, weightZeroPoint }) =>
      emit.MatMulInteger([x, w, xZeroPoint, weightZeroPoint]),
    channelDims: (channels) => [channels],
  };
};

/** The stored operand of a product is trained. */
function storedOperand(_: unknown, site: Site): readonly number[] {
  return site.inputs.flatMap((operand, input) => (operand?.stored === true ? [input] : []));
}

/** dA and dB of stacks of matrices; a weight used by every row of a stack is one large Gemm. */
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
    // One matrix on the right for all rows of the left: flatten the stack.
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
    shapeA.length === 1 && dA !== undefined ? emit.Squeeze([dA, integersConstant(emit, [-2])]) : dA,
    shapeB.length === 1 && dB !== undefined ? emit.Squeeze([dB, integersConstant(emit, [-1])]) : dB,
  ];
}

/** Both operands are of one type. */
function otherOperand(site: Site, dims: (input: 0 | 1) => readonly Dim[] | undefined) {
  return ([0, 1] as const).flatMap((input) => {
    const other = site.inputs[1 - input];
    return other === undefined ? [] : [{ input, type: { type: other.type, dims: dims(input) } }];
  });
}

const MatMul = defineOp<null>({
  name: "MatMul",
  mustBe: (site) => otherOperand(site, () => undefined),
  read: () => null,
  infer: (_, site) => {
    const found = matmulDims(site);
    const { type } = need(site, 0);
    if (found instanceof Miss)
      return site.inputs.some((operand) => operand?.dims === undefined) ? [{ type, dims: undefined }] : found;
    return [{ type, dims: found.dims }];
  },
  parameters: storedOperand,
  weight: (_, site) => {
    const role = matmulWeight(site);
    if (role instanceof Miss) return role;
    return { ...role, factored: inTwo(role.input, (emit, operands) => emit.MatMul(operands)) };
  },
  axes: (_, site) => {
    const links = matmulLinks(site);
    return links instanceof Miss ? links : { links };
  },
  gradient: (_, { emit, inputs: [a, b], upstream: [up], wanted }) =>
    a === undefined || b === undefined || up === undefined ? [] : matmulGradient(emit, a, b, up, wanted),
  cost: (_, site) => {
    const found = matmulDims(site);
    return found instanceof Miss ? found : { macs: multiplyDims(elementCount(found.dims), found.shared) };
  },
  quantize: matmulQuantize,
});

const MatMulInteger = defineOp<null>({
  name: "MatMulInteger",
  read: () => null,
  infer: (_, site) => {
    const found = matmulDims(site);
    if (!(found instanceof Miss)) return [{ type: "int32", dims: found.dims }];
    return site.inputs.some((operand) => operand?.dims === undefined) ? [{ type: "int32", dims: undefined }] : found;
  },
  parameters: () => [],
  weight: (_, site) => matmulWeight(site),
  axes: quantizedAlready,
  gradient: new Miss("computes integers"),
  cost: (_, site) => {
    const found = matmulDims(site);
    return found instanceof Miss ? found : { macs: multiplyDims(elementCount(found.dims), found.shared) };
  },
  quantize: quantizedAlready,
});

interface GemmSettings {
  readonly alpha: number;
  readonly beta: number;
  readonly transA: boolean;
  readonly transB: boolean;
}

/** What turns the data is said of the first product; factors and the bias belong to the second. */
function gemmFactored(
  s: GemmSettings,
  { version }: Site,
  input: number,
): { readonly factored: Factored } | Record<never, never> {
  // That broadcasting is said by an attribute is older than what is written here.
  if (version < 7) return {};
  const turns = (operand: number, part: "down" | "up", turned: boolean): number =>
    turned && (operand === input || part === "down") ? 1 : 0;
  const factored = inTwo(input, (emit, operands, part, [, , bias]) => {
    const turned = { transA: turns(0, part, s.transA), transB: turns(1, part, s.transB) };
    if (part === "up") return emit.Gemm([...operands, bias], { ...turned, alpha: s.alpha, beta: s.beta });
    // Before opset 11 the bias may not be left out.
    const zero = (): Value => scalar(emit, typeOf(operands[input]), 0);
    return emit.Gemm(version < 11 ? [...operands, zero()] : operands, turned);
  });
  return { factored };
}

function gemmWeight(s: GemmSettings, site: Site): WeightRole | Miss {
  const [a, b, c] = site.inputs;
  const bias = c?.stored === true ? { bias: 2 } : {};
  // What is added is scaled by beta.
  const at = s.beta === 1 ? { biasInput: 2 } : {};
  if (b?.stored === true && a?.stored === false) {
    const out = s.transB ? 0 : 1;
    return {
      input: 1,
      out,
      in: 1 - out,
      groups: 1,
      data: 0,
      dataAxis: s.transA ? 0 : 1,
      outputAxis: 1,
      ...at,
      ...bias,
      ...gemmFactored(s, site, 1),
    };
  }
  if (a?.stored === true && b?.stored === false) {
    const out = s.transA ? 1 : 0;
    return {
      input: 0,
      out,
      in: 1 - out,
      groups: 1,
      data: 1,
      dataAxis: s.transB ? 1 : 0,
      outputAxis: 0,
      ...bias,
      ...gemmFactored(s, site, 0),
    };
  }
  return new Miss("both operands are activations");
}

const Gemm = defineOp<GemmSettings>({
  name: "Gemm",
  mustBe: (site) => otherOperand(site, () => [unknownDim("", 0), unknownDim("", 1)]),
  read: (site) => ({
    alpha: decimal(site, "alpha", 1),
    beta: decimal(site, "beta", 1),
    transA: integer(site, "transA", 0) !== 0,
    transB: integer(site, "transB", 0) !== 0,
  }),
  infer: (s, site) => {
    const { type } = need(site, 0);
    const [a, b] = [dimsAt(site, 0), dimsAt(site, 1)];
    if (a instanceof Miss || b instanceof Miss) return [{ type, dims: undefined }];
    if (a.length !== 2 || b.length !== 2) return new Miss("takes two matrices");
    const [inner, outer] = [a[s.transA ? 0 : 1], b[s.transB ? 1 : 0]];
    if (typeof inner === "number" && typeof outer === "number" && inner !== outer) {
      return new Miss(`the shared axis has ${inner} entries on the left and ${outer} on the right`);
    }
    return [{ type, dims: [a[s.transA ? 1 : 0] as Dim, b[s.transB ? 0 : 1] as Dim] }];
  },
  parameters: storedOperand,
  weight: gemmWeight,
  axes: (s, site) => {
    const [rows, sharedA] = s.transA ? [1, 0] : [0, 1];
    const [sharedB, columns] = s.transB ? [1, 0] : [0, 1];
    const links: AxisLink[] = [
      { from: ["in0", rows], to: ["out0", 0] },
      { from: ["in0", sharedA], to: ["in1", sharedB] },
      { from: ["in1", columns], to: ["out0", 1] },
    ];
    const bias = site.inputs[2]?.dims;
    bias?.forEach((dim, axis) => {
      if (dim !== 1) links.push({ from: ["in2", axis], to: ["out0", 2 - bias.length + axis] });
    });
    return { links };
  },
  // What was contributed before goes in as the bias, scaled by beta: the sum costs nothing.
  gradient: (s, { emit, inputs: [a, b, c], upstream: [up], wanted, take }) => {
    if (a === undefined || b === undefined || up === undefined) return [];
    const { alpha, beta } = s;
    const product = (input: number, left: Value, right: Value, transA: boolean, transB: boolean): Value | undefined => {
      if (!wanted(input)) return undefined;
      const before = take(input);
      const settings = { alpha, transA: transA ? 1 : 0, transB: transB ? 1 : 0 };
      if (before === undefined) return emit.Gemm([left, right], settings);
      return emit.Gemm([left, right, before.value], { ...settings, beta: before.factor });
    };
    const dA = s.transA ? product(0, b, up, s.transB, true) : product(0, up, b, false, !s.transB);
    const dB = s.transB ? product(1, up, a, true, s.transA) : product(1, a, up, !s.transA, false);
    if (c === undefined || !wanted(2)) return [dA, dB];
    return [dA, dB, beta === 1 ? up : emit.Mul([up, scalar(emit, typeOf(up), beta)])];
  },
  cost: (s, site) => {
    const [a, b] = [dimsAt(site, 0), dimsAt(site, 1)];
    if (a instanceof Miss) return a;
    if (b instanceof Miss) return b;
    return { macs: multiplyDims(elementCount(a), b[s.transB ? 0 : 1] ?? 1) };
  },
  quantize: (s, site) => {
    const weight = gemmWeight(s, site);
    if (weight instanceof Miss) return weight;
    if (weight.input !== 1) return new Miss("the weight is the left operand");
    if (s.transA) return new Miss("the data operand is transposed");
    if (s.alpha !== 1) return new Miss("scales its product (alpha)");
    return {
      kind: "weighted",
      weight,
      ...(weight.bias === undefined ? {} : { biasFactor: s.beta }),
      integerTransposed: s.transB,
      integerWeight: "int8",
      integer: (emit, { x, weight: w, xZeroPoint, weightZeroPoint }) =>
        emit.MatMulInteger([x, w, xZeroPoint, weightZeroPoint]),
      channelDims: (channels) => [channels],
    };
  },
});

export const matmulOperators: readonly Op[] = [MatMul, Gemm, MatMulInteger];
