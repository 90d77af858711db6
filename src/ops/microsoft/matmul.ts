/**
 * ONNX Runtime's fused matrix products: FusedMatMul (transpositions and a factor inside; TransposeMatMul is its old name) and FusedGemm (an
 * activation after the bias). They are written by its graph optimizer, FusedMatMul also by our gradients.
 *
 * transBatchA of a stack [m, batch…, k] means [batch…, m, k]; transA then swaps the last two axes.
 */
import { Miss } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { type Dim, elementCount, multiplyDims } from "../../tensor/dims.ts";
import {
  type AxisEnd,
  type AxisLink,
  defineOp,
  type Facet,
  type Op,
  type Operand,
  type QuantizeRule,
  type Site,
  type WeightRole,
} from "../define.ts";
import { decimal, integer, text } from "../shared/attributes.ts";
import { inTwo, matmulDims, matmulLinks, matmulWeight } from "../shared/products.ts";
import { dimsAt, need, scalar, typeOf } from "../shared/rules.ts";
import { type Activation, activate, readActivation } from "./activation.ts";

const microsoft = "com.microsoft";

interface Settings {
  readonly transposed: readonly [a: boolean, b: boolean];
  readonly batch: readonly [a: boolean, b: boolean];
  readonly alpha: number;
}

/** Axis `i` of the operand as it is multiplied is axis `order[i]` of the operand as it is given. */
function orderOf(rank: number, transposed: boolean, batch: boolean): readonly number[] {
  const axes = Array.from({ length: rank }, (_, axis) => axis);
  const stack = batch && rank > 2 ? [...axes.slice(1, -1), 0, rank - 1] : axes;
  return transposed && rank > 1 ? [...stack.slice(0, -2), ...stack.slice(-2).reverse()] : stack;
}

function order(s: Settings, site: Site, input: 0 | 1): readonly number[] | undefined {
  const rank = site.inputs[input]?.dims?.length;
  return rank === undefined ? undefined : orderOf(rank, s.transposed[input], s.batch[input]);
}

/** The site as MatMul would see it. */
function asMultiplied(s: Settings, site: Site): Site {
  const turn = (input: 0 | 1): Operand | undefined => {
    const operand = site.inputs[input];
    const axes = order(s, site, input);
    if (operand?.dims === undefined || axes === undefined) return operand;
    const { dims } = operand;
    return { ...operand, dims: axes.map((axis) => dims[axis] as Dim) };
  };
  return { ...site, inputs: [turn(0), turn(1)] };
}

function links(s: Settings, site: Site): readonly AxisLink[] | Miss {
  const plain = matmulLinks(asMultiplied(s, site));
  if (plain instanceof Miss) return plain;
  const orders = [order(s, site, 0), order(s, site, 1)];
  const back = ([port, axis]: AxisEnd): AxisEnd => {
    const axes = port === "in0" ? orders[0] : port === "in1" ? orders[1] : undefined;
    return [port, axes?.[axis] ?? axis];
  };
  return plain.map((link) => ("from" in link ? { ...link, from: back(link.from), to: back(link.to) } : link));
}

function weight(s: Settings, site: Site): WeightRole | Miss {
  const role = matmulWeight(asMultiplied(s, site));
  if (role instanceof Miss) return role;
  const given = (input: 0 | 1, axis: number): number => order(s, site, input)?.[axis] ?? axis;
  const [own, data] = role.input === 0 ? ([0, 1] as const) : ([1, 0] as const);
  return {
    ...role,
    out: given(own, role.out),
    in: given(own, role.in),
    dataAxis: given(data, role.dataAxis),
    // What turns the data is said of the first product, the factor of the second. Batch axes are turned of equal ranks only: not here.
    factored: inTwo(own, (emit, operands, part) => {
      const turned = (operand: 0 | 1): number =>
        s.transposed[operand] && (operand === own || part === "down") ? 1 : 0;
      const settings = { transA: turned(0), transB: turned(1), alpha: part === "up" ? s.alpha : 1 };
      return emit["com.microsoft.FusedMatMul"](operands, settings);
    }),
  };
}

const quantize: Facet<(s: Settings, site: Site) => QuantizeRule | Miss> = (s, site) => {
  const role = weight(s, site);
  if (role instanceof Miss) return role;
  if (role.input !== 1) return new Miss("the weight is the left operand");
  if (s.transposed[0] || s.batch[0]) return new Miss("the data operand is transposed");
  if (s.alpha !== 1) return new Miss("scales its product (alpha)");
  return {
    kind: "weighted",
    weight: role,
    integerTransposed: s.transposed[1],
    integerWeight: "int8",
    integer: (emit, { x, weight: w, xZeroPoint, weightZeroPoint }) =>
      emit.MatMulInteger([x, w, xZeroPoint, weightZeroPoint]),
    channelDims: (channels) => [channels],
  };
};

