/** Gather, GatherElements, GatherND. The gradient of Gather adds up repeated indices: a ScatterND of rows for axis 0, otherwise ScatterElements. */
import { Miss } from "../errors.ts";
import type { Emit } from "../graph/emit.ts";
import type { Value } from "../graph/graph.ts";
import { fromNumbers } from "../tensor/convert.ts";
import { elementCount, fixedDims, stridesOf } from "../tensor/dims.ts";
import { type DataType, typeCodes } from "../tensor/types.ts";
import { type AxisLink, type Chain, defineOp, type Site, type WeightRole } from "./define.ts";
import { constantIntegers, integer, wrapAxis } from "./shared/attributes.ts";
import { withMoved } from "./shared/elements.ts";
import { noWeight } from "./shared/misses.ts";
import {
  dimsAt,
  filled,
  fixed,
  handedOn,
  inTuples,
  need,
  positions,
  present,
  reshapeTo,
  typeOf,
} from "./shared/rules.ts";

/** Counted from the front, if the rank is known. */
function readAxis(site: Site): { readonly axis: number } {
  const rank = site.inputs[0]?.dims?.length;
  const axis = integer(site, "axis", 0);
  return { axis: rank === undefined ? axis : wrapAxis(axis, rank) };
}

/** A stored table with computed indices is trained. */
const tableParameter = (_: unknown, site: Site): readonly number[] =>
  site.inputs[0]?.stored === true && site.inputs[1]?.stored === false ? [0] : [];
const isTable = new Miss("is an embedding lookup, not a layer with a matrix product");

/** Types of trained tables: floats, and their quantized values. Tables of indices use wider integers. */
const inTables: ReadonlySet<DataType> = new Set(["float32", "float64", "float16", "bfloat16", "int8", "uint8"]);

function embedding({ axis }: { readonly axis: number }, site: Site): WeightRole | Miss {
  const [table, indices] = site.inputs;
  if (table?.stored !== true || indices?.stored !== false || !inTables.has(table.type)) return noWeight;
  if (axis !== 0 || table.dims?.length !== 2) return isTable;
  const last = indices.dims?.length ?? -1;
  return {
    kind: "lookup",
    input: 0,
    out: 1,
    in: 0,
    groups: 1,
    data: 1,
    dataAxis: -1,
    outputAxis: last,
    chain: lookedUp,
  };
}

/** Selects rows of the first, thin table and multiplies them by the following parts. */
const lookedUp: Chain = (emit, [, places], [first, ...others]) =>
  others.reduce(
    (rows, { name, weight }) => emit.named(`${name}.output`).MatMul([rows, weight]),
    emit.named(`${first?.name}.output`).Gather([first?.weight, places], { axis: 0 }),
  );

export const Gather = defineOp({
  name: "Gather",
  sameType: 0,
  read: readAxis,
  infer: (s, site) => {
    const { type, dims } = need(site, 0);
    const indices = site.inputs[1];
    if (dims === undefined || indices?.dims === undefined) return [{ type, dims: undefined }];
    const inferred = { type, dims: [...dims.slice(0, s.axis), ...indices.dims, ...dims.slice(s.axis + 1)] };
    const [picks, picked] = [constantIntegers(indices), fixedDims(indices.dims)];
    if (picks === undefined || picked === undefined) return [inferred];
    const strides = stridesOf(picked);
    const from = (place: readonly number[], size: number): number[] => {
      const within = place.slice(s.axis, s.axis + picked.length);
      const index = picks[within.reduce((sum, step, axis) => sum + step * (strides[axis] ?? 0), 0)] ?? 0;
      return [...place.slice(0, s.axis), index < 0 ? index + size : index, ...place.slice(s.axis + picked.length)];
    };
    return [
      withMoved(
        inferred,
        site,
        ({ dims }) =>
          (place) =>
            from(place, dims[s.axis] ?? 1),
      ),
    ];
  },
  // A vector holds a schedule, or the row scales of another table.
  parameters: (s, site) => (site.inputs[0]?.dims?.length === 1 ? [] : tableParameter(s, site)),
  wants: (s, site, output) => [...positions(1, site.inputs[0]?.dims?.[s.axis]), ...handedOn(output, 0)],
  weight: embedding,
  homogeneous: [[0]],
  axes: (s, site, dims) => {
    const indices = dimsAt(site, 1);
    if (indices instanceof Miss) return indices;
    const data = dims.map((_, axis): AxisLink => {
      if (axis === s.axis) return { refuses: ["in0", axis], reason: "Gather selects by position along this axis" };
      return { from: ["in0", axis], to: ["out0", axis < s.axis ? axis : axis - 1 + indices.length] };
    });
    return {
      links: [...data, ...indices.map((_, axis): AxisLink => ({ from: ["in1", axis], to: ["out0", s.axis + axis] }))],
    };
  },
  gradient: (s, { emit, inputs: [x, indices], up }) => {
    const dims = fixed(x);
    const picked = elementCount(fixed(indices));
    const places = emit.Cast([indices], { to: typeCodes.int64 });
    if (s.axis === 0) {
      const rows = reshapeTo(emit, up, [picked, ...dims.slice(1)]);
      const at = reshapeTo(emit, places, [picked, 1]);
      return [emit.ScatterND([filled(emit, typeOf(x), dims, 0), at, rows], { reduction: "add" })];
    }
    const [before, after] = [elementCount(dims.slice(0, s.axis)), elementCount(dims.slice(s.axis + 1))];
    const at = emit.Expand([reshapeTo(emit, places, [1, picked, 1]), [before, picked, after]]);
    const zeros = filled(emit, typeOf(x), [before, dims[s.axis] ?? 0, after], 0);
    const parts = reshapeTo(emit, up, [before, picked, after]);
    return [reshapeTo(emit, emit.ScatterElements([zeros, at, parts], { axis: 1, reduction: "add" }), dims)];
  },
  cost: () => 0,
  quantize: (_, site) =>
    site.inputs[0]?.stored === true
      ? new Miss(
          'is an embedding lookup without a matrix product: the schemes "weights" and "dynamic" store it in 8 bits',
        )
      : { kind: "transparent" },
});

