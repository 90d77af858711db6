/**
 * Weights stored in blocks of few bits, as large language models have them: MatMulNBits (2, 4 or 8 bits, blocks along the inputs of each output),
 * MatMulBnb4 (4-bit codes of a table, blocks of the flattened matrix), GatherBlockQuantized (rows of such a table). Layers among them are found,
 * shown and left alone: their weight is stored quantized.
 *
 * Lowered, codes are unpacked by arithmetic (digits of a byte), less their zero point, times the scale of their block. ONNX Runtime's kernels may
 * round the data besides (`accuracy_level` 4), which the primitives do not.
 */
import { Miss } from "../../errors.ts";
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { bnb4Tables } from "../../tensor/bnb4.ts";
import { fromNumbers } from "../../tensor/convert.ts";
import { type Dim, elementCount, fixedDims, multiplyDims } from "../../tensor/dims.ts";
import { typeCodes } from "../../tensor/types.ts";
import type { Inferred, Site, WeightRole } from "../define.ts";
import { integer, wrapAxis } from "../shared/attributes.ts";
import {
  castLike,
  dimsAt,
  need,
  positions,
  present,
  range,
  scalar,
  shaped,
  typeOf,
  withDims,
} from "../shared/rules.ts";
import { microsoftOp } from "./typed.ts";

const already = new Miss("its weight is stored quantized");
const packed = new Miss("its weight is quantized in packed blocks: cut channels first, quantize later");

/** What is computed in: numbers of 16 bits are too coarse. */
type Wide = "float32" | "float64";

const wide = (scales: Value | undefined): Wide => (typeOf(scales) === "float64" ? "float64" : "float32");
const cast = (emit: Emit, x: Value | undefined, type: Wide): Value =>
  typeOf(x) === type ? present(x) : emit.Cast([x], { to: typeCodes[type] });

/** The digits of each byte along a new last axis, low ones first: `bits` each. */
function digits(emit: Emit, bytes: Value | undefined, bits: number, type: Wide): Value {
  const base = 2 ** bits;
  const parts: Value[] = [];
  let rest = cast(emit, bytes, type);
  for (let part = 0; part < 8 / bits; part++) {
    const higher = emit.Floor([emit.Div([rest, base])]);
    parts.push(emit.Unsqueeze([emit.Sub([rest, emit.Mul([higher, base])]), [-1]]));
    rest = higher;
  }
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : emit.Concat(parts, { axis: -1 });
}

const reshape = (emit: Emit, x: Value, dims: readonly number[]): Value => emit.Reshape([x, dims]);

/** x[..., :count] along an axis. */
function cut(emit: Emit, x: Value, axis: number, count: number): Value {
  return emit.Slice([x, [0], [count], [axis]]);
}

/** Data · matrixᵀ, in the type of the data, and a bias. */
function multiplied(emit: Emit, data: Value, matrix: Value, bias: Value | undefined): Value {
  const y = emit.MatMul([data, emit.Transpose([castLike(emit, matrix, data)], { perm: [1, 0] })]);
  return bias === undefined ? y : emit.Add([y, bias]);
}

/** A layer whose matrix lies packed at input 1; channels are those of the last axis. */
function packedWeight(site: Site, packed: NonNullable<WeightRole["packed"]>, bias?: number): WeightRole | Miss {
  const data = dimsAt(site, 0);
  if (data instanceof Miss) return data;
  if (site.inputs[1]?.stored !== true) return new Miss("its weight is computed");
  const last = data.length - 1;
  const role = { input: 1, out: 0, in: 0, groups: 1, data: 0, dataAxis: last, outputAxis: last };
  const stored = bias !== undefined && site.inputs[bias]?.stored === true ? { bias } : {};
  return { ...role, packed, ...stored };
}

const productOf = (site: Site, width: number) => shaped(site, (dims) => [...dims.slice(0, -1), width]);

