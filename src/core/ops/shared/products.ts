/** Facets of matrix products y = A B (MatMul) and y = α A B + β C (Gemm). */
import { type DataType, type Dim, type Emit, elementCount, Miss, multiplyDims, type Value } from "#graph";
import type {
  AxisEnd,
  AxisLink,
  AxisRule,
  Chain,
  ChainPart,
  Inferred,
  Operand,
  QuantizeRule,
  Site,
  WeightRole,
} from "../define.ts";
import { readFlag, readFloat } from "./attributes.ts";
import { alignedAxes } from "./axis-links.ts";
import { broadcast, inferShape, requireValue, withDims } from "./shapes.ts";

/** Returns a copy of the site with the listed inputs, in this order. */
export function pickInputs(site: Site, inputs: readonly number[]): Site {
  return { ...site, inputs: inputs.map((input): Operand | undefined => site.inputs[input]) };
}

/** Converts the axis rule of a float operator to one whose `inputs` correspond to its inputs. */
export function mapLinksToInputs(
  floatRule: AxisRule | readonly AxisLink[] | Miss,
  inputs: readonly number[],
  extraLinks: readonly AxisLink[] = [],
  axisOf: (axis: number) => number = (axis) => axis,
): AxisRule | Miss {
  if (floatRule instanceof Miss) return floatRule;
  const { links, resize }: AxisRule = "links" in floatRule ? floatRule : { links: floatRule };
  const endOf = ([port, axis]: AxisEnd): AxisEnd => {
    if (port === "out0") return [port, axisOf(axis)];
    const operand = Number(port.slice(2));
    return [`in${inputs[operand] ?? operand}`, operand === 0 ? axisOf(axis) : axis];
  };
  const mappedLinks = links.map((link): AxisLink => {
    if ("from" in link) return { ...link, from: endOf(link.from), to: endOf(link.to) };
    return "absorbs" in link ? { absorbs: endOf(link.absorbs) } : { ...link, refuses: endOf(link.refuses) };
  });
  const resizePlain: AxisRule["resize"] =
    resize &&
    (({ dims, removed }) =>
      resize({
        removed: (end) => removed(endOf(end)),
        dims: (port) => {
          const operand = dims(endOf([port, 0])[0]);
          return port === "in0" || port === "out0" ? operand.map((_, axis) => operand[axisOf(axis)] ?? 1) : operand;
        },
      }));
  return { links: [...mappedLinks, ...extraLinks], ...(resizePlain && { resize: resizePlain }) };
}

const severalAxes = new Miss("its scales or zero points vary along several axes");

/** Links per-channel scales and zero points to an axis of the output. */
export function linkPerChannel(site: Site, inputs: readonly number[], axis: number): readonly AxisLink[] | Miss {
  const vectors = inputs.filter((input) => site.inputs[input]?.dims?.some((dim) => dim !== 1));
  if (vectors.some((input) => (site.inputs[input]?.dims?.length ?? 0) > 1)) return severalAxes;
  return vectors.map((input) => ({ from: [`in${input}`, 0], to: ["out0", axis] }));
}

/** `vectors` have one value per column, `rows` one per row. */
export function productAxes(
  site: Site,
  operands: readonly number[],
  vectors: readonly number[],
  rows: readonly number[] = [],
): AxisRule | Miss {
  const productSite = pickInputs(site, operands);
  const rank = Math.max(...productSite.inputs.map((operand) => operand?.dims?.length ?? 0));
  const [perColumn, perRow] = [linkPerChannel(site, vectors, rank - 1), linkPerChannel(site, rows, rank - 2)];
  if (perColumn instanceof Miss || perRow instanceof Miss) return severalAxes;
  return mapLinksToInputs(matmulLinks(productSite), operands, [...perColumn, ...perRow]);
}

export function matmulWeight(site: Site): WeightRole | Miss {
  const [a, b] = site.inputs;
  if (a?.stored === false && b?.stored && b.dims?.length === 2) {
    const lastAxis = (a.dims?.length ?? 0) - 1;
    return { input: 1, out: 1, in: 0, groups: 1, data: 0, dataAxis: lastAxis, outputAxis: lastAxis };
  }
  if (a?.dims === undefined || b?.dims === undefined) return new Miss("the rank of an operand is not known");
  const rank = Math.max(a.dims.length, b.dims.length);
  if (a.stored && !b.stored && a.dims.length === 2 && b.dims.length >= 2)
    return { input: 0, out: 0, in: 1, groups: 1, data: 1, dataAxis: b.dims.length - 2, outputAxis: rank - 2 };
  return new Miss(a.stored || b.stored ? "the stored operand is not a matrix" : "both operands are activations");
}

/** `product` multiplies the result so far by the weight of the next part. */
export function chainProducts(
  input: number,
  product: (emit: Emit, operands: Inputs, part: ChainPosition, nodeInputs: Inputs) => Value,
): Chain {
  return (emit, inputs, parts) => {
    const append = (data: Value | undefined, { name, weight }: ChainPart, index: number): Value => {
      const part = { isFirst: index === 0, isLast: index === parts.length - 1 };
      return product(emit.named(`${name}.output`), input === 0 ? [weight, data] : [data, weight], part, inputs);
    };
    return requireValue(parts.reduce(append, inputs[1 - input]));
  };
}

interface ChainPosition {
  readonly isFirst: boolean;
  readonly isLast: boolean;
}

type Inputs = readonly (Value | undefined)[];