function fusedMatMul(name: "FusedMatMul" | "TransposeMatMul"): Op {
  return defineOp<Settings>({
    name,
    domain: microsoft,
    read: (site) => {
      const flag = (attribute: string): boolean => integer(site, attribute, 0) !== 0;
      return {
        transposed: [flag("transA"), flag("transB")],
        batch: [flag("transBatchA"), flag("transBatchB")],
        alpha: decimal(site, "alpha", 1),
      };
    },
    infer: (s, site) => {
      const { type } = need(site, 0);
      if (site.inputs.some((operand) => operand?.dims === undefined)) return [{ type, dims: undefined }];
      const found = matmulDims(asMultiplied(s, site));
      return found instanceof Miss ? found : [{ type, dims: found.dims }];
    },
    parameters: (_, site) => site.inputs.flatMap((operand, input) => (operand?.stored === true ? [input] : [])),
    weight,
    axes: (s, site) => {
      const found = links(s, site);
      return found instanceof Miss ? found : { links: found };
    },
    lower: (s, emit, inputs) => {
      const operands: Value[] = [];
      for (const [input, transposed] of s.transposed.entries()) {
        const value = inputs[input];
        const rank = value?.type?.dims?.length;
        if (value === undefined || rank === undefined) return new Miss("the rank of an operand is not known");
        const perm = orderOf(rank, transposed, s.batch[input] ?? false);
        operands.push(perm.every((axis, index) => axis === index) ? value : emit.Transpose([value], { perm }));
      }
      const y = emit.MatMul(operands);
      return [s.alpha === 1 ? y : emit.Mul([y, scalar(emit, typeOf(y), s.alpha)])];
    },
    cost: (s, site) => {
      const found = matmulDims(asMultiplied(s, site));
      return found instanceof Miss ? found : { macs: multiplyDims(elementCount(found.dims), found.shared) };
    },
    quantize,
  });
}

interface GemmSettings {
  readonly alpha: number;
  readonly beta: number;
  readonly transA: boolean;
  readonly transB: boolean;
  readonly activation: Activation;
}

function gemmWeight(s: GemmSettings, site: Site): WeightRole | Miss {
  const [a, b, c] = site.inputs;
  if (b?.stored !== true || a?.stored !== false) return new Miss("the right operand is no stored matrix");
  const out = s.transB ? 0 : 1;
  return {
    input: 1,
    out,
    in: 1 - out,
    groups: 1,
    data: 0,
    dataAxis: s.transA ? 0 : 1,
    outputAxis: 1,
    ...(c?.stored === true ? { bias: 2 } : {}),
    ...(s.activation.name === "" ? {} : { fused: s.activation.name }),
  };
}

/** activation(alpha · A'·B' + beta · C) */
const FusedGemm = defineOp<GemmSettings>({
  name: "FusedGemm",
  domain: microsoft,
  read: (site) => {
    const parameters = ["activation_alpha", "activation_beta", "activation_gamma"].filter((name) =>
      site.attribute(name),
    );
    const activation = readActivation(
      text(site, "activation", ""),
      parameters.map((name) => decimal(site, name, 0)),
    );
    if (activation instanceof Miss) return activation;
    return {
      alpha: decimal(site, "alpha", 1),
      beta: decimal(site, "beta", 1),
      transA: integer(site, "transA", 0) !== 0,
      transB: integer(site, "transB", 0) !== 0,
      activation,
    };
  },
  infer: (s, site) => {
    const { type } = need(site, 0);
    const [a, b] = [dimsAt(site, 0), dimsAt(site, 1)];
    if (a instanceof Miss || b instanceof Miss) return [{ type, dims: undefined }];
    if (a.length !== 2 || b.length !== 2) return new Miss("takes two matrices");
    return [{ type, dims: [a[s.transA ? 1 : 0] as Dim, b[s.transB ? 0 : 1] as Dim] }];
  },
  parameters: (_, site) => site.inputs.flatMap((operand, input) => (operand?.stored === true ? [input] : [])),
  weight: gemmWeight,
  axes: (s, site) => {
    const [rows, sharedA] = s.transA ? [1, 0] : [0, 1];
    const [sharedB, columns] = s.transB ? [1, 0] : [0, 1];
    const bias = (site.inputs[2]?.dims ?? []).flatMap((dim, axis, dims): AxisLink[] =>
      dim === 1 ? [] : [{ from: ["in2", axis], to: ["out0", 2 - dims.length + axis] }],
    );
    return {
      links: [
        { from: ["in0", rows], to: ["out0", 0] },
        { from: ["in0", sharedA], to: ["in1", sharedB] },
        { from: ["in1", columns], to: ["out0", 1] },
        ...bias,
      ],
    };
  },
  lower: (s, emit: Emit, [a, b, c]) => {
    const { alpha, beta, activation } = s;
    const y = emit.Gemm([a, b, c], { alpha, beta, transA: s.transA ? 1 : 0, transB: s.transB ? 1 : 0 });
    return [activate(emit, y, activation)];
  },
  cost: (s, site) => {
    const [a, b] = [dimsAt(site, 0), dimsAt(site, 1)];
    if (a instanceof Miss) return a;
    return b instanceof Miss ? b : { macs: multiplyDims(elementCount(a), b[s.transB ? 0 : 1] ?? 1) };
  },
  quantize: new Miss("its activation is fused into it: lower it first"),
});

export const microsoftMatmulOperators: readonly Op[] = [
  fusedMatMul("FusedMatMul"),
  fusedMatMul("TransposeMatMul"),
  FusedGemm,
];