/** y[i, j] = x[index[i, j], j] for axis 0. */
export const GatherElements = defineOp({
  name: "GatherElements",
  sameType: 0,
  read: readAxis,
  infer: (_, site) => [{ type: need(site, 0).type, dims: site.inputs[1]?.dims }],
  wants: (s, site, output) => [...positions(1, site.inputs[0]?.dims?.[s.axis]), ...handedOn(output, 0)],
  parameters: tableParameter,
  weight: isTable,
  axes: (s, site, dims) => {
    const indices = dimsAt(site, 1);
    if (indices instanceof Miss) return indices;
    return dims.flatMap((dim, axis): AxisLink[] => {
      const place: AxisLink = { from: ["in1", axis], to: ["out0", axis] };
      if (axis === s.axis)
        return [{ refuses: ["in0", axis], reason: "GatherElements selects by position along this axis" }, place];
      // If the indices end before the data, cuts would move later elements up.
      if (dim !== indices[axis])
        return [{ refuses: ["in0", axis], reason: "GatherElements reads only the start of this axis" }];
      return [{ from: ["in0", axis], to: ["out0", axis] }, place];
    });
  },
  gradient: (s, { emit, inputs: [x, indices], up }) => {
    const zeros = filled(emit, typeOf(x), fixed(x), 0);
    return [emit.ScatterElements([zeros, indices, up], { axis: s.axis, reduction: "add" })];
  },
  quantize: () => ({ kind: "transparent" }),
});

/** Prepends the coordinates of the batch axes to index tuples: ScatterND has no batch axes. */
function wholeTuples(emit: Emit, indices: Value, batch: number): Value {
  if (batch === 0) return indices;
  const places = fixed(indices).slice(0, -1);
  const strides = stridesOf(places);
  const coordinates = Array.from({ length: elementCount(places) }, (_, at) =>
    strides.slice(0, batch).map((stride, axis) => Math.floor(at / stride) % (places[axis] ?? 1)),
  );
  const grid = emit.constant(fromNumbers("int64", [...places, batch], coordinates.flat()), "places");
  return emit.Concat([grid, indices], { axis: places.length });
}

interface Tuples {
  readonly batch: number;
  readonly fixes: number | undefined;
}

/** The last axis of the indices holds tuples that address the leading axes of the data. */
export const GatherND = defineOp<Tuples>({
  name: "GatherND",
  sameType: 0,
  read: (site) => {
    const fixes = site.inputs[1]?.dims?.at(-1);
    return { batch: integer(site, "batch_dims", 0), fixes: typeof fixes === "number" ? fixes : undefined };
  },
  infer: ({ batch, fixes }, site) => {
    const { type, dims } = need(site, 0);
    const indices = site.inputs[1]?.dims;
    if (dims === undefined || indices === undefined || fixes === undefined) return [{ type, dims: undefined }];
    return [{ type, dims: [...indices.slice(0, -1), ...dims.slice(batch + fixes)] }];
  },
  wants: ({ batch, fixes }, site, output) => [
    ...inTuples(fixes === undefined ? [] : (site.inputs[0]?.dims?.slice(batch, batch + fixes) ?? [])),
    ...handedOn(output, 0),
  ],
  parameters: tableParameter,
  weight: isTable,
  axes: ({ batch, fixes }, site, dims) => {
    const indices = dimsAt(site, 1);
    if (indices instanceof Miss) return indices;
    if (fixes === undefined) return new Miss("the length of its index tuples is not known");
    const data = dims.map((_, axis): AxisLink => {
      if (axis < batch) return { from: ["in0", axis], to: ["out0", axis] };
      if (axis < batch + fixes)
        return { refuses: ["in0", axis], reason: "GatherND selects by position along this axis" };
      return { from: ["in0", axis], to: ["out0", indices.length - 1 + axis - batch - fixes] };
    });
    const places = indices.slice(0, -1).map((_, axis): AxisLink => ({ from: ["in1", axis], to: ["out0", axis] }));
    return { links: [...data, ...places] };
  },
  gradient: ({ batch }, { emit, inputs: [x, indices], up }) => {
    const zeros = filled(emit, typeOf(x), fixed(x), 0);
    return [emit.ScatterND([zeros, wholeTuples(emit, present(indices), batch), up], { reduction: "add" })];
  },
});
