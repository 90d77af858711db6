/**
 * Normalization as ONNX Runtime fuses it:
 * - SimplifiedLayerNormalization: x / √(mean(x²) + ε) · scale, in the default domain, although ONNX does not define it.
 * - SkipLayerNormalization, SkipSimplifiedLayerNormalization: normalize the sum of input, skip and bias over the last axis.
 * - EmbedLayerNormalization: normalizes the sum of rows of up to three tables (words, positions, segments) over the last axis.
 */
import { type DataType, type Dim, type Emit, Miss, typeCodes, type Value } from "#graph";
import { type AxisLink, defineOp, type Inferred, type InputRange, type Op, type Site } from "../define.ts";
import { readFloat, readInteger, wrapAxis } from "../shared/attributes.ts";
import { defineMicrosoftOp } from "../shared/inert.ts";
import { noRank, quantizedAlready } from "../shared/misses.ts";
import { homogeneousAlongLastAxes, normalizedAxes, rootMeanSquare, scaleAndShiftFacets } from "../shared/normalize.ts";
import { range, requireInput, requirePositions } from "../shared/shapes.ts";
import { writeDequantize } from "../shared/write-quantize.ts";

const reason = "is normalized over this axis";

export const SimplifiedLayerNormalization = defineOp({
  name: "SimplifiedLayerNormalization",
  read: (site) => {
    const rank = site.inputs[0]?.dims?.length;
    const axis = readInteger(site, "axis", -1);
    if (rank === undefined && axis !== -1) return noRank;
    return { axis: rank === undefined ? axis : wrapAxis(axis, rank), epsilon: readFloat(site, "epsilon", 1e-5) };
  },
  infer: (s, site): readonly Inferred[] => {
    const { type, dims } = requireInput(site, 0);
    const statisticsDims = dims?.map((dim, axis): Dim => (axis < s.axis ? dim : 1));
    return [
      { type: site.inputs[1]?.type ?? type, dims },
      { type: type === "float64" ? "float64" : "float32", dims: statisticsDims },
    ];
  },
  ...scaleAndShiftFacets,
  parameters: [1],
  homogeneous: homogeneousAlongLastAxes(1),
  axes: (s, site, dims) => normalizedAxes(site, dims, { first: s.axis, inputs: [0, 1], outputs: [1], reason }),
  lower: (s, emit, [x, scale]) => {
    const rank = x.type?.dims?.length;
    if (rank === undefined) return noRank;
    const { y, inverse } = rootMeanSquare(emit, x, scale, { axes: range(rank - s.axis, s.axis), epsilon: s.epsilon });
    return [y, inverse];
  },
});

/** Defines a normalization of the sum of input, skip and the input `bias`. */
function defineSkipNormalization(name: string, shift: number | undefined, bias: number): Op {
  const factors = shift === undefined ? [2] : [2, shift];
  const vectors = [...factors, bias];
  return defineMicrosoftOp({
    name,
    read: (site) => ({ epsilon: readFloat(site, "epsilon", 1e-12), statistics: site.outputs > 1 }),
    infer: (_, site): readonly Inferred[] => {
      const { type, dims } = requireInput(site, 0);
      const statistic: Inferred = { type: "float32", dims: dims && [...dims.slice(0, -1), 1] };
      return [{ type, dims }, statistic, statistic, { type, dims }].slice(0, site.outputs);
    },
    parameters: vectors,
    scales: () => [2],
    homogeneous: homogeneousAlongLastAxes(...factors),
    weight: scaleAndShiftFacets.weight,
    axes: (_, site, dims) => {
      const lastAxis = dims.length - 1;
      const ports = { first: lastAxis, inputs: [0, 1, ...vectors], outputs: range(site.outputs - 1, 1), reason };
      const links = normalizedAxes(site, dims, ports);
      const sum: AxisLink = { refuses: ["out3", lastAxis], reason, statistics: { to: ["out0", lastAxis] } };
      return site.outputs > 3 ? [...links, sum] : links;
    },
    lower: (s, emit, inputs) => {
      const [x, skipInput, scale] = inputs;
      const addend = inputs[bias];
      const inputSum = emit.Add([x, skipInput]);
      const sum = addend === undefined ? inputSum : emit.Add([inputSum, addend]);
      const writeMean = (): Value => emit.ReduceMean([sum, [-1]], { keepdims: 1 });
      if (shift === undefined) {
        const { y, inverse } = rootMeanSquare(emit, sum, scale, { axes: [-1], epsilon: s.epsilon });
        return s.statistics ? [y, writeMean(), inverse, sum] : [y];
      }
      const settings = { axis: -1, epsilon: s.epsilon };
      const operands = [sum, scale, inputs[shift]];
      if (!s.statistics) return [emit.LayerNormalization(operands, settings)];
      const [y, mean, inverse] = emit.many("LayerNormalization", operands, settings, 3);
      return [y, mean, inverse, sum];
    },
  });
}

