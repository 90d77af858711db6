/** Gather, GatherElements, GatherND. */
import type { DataType, Emit, Value } from "#graph";
import { elementCount, fixedDims, fromNumbers, Miss, stridesOf, typeCodes } from "#graph";
import { type AxisLink, type Chain, defineOp, type Site, type WeightRole } from "./define.ts";
import { constantIntegersOf, readInteger, wrapAxis } from "./shared/attributes.ts";
import { withMovedElements } from "./shared/elements.ts";
import { noWeight } from "./shared/misses.ts";
import {
  dimsAt,
  fillWith,
  forwardWanted,
  range,
  requireInput,
  requirePositions,
  requireTuples,
  requireValue,
  reshapeTo,
  sizesOf,
  typeOf,
} from "./shared/shapes.ts";

function readAxis(site: Site): { readonly axis: number } {
  const rank = site.inputs[0]?.dims?.length;
  const axis = readInteger(site, "axis", 0);
  return { axis: rank === undefined ? axis : wrapAxis(axis, rank) };
}

const tableParameters = (_: unknown, site: Site): readonly number[] =>
  site.inputs[0]?.stored === true && site.inputs[1]?.stored === false ? [0] : [];
const lookupReason = new Miss("is an embedding lookup, not a layer with a matrix product");

const lookupQuantizeReason = new Miss(
  'is an embedding lookup without a matrix product: the schemes "weights" and "dynamic" store it in 8 bits',
);

/** Element types of embedding tables. Wider integers are tables of indices. */
const tableTypes: ReadonlySet<DataType> = new Set(["float32", "float64", "float16", "bfloat16", "int8", "uint8"]);

function embeddingRole({ axis }: { readonly axis: number }, site: Site): WeightRole | Miss {
  const [table, indices] = site.inputs;
  if (table?.stored !== true || indices?.stored !== false || !tableTypes.has(table.type)) return noWeight;
  if (axis !== 0 || table.dims?.length !== 2) return lookupReason;
  return { ...lookupRole, outputAxis: indices.dims?.length ?? -1 };
}

/** The first part of the chain is a table with fewer columns; its selected rows are multiplied by the other parts. */
const writeLookupChain: Chain = (emit, [, indices], [first, ...factors]) =>
  factors.reduce(
    (rows, { name, weight }) => emit.named(`${name}.output`).MatMul([rows, weight]),
    emit.named(`${first?.name}.output`).Gather([first?.weight, indices], { axis: 0 }),
  );

const lookupRole = {
  kind: "lookup",
  input: 0,
  out: 1,
  in: 0,
  groups: 1,
  data: 1,
  dataAxis: -1,
  chain: writeLookupChain,
} as const;

export const Gather = defineOp({
  name: "Gather",
  sameType: 0,
  read: readAxis,
  infer: (s, site) => {
    const { type, dims } = requireInput(site, 0);
    const indices = site.inputs[1];
    if (dims === undefined || indices?.dims === undefined) return [{ type, dims: undefined }];
    const output = { type, dims: [...dims.slice(0, s.axis), ...indices.dims, ...dims.slice(s.axis + 1)] };
    const [picks, indexDims] = [constantIntegersOf(indices), fixedDims(indices.dims)];
    if (picks === undefined || indexDims === undefined) return [output];
    const strides = stridesOf(indexDims);
    const end = s.axis + indexDims.length;
    const sourceFor = (size: number) => (position: readonly number[]) => {
      const offset = position.slice(s.axis, end).reduce((sum, step, axis) => sum + step * (strides[axis] ?? 0), 0);
      const index = picks[offset] ?? 0;
      return [...position.slice(0, s.axis), index < 0 ? index + size : index, ...position.slice(end)];
    };
    return [withMovedElements(output, site, (sizes) => sourceFor(sizes[s.axis] ?? 1))];
  },
  // A table with a single axis is a schedule, or the row scales of another table.
  parameters: (s, site) => (site.inputs[0]?.dims?.length === 1 ? [] : tableParameters(s, site)),
  wants: (s, site, output) => [...requirePositions(1, site.inputs[0]?.dims?.[s.axis]), ...forwardWanted(output, 0)],
  weight: embeddingRole,
  homogeneous: [[0]],
  axes: (s, site, dims) => {
    const indices = dimsAt(site, 1);
    if (indices instanceof Miss) return indices;
    const links = dims.map((dim, axis): AxisLink => {
      if (axis === s.axis) {
        const reads = constantIntegersOf(site.inputs[1])?.map((pick) => (pick < 0 ? pick + Number(dim) : pick));
        return { refuses: ["in0", axis], reason: "Gather selects by position along this axis", reads };
      }
      return { from: ["in0", axis], to: ["out0", axis < s.axis ? axis : axis - 1 + indices.length] };
    });
    return [...links, ...indices.map((_, axis): AxisLink => ({ from: ["in1", axis], to: ["out0", s.axis + axis] }))];
  },
  gradient: (s, { emit, inputs: [x, indices], up }) => {
    const dims = sizesOf(x);
    const count = elementCount(sizesOf(indices));
    const picks = emit.Cast([indices], { to: typeCodes.int64 });
    if (s.axis === 0) {
      const rows = reshapeTo(emit, up, [count, ...dims.slice(1)]);
      const tuples = reshapeTo(emit, picks, [count, 1]);
      return [emit.ScatterND([fillWith(emit, typeOf(x), dims, 0), tuples, rows], { reduction: "add" })];
    }
    const [before, after] = [elementCount(dims.slice(0, s.axis)), elementCount(dims.slice(s.axis + 1))];
    const targets = emit.Expand([reshapeTo(emit, picks, [1, count, 1]), [before, count, after]]);
    const zeros = fillWith(emit, typeOf(x), [before, dims[s.axis] ?? 0, after], 0);
    const upstreamParts = reshapeTo(emit, up, [before, count, after]);
    return [
      reshapeTo(emit, emit.ScatterElements([zeros, targets, upstreamParts], { axis: 1, reduction: "add" }), dims),
    ];
  },
  cost: () => 0,
  quantize: (_, site) => (site.inputs[0]?.stored === true ? lookupQuantizeReason : { kind: "transparent" }),
});