export const MatMulNBits = microsoftOp({
  name: "MatMulNBits",
  read: (site) => ({
    inputs: integer(site, "K", 0),
    outputs: integer(site, "N", 0),
    bits: integer(site, "bits", 4),
    block: integer(site, "block_size", 32),
    prepacked: integer(site, "weight_prepacked", 0) !== 0,
  }),
  infer: (s, site) => productOf(site, s.outputs),
  parameters: [5],
  weight: ({ outputs, inputs, bits }, site) => packedWeight(site, { outputs, inputs, bits }, 5),
  axes: packed,
  lower: (s, emit, [x, codes, scales, zero, order, bias]) => {
    if (s.prepacked) return new Miss("its weight is packed for one kind of processor");
    if (order !== undefined) return new Miss("the order of its inputs is changed");
    if (![2, 4, 8].includes(s.bits)) return new Miss(`values of ${s.bits} bits straddle bytes`);
    const type = wide(scales);
    const count = Math.ceil(s.inputs / s.block);
    const perBlock = [s.outputs, count, 1];
    const numbers = reshape(emit, digits(emit, codes, s.bits, type), [s.outputs, count, s.block]);
    const packedZero = (bytes: Value): Value => {
      const rows = reshape(emit, digits(emit, reshape(emit, bytes, [s.outputs, -1]), s.bits, type), [s.outputs, -1]);
      return cut(emit, rows, 1, count);
    };
    const middle =
      zero === undefined
        ? scalar(emit, type, 2 ** (s.bits - 1))
        : reshape(emit, typeOf(zero) === "uint8" ? packedZero(zero) : cast(emit, zero, type), perBlock);
    const scaled = emit.Mul([emit.Sub([numbers, middle]), reshape(emit, cast(emit, scales, type), perBlock)]);
    const matrix = cut(emit, reshape(emit, scaled, [s.outputs, count * s.block]), 1, s.inputs);
    return [multiplied(emit, x, matrix, bias)];
  },
  cost: (s, site) => withDims(site, [0], (x = []) => multiplyDims(elementCount(x), s.outputs)),
  quantize: already,
  wrongInHalfInside: "accuracy_level",
});

export const MatMulBnb4 = microsoftOp({
  name: "MatMulBnb4",
  read: (site) => ({
    inputs: integer(site, "K", 0),
    outputs: integer(site, "N", 0),
    bits: 4,
    block: integer(site, "block_size", 32),
    table: integer(site, "quant_type", 0),
    transposed: integer(site, "transB", 1) !== 0,
  }),
  infer: (s, site) => productOf(site, s.transposed ? s.outputs : s.inputs),
  parameters: [],
  weight: ({ outputs, inputs, bits, transposed }, site) =>
    packedWeight(site, transposed ? { outputs, inputs, bits } : { outputs: inputs, inputs: outputs, bits }),
  axes: packed,
  lower: (s, emit, [x, codes, scales]) => {
    const table = Object.values(bnb4Tables)[s.table];
    if (table === undefined) return new Miss(`quantized values of type ${s.table} are not known`);
    if (!s.transposed) return new Miss("multiplies backwards");
    const type = wide(scales);
    const count = s.inputs * s.outputs;
    const blocks = Math.ceil(count / s.block);
    // The first of two codes is the high half of its byte.
    const halves = emit.Cast([emit.Gather([digits(emit, codes, 4, type), [1, 0]], { axis: 1 })], {
      to: typeCodes.int64,
    });
    const numbers = emit.Gather([emit.constant(fromNumbers(type, [16], table), "codes"), reshape(emit, halves, [-1])], {
      axis: 0,
    });
    const padded =
      blocks * s.block === count
        ? cut(emit, numbers, 0, count)
        : emit.Pad([cut(emit, numbers, 0, count), [0, blocks * s.block - count]]);
    const scaled = emit.Mul([
      reshape(emit, padded, [blocks, s.block]),
      reshape(emit, cast(emit, scales, type), [blocks, 1]),
    ]);
    const flat = cut(emit, reshape(emit, scaled, [-1]), 0, count);
    const matrix = reshape(emit, flat, [s.outputs, s.inputs]);
    return [multiplied(emit, x, matrix, undefined)];
  },
  cost: (s, site) =>
    withDims(site, [0], (x = []) => multiplyDims(elementCount(x), s.transposed ? s.outputs : s.inputs)),
  quantize: already,
});