type EmbeddingInputs = { readonly ids: Value } & Readonly<
  Record<"segments" | "positions" | "mask", Value | undefined> &
    Record<"words" | "positionTable" | "segmentTable" | "scale" | "shift", Value | undefined>
>;

/** Writes the result, the number of ones per mask row, and the sum. */
function writeEmbedding(emit: Emit, inputs: EmbeddingInputs, epsilon: number): readonly [Value, Value, Value] {
  const gatherRows = (table: Value | undefined, indices: Value): Value => emit.Gather([table, indices], { axis: 0 });
  const length = emit.Shape([inputs.ids], { start: 1, end: 2 });
  const table = inputs.positionTable;
  const positions =
    inputs.positions === undefined ? emit.Slice([table, [0], length, [0]]) : gatherRows(table, inputs.positions);
  const sumWithoutSegments = emit.Add([gatherRows(inputs.words, inputs.ids), positions]);
  const hasSegments = inputs.segments !== undefined && inputs.segmentTable !== undefined;
  const sum = hasSegments
    ? emit.Add([sumWithoutSegments, gatherRows(inputs.segmentTable, inputs.segments)])
    : sumWithoutSegments;
  const countOnes = (): Value => {
    const mask = inputs.mask ?? emit.Sub([inputs.ids, inputs.ids]);
    const ones = emit.Cast([emit.Equal([mask, 1])], { to: typeCodes.int32 });
    return emit.ReduceSum([ones, [1]], { keepdims: 0 });
  };
  return [emit.LayerNormalization([sum, inputs.scale, inputs.shift], { axis: -1, epsilon }), countOnes(), sum];
}

export const EmbedLayerNormalization = defineMicrosoftOp({
  name: "EmbedLayerNormalization",
  read: (site) => ({ epsilon: readFloat(site, "epsilon", 1e-12), outputs: site.outputs }),
  infer: (_, site) => inferEmbedding(site, site.inputs[5]?.type ?? "float32"),
  wants: (_, site) => [...wantedIndicesOf(site), ...requirePositions(8, site.inputs[3]?.dims?.[0])],
  parameters: [2, 3, 4, 5, 6],
  scales: () => [5],
  weight: new Miss("is a lookup in several tables"),
  axes: new Miss("is normalized over the embedding axis"),
  lower: (s, emit, [ids, segments, words, positionTable, segmentTable, scale, shift, mask, positions]) => {
    const operands = { ids, segments, positions, mask, words, positionTable, segmentTable, scale, shift };
    return writeEmbedding(emit, operands, s.epsilon).slice(0, s.outputs);
  },
});

function inferEmbedding(site: Site, type: DataType): readonly Inferred[] {
  const ids = site.inputs[0]?.dims;
  const width = site.inputs[2]?.dims?.[1];
  const dims = ids === undefined || width === undefined ? undefined : [...ids, width];
  return [
    { type, dims },
    { type: "int32", dims: ids?.slice(0, 1) },
    { type, dims },
  ];
}

function wantedIndicesOf({ inputs }: Site): readonly InputRange[] {
  return [
    ...requirePositions(0, inputs[2]?.dims?.[0]),
    ...requirePositions(1, inputs[4]?.dims?.[0]),
    { input: 7, low: 0, high: 1, strict: false },
  ];
}

export const QEmbedLayerNormalization = defineMicrosoftOp({
  name: "QEmbedLayerNormalization",
  read: (site) => readFloat(site, "epsilon", 1e-12),
  infer: (_, site) => inferEmbedding(site, site.inputs[8]?.type ?? "float32").slice(0, 2),
  wants: (_, site) => wantedIndicesOf(site),
  weight: new Miss("is a lookup in several tables"),
  axes: quantizedAlready,
  lower: (epsilon, emit, inputs) => {
    const [ids, segments, , , , , , mask] = inputs;
    // Tables start at input 2, scales at 8, zero points at 13.
    const table = (index: number): Value =>
      writeDequantize(emit, inputs[2 + index], inputs[8 + index], inputs[13 + index]);
    const segmentTable = inputs[4] === undefined ? undefined : table(2);
    const tables = { words: table(0), positionTable: table(1), segmentTable, scale: table(3), shift: table(4) };
    return writeEmbedding(emit, { ids, segments, positions: undefined, mask, ...tables }, epsilon).slice(0, 2);
  },
  gradient: new Miss("its input is integers"),
  quantize: quantizedAlready,
});

export const microsoftNormOperators: readonly Op[] = [
  defineSkipNormalization("SkipLayerNormalization", 3, 4),
  defineSkipNormalization("SkipSimplifiedLayerNormalization", undefined, 3),
];