/** For axis 0, y[i, j] = x[index[i, j], j]. */
export const GatherElements = defineOp({
  name: "GatherElements",
  sameType: 0,
  read: readAxis,
  infer: (_, site) => [{ type: requireInput(site, 0).type, dims: site.inputs[1]?.dims }],
  wants: (s, site, output) => [...requirePositions(1, site.inputs[0]?.dims?.[s.axis]), ...forwardWanted(output, 0)],
  parameters: tableParameters,
  weight: lookupReason,
  axes: (s, site, dims) => {
    const indices = dimsAt(site, 1);
    if (indices instanceof Miss) return indices;
    return dims.flatMap((dim, axis): AxisLink[] => {
      const index: AxisLink = { from: ["in1", axis], to: ["out0", axis] };
      if (axis === s.axis)
        return [{ refuses: ["in0", axis], reason: "GatherElements selects by position along this axis" }, index];
      // Removing data indices would move others into the range that is read.
      if (dim !== indices[axis])
        return [{ refuses: ["in0", axis], reason: "GatherElements reads only the start of this axis" }];
      return [{ from: ["in0", axis], to: ["out0", axis] }, index];
    });
  },
  gradient: (s, { emit, inputs: [x, indices], up }) => {
    const zeros = fillWith(emit, typeOf(x), sizesOf(x), 0);
    return [emit.ScatterElements([zeros, indices, up], { axis: s.axis, reduction: "add" })];
  },
  quantize: () => ({ kind: "transparent" }),
});

/** Prepends the coordinates of the batch axes to index tuples, because ScatterND has no batch axes. */
function completeTuples(emit: Emit, indices: Value, batch: number): Value {
  if (batch === 0) return indices;
  const dims = sizesOf(indices).slice(0, -1);
  const strides = stridesOf(dims);
  const coordinates = range(elementCount(dims)).flatMap((index) =>
    strides.slice(0, batch).map((stride, axis) => Math.floor(index / stride) % (dims[axis] ?? 1)),
  );
  const batchCoordinates = emit.constant(fromNumbers("int64", [...dims, batch], coordinates), "places");
  return emit.Concat([batchCoordinates, indices], { axis: dims.length });
}

/** The last axis of the indices contains `tupleLength` coordinates for the data axes after the batch axes. */
export const GatherND = defineOp({
  name: "GatherND",
  sameType: 0,
  read: (site) => ({
    batch: readInteger(site, "batch_dims", 0),
    tupleLength: fixedDims(site.inputs[1]?.dims?.slice(-1))?.[0],
  }),
  infer: ({ batch, tupleLength }, site) => {
    const { type, dims } = requireInput(site, 0);
    const indices = site.inputs[1]?.dims;
    if (dims === undefined || indices === undefined || tupleLength === undefined) return [{ type, dims: undefined }];
    return [{ type, dims: [...indices.slice(0, -1), ...dims.slice(batch + tupleLength)] }];
  },
  wants: ({ batch, tupleLength }, site, output) => [
    ...requireTuples(tupleLength === undefined ? [] : (site.inputs[0]?.dims?.slice(batch, batch + tupleLength) ?? [])),
    ...forwardWanted(output, 0),
  ],
  parameters: tableParameters,
  weight: lookupReason,
  axes: ({ batch, tupleLength }, site, dims) => {
    const indices = dimsAt(site, 1);
    if (indices instanceof Miss) return indices;
    if (tupleLength === undefined) return new Miss("the length of its index tuples is not known");
    const data = dims.map((_, axis): AxisLink => {
      if (axis < batch) return { from: ["in0", axis], to: ["out0", axis] };
      if (axis < batch + tupleLength)
        return { refuses: ["in0", axis], reason: "GatherND selects by position along this axis" };
      return { from: ["in0", axis], to: ["out0", indices.length - 1 + axis - batch - tupleLength] };
    });
    return [
      ...data,
      ...range(indices.length - 1).map((axis): AxisLink => ({ from: ["in1", axis], to: ["out0", axis] })),
    ];
  },
  gradient: ({ batch }, { emit, inputs: [x, indices], up }) => {
    const zeros = fillWith(emit, typeOf(x), sizesOf(x), 0);
    return [emit.ScatterND([zeros, completeTuples(emit, requireValue(indices), batch), up], { reduction: "add" })];
  },
});