interface TableInBlocks {
  readonly gather: number;
  readonly quantized: number;
  readonly block: number;
  /** Bits of a code in a byte; undefined where the type itself has fewer bits than a byte. */
  readonly bits: number | undefined;
  /** Dimensions of the table once its codes are unpacked. */
  readonly dims: readonly number[];
}

function rowsOf({ dims, gather, bits = 4 }: TableInBlocks, { inputs: [table, indices] }: Site): WeightRole | Miss {
  const [rows, width] = dims;
  if (table?.stored !== true || indices?.stored !== false || gather !== 0 || dims.length !== 2)
    return new Miss("is no lookup of rows of a stored table");
  const packed = { outputs: width ?? 0, inputs: rows ?? 0, bits };
  const outputAxis = indices.dims?.length ?? -1;
  return { kind: "lookup", input: 0, out: 1, in: 0, groups: 1, data: 1, dataAxis: -1, outputAxis, packed };
}

export const GatherBlockQuantized = microsoftOp({
  name: "GatherBlockQuantized",
  read: (site): TableInBlocks | Miss => {
    const { type, dims: stored } = need(site, 0);
    const dims = fixedDims(stored);
    if (dims === undefined) return new Miss("the dimensions of its table are not known");
    const bits = type === "uint8" ? integer(site, "bits", 4) : undefined;
    const last = (dims.at(-1) ?? 1) * (bits === undefined ? 1 : 8 / bits);
    return {
      gather: wrapAxis(integer(site, "gather_axis", 0), dims.length),
      quantized: wrapAxis(integer(site, "quantize_axis", 1), dims.length),
      block: integer(site, "block_size", 128),
      bits,
      dims: [...dims.slice(0, -1), last],
    };
  },
  infer: (s, site): readonly Inferred[] => {
    const indices = site.inputs[1]?.dims;
    const type = site.inputs[2]?.type ?? "float32";
    const dims: readonly Dim[] | undefined = indices && [
      ...s.dims.slice(0, s.gather),
      ...indices,
      ...s.dims.slice(s.gather + 1),
    ];
    return [{ type, dims }];
  },
  wants: (s) => positions(1, s.dims[s.gather]),
  parameters: [],
  weight: rowsOf,
  axes: packed,
  cost: () => 0,
  lower: (s, emit, [table, indices, scales, zero]) => {
    const { bits } = s;
    const type = wide(scales);
    const width = s.dims[s.quantized] ?? 1;
    const count = Math.ceil(width / s.block);
    const unpacked = (codes: Value | undefined, dims: readonly number[]): Value =>
      bits === undefined
        ? cast(emit, codes, type)
        : cut(
            emit,
            reshape(emit, digits(emit, codes, bits, type), [...dims.slice(0, -1), -1]),
            dims.length - 1,
            dims.at(-1) ?? 1,
          );
    // The block of each place along the axis.
    const block = range(width).map((place) => Math.floor(place / s.block));
    const spread = (perBlock: Value): Value => emit.Gather([perBlock, block], { axis: s.quantized });
    const perBlock = s.dims.map((dim, axis) => (axis === s.quantized ? count : dim));
    const middle =
      zero === undefined
        ? scalar(emit, type, bits === undefined ? 0 : 2 ** (bits - 1))
        : spread(unpacked(zero, perBlock));
    const numbers = emit.Mul([emit.Sub([unpacked(table, s.dims), middle]), spread(cast(emit, scales, type))]);
    return [emit.Gather([castLike(emit, numbers, scales), indices], { axis: s.gather })];
  },
  quantize: already,
});