function productDims(a: readonly Dim[], b: readonly Dim[]): readonly Dim[] | Miss {
  if (a.length === 0 || b.length === 0) return new Miss("an operand has no axes");
  const [rows, columns] = [a.length === 1 ? [] : a.slice(-2, -1), b.length === 1 ? [] : b.slice(-1)];
  const batch = broadcast(a.slice(0, -2), b.slice(0, -2));
  if (batch instanceof Miss) return batch;
  const mismatch = sharedMismatch(a.at(-1), b.at(b.length === 1 ? -1 : -2));
  return mismatch ?? [...batch, ...rows, ...columns];
}

function sharedMismatch(inner: Dim | undefined, outer: Dim | undefined): Miss | undefined {
  return typeof inner === "number" && typeof outer === "number" && inner !== outer
    ? new Miss(`the shared axis has ${inner} entries on the left and ${outer} on the right`)
    : undefined;
}

export const inferProduct = (site: Site, type?: DataType): readonly Inferred[] | Miss =>
  inferShape(site, (a = [], b = []) => productDims(a, b), type, [0, 1]);

export const matmulCost = (site: Site): Dim | Miss =>
  withDims(site, [0, 1], (a = [], b = []) => {
    const dims = productDims(a, b);
    return dims instanceof Miss ? dims : multiplyDims(elementCount(dims), a.at(-1) ?? 1);
  });

export const matmulLinks = (site: Site): readonly AxisLink[] | Miss =>
  withDims(site, [0, 1], (a = [], b = []) => {
    if (a.length < 2 || b.length < 2) return new Miss("a vector is multiplied");
    const rank = Math.max(a.length, b.length);
    const batchLinks = [a, b].flatMap((dims, input) =>
      alignedAxes(site, input, rank).filter(({ from: [, axis] }) => axis < dims.length - 2),
    );
    return [
      { from: ["in0", a.length - 1], to: ["in1", b.length - 2] },
      { from: ["in0", a.length - 2], to: ["out0", rank - 2] },
      { from: ["in1", b.length - 1], to: ["out0", rank - 1] },
      ...batchLinks,
    ];
  });

export const storedOperands = (_: unknown, site: Site): readonly number[] =>
  site.inputs.flatMap((operand, input) => (operand?.stored === true ? [input] : []));

type WeightedRule = Extract<QuantizeRule, { readonly kind: "weighted" }>;

export function quantizeByMatMulInteger(weight: WeightRole | Miss, integerTransposed = false): WeightedRule | Miss {
  if (weight instanceof Miss) return weight;
  if (weight.input !== 1) return new Miss("the weight is the left operand");
  return {
    kind: "weighted",
    weight,
    integerTransposed,
    floatResult: true,
    integer: (emit, { x, weight: w, xZeroPoint, weightZeroPoint }) =>
      emit.MatMulInteger([x, w, xZeroPoint, weightZeroPoint]),
    channelDims: (channels) => [channels],
  };
}

export interface GemmSettings {
  readonly alpha: number;
  readonly beta: number;
  readonly transA: boolean;
  readonly transB: boolean;
}

export const readGemm = (site: Site): GemmSettings => ({
  alpha: readFloat(site, "alpha", 1),
  beta: readFloat(site, "beta", 1),
  transA: readFlag(site, "transA"),
  transB: readFlag(site, "transB"),
});

export const gemmFacets = {
  infer: ({ transA, transB }: GemmSettings, site: Site): readonly Inferred[] | Miss =>
    inferShape(
      site,
      (a = [], b = []) => {
        if (a.length !== 2 || b.length !== 2) return new Miss("takes two matrices");
        const [rows, inner] = (transA ? a.toReversed() : a) as [Dim, Dim];
        const [outer, columns] = (transB ? b.toReversed() : b) as [Dim, Dim];
        return sharedMismatch(inner, outer) ?? [rows, columns];
      },
      undefined,
      [0, 1],
    ),
  parameters: storedOperands,
  homogeneous: [[0, 1], [2]],
  axes: ({ transA, transB }: GemmSettings, site: Site): readonly AxisLink[] => {
    const [rows, sharedA] = transA ? [1, 0] : [0, 1];
    const [sharedB, columns] = transB ? [1, 0] : [0, 1];
    return [
      { from: ["in0", rows], to: ["out0", 0] },
      { from: ["in0", sharedA], to: ["in1", sharedB] },
      { from: ["in1", columns], to: ["out0", 1] },
      ...alignedAxes(site, 2, 2),
    ];
  },
  cost: (s: GemmSettings, site: Site): Dim | Miss =>
    withDims(site, [0, 1], (a = [], b = []) => multiplyDims(elementCount(a), b[s.transB ? 0 : 1] ?? 1)),
};

export function gemmWeight(s: GemmSettings, { inputs: [a, b, c] }: Site): WeightRole | Miss {
  const bias = c?.stored === true ? { bias: 2 } : {};
  const groups = 1;
  if (b?.stored === true && a?.stored === false) {
    const out = s.transB ? 0 : 1;
    return { input: 1, out, in: 1 - out, groups, data: 0, dataAxis: s.transA ? 0 : 1, outputAxis: 1, ...bias };
  }
  if (a?.stored !== true || b?.stored !== false) return new Miss("both operands are activations");
  const out = s.transA ? 1 : 0;
  return { input: 0, out, in: 1 - out, groups, data: 1, dataAxis: s.transB ? 1 : 0, outputAxis: 0, ...bias };
}
