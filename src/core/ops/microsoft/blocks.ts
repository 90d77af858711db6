/**
 * Block-quantized weights: MatMulNBits (blocks along the inputs of each output), MatMulBnb4 (4-bit codebook indices, blocks of the flattened matrix),
 * GatherBlockQuantized (rows of a table). ONNX Runtime's kernels can also quantize the data to 8 bits (`accuracy_level` 4); the primitives do not.
 */
import {
  bnb4Tables,
  type Dense,
  type Dim,
  type Emit,
  elementCount,
  fixedDims,
  fromNumbers,
  Miss,
  multiplyDims,
  pack,
  takeIndices,
  toNumbers,
  typeCodes,
  unpack,
  type Value,
} from "#graph";
import type {
  AxisEnd,
  AxisLink,
  AxisRule,
  Inferred,
  Inputs,
  PackedWeight,
  RemainingPart,
  Site,
  WeightRole,
} from "../define.ts";
import { readFlag, readInteger, wrapAxis } from "../shared/attributes.ts";
import { sameAxes } from "../shared/axis-links.ts";
import { defineMicrosoftOp } from "../shared/inert.ts";
import { chainProducts } from "../shared/products.ts";
import {
  castLike,
  dimsAt,
  inferShape,
  range,
  requireInput,
  requirePositions,
  requireValue,
  scalar,
  typeOf,
  withDims,
} from "../shared/shapes.ts";

const storedQuantized = new Miss("its weight is stored quantized");

/** The type in which weights are dequantized. 16-bit floats would lose precision. */
type ComputeType = "float32" | "float64";

const computeTypeOf = (scales: Value | undefined): ComputeType =>
  typeOf(scales) === "float64" ? "float64" : "float32";
const cast = (emit: Emit, x: Value | undefined, type: ComputeType): Value =>
  typeOf(x) === type ? requireValue(x) : emit.Cast([x], { to: typeCodes[type] });

/** Unpacks each byte into values of `bits` bits along a new last axis, low bits first. */
function unpackDigits(emit: Emit, bytes: Value | undefined, bits: number, type: ComputeType): Value {
  const base = 2 ** bits;
  const parts: Value[] = [];
  let remainder = cast(emit, bytes, type);
  for (let part = 0; part < 8 / bits; part++) {
    const higher = emit.Floor([emit.Div([remainder, base])]);
    parts.push(emit.Unsqueeze([emit.Sub([remainder, emit.Mul([higher, base])]), [-1]]));
    remainder = higher;
  }
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : emit.Concat(parts, { axis: -1 });
}

const reshape = (emit: Emit, x: Value, dims: readonly number[]): Value => emit.Reshape([x, dims]);

function sliceFirst(emit: Emit, x: Value, axis: number, count: number): Value {
  return emit.Slice([x, [0], [count], [axis]]);
}

function multiplyAndAdd(emit: Emit, data: Value | undefined, matrix: Value, bias: Value | undefined): Value {
  const y = emit.MatMul([data, emit.Transpose([matrix], { perm: [1, 0] })]);
  return bias === undefined ? y : emit.Add([y, bias]);
}

function writeUnpackedProduct(emit: Emit, inputs: Inputs, matrix: Value | Miss, bias: Value | undefined) {
  return matrix instanceof Miss ? matrix : [multiplyAndAdd(emit, inputs[0], castLike(emit, matrix, inputs[0]), bias)];
}

type Values = readonly (Value | undefined)[];

/** Returns the role of a weight, outputs × inputs, packed in input 1. */
function packedWeightRole(site: Site, packed: PackedWeight, bias?: number): WeightRole | Miss {
  const data = dimsAt(site, 0);
  if (data instanceof Miss) return data;
  if (site.inputs[1]?.stored !== true) return new Miss("its weight is computed");
  const lastAxis = data.length - 1;
  const role = { input: 1, out: 0, in: 1, groups: 1, data: 0, dataAxis: lastAxis, outputAxis: lastAxis };
  const biasRole = bias !== undefined && site.inputs[bias]?.stored === true ? { bias } : {};
  const chain = chainProducts(1, (emit, [x, part], { isLast }, inputs) =>
    multiplyAndAdd(emit, x, requireValue(part), isLast && bias !== undefined ? inputs[bias] : undefined),
  );
  return { ...role, packed, ...biasRole, chain };
}

const inferProductOf = (site: Site, width: number) => inferShape(site, (dims) => [...dims.slice(0, -1), width]);

interface NBits {
  readonly inputs: number;
  readonly outputs: number;
  readonly bits: number;
  /** Weights per block. */
  readonly block: number;
  readonly isPrepacked: boolean;
}

const prepackedMiss = new Miss("its weight is packed for one kind of processor");
const reorderedInputs = new Miss("the order of its inputs is changed");

/** (quantized value - zero point) · scale, with one scale and zero point per block. */
function nbitsMatrix(s: NBits, emit: Emit, [, codes, scales, zero, order]: Values): Value | Miss {
  if (s.isPrepacked) return prepackedMiss;
  if (order !== undefined) return reorderedInputs;
  if (![2, 4, 8].includes(s.bits)) return new Miss(`values of ${s.bits} bits straddle bytes`);
  const type = computeTypeOf(scales);
  const count = Math.ceil(s.inputs / s.block);
  const blockDims = [s.outputs, count, 1];
  const numbers = reshape(emit, unpackDigits(emit, codes, s.bits, type), [s.outputs, count, s.block]);
  const unpackZeroPoints = (bytes: Value): Value => {
    const rows = reshape(emit, unpackDigits(emit, reshape(emit, bytes, [s.outputs, -1]), s.bits, type), [
      s.outputs,
      -1,
    ]);
    return sliceFirst(emit, rows, 1, count);
  };
  const zeroPoint =
    zero === undefined
      ? scalar(emit, type, 2 ** (s.bits - 1))
      : reshape(emit, typeOf(zero) === "uint8" ? unpackZeroPoints(zero) : cast(emit, zero, type), blockDims);
  const scaledValues = emit.Mul([emit.Sub([numbers, zeroPoint]), reshape(emit, cast(emit, scales, type), blockDims)]);
  return sliceFirst(emit, reshape(emit, scaledValues, [s.outputs, count * s.block]), 1, s.inputs);
}

/** Links the indices in each run of `length`, which share a block or byte. */
function linkRuns(end: AxisEnd, length: number, size: number): AxisLink {
  return { from: end, to: end, map: (index) => indicesOfRun(Math.floor(index / length), length, size) };
}

const indicesOfRun = (run: number, length: number, size: number): number[] =>
  range(Math.max(0, Math.min(length, size - run * length)), run * length);

/** Links outputs to rows, and inputs in complete blocks. */
function nbitsAxes(s: NBits, site: Site, dims: readonly Dim[]): AxisRule | Miss {
  if (s.isPrepacked) return prepackedMiss;
  if (site.inputs[4] !== undefined) return reorderedInputs;
  if (site.inputs[1]?.dims?.length !== 3)
    return new Miss("its quantized values are not stored as outputs × blocks × bytes");
  const lastAxis = dims.length - 1;
  const count = Math.ceil(s.inputs / s.block);
  const bitsAt = (input: number): number =>
    input === 3 && site.inputs[input]?.type === "uint8" && [2, 4].includes(s.bits) ? s.bits : 8;
  const links: readonly AxisLink[] = [
    ...sameAxes(dims.slice(0, -1)),
    linkRuns(["in0", lastAxis], s.block, s.inputs),
    { from: ["in1", 1], to: ["in0", lastAxis], map: (block) => indicesOfRun(block, s.block, s.inputs) },
    { from: ["in1", 0], to: ["out0", lastAxis] },
    { from: ["in5", 0], to: ["out0", lastAxis] },
  ];
  return {
    links,
    resize: ({ removed }) => {
      const [rows, blocks] = [keepIndices(s.outputs, removed(["in1", 0])), keepIndices(count, removed(["in1", 1]))];
      const inputs = s.inputs - removed(["in0", lastAxis]).length;
      const packedEntries = [2, 3].flatMap((input) => {
        const operand = site.inputs[input];
        if (operand === undefined) return [];
        const rank = operand.dims?.length ?? 2;
        return [[input, keepBlocks([s.outputs, count], [rows, blocks], bitsAt(input), rank)] as const];
      });
      return {
        attributes: { N: { kind: "int", value: rows.length }, K: { kind: "int", value: inputs } },
        packed: Object.fromEntries(packedEntries),
      };
    },
  };
}

const keepIndices = (size: number, indices: readonly number[]): readonly number[] => {
  const removedIndices = new Set(indices);
  return range(size).filter((index) => !removedIndices.has(index));
};

/** Selects the kept rows and blocks of a tensor with one value per block. Below 8 bits, each row starts with a new byte. */
function keepBlocks(
  [count, width]: readonly [rows: number, blocks: number],
  [rows, blocks]: readonly [readonly number[], readonly number[]],
  bits: number,
  rank: number,
): RemainingPart {
  const perByte = 8 / bits;
  const columns = Math.ceil(blocks.length / perByte);
  const dims = rank === 1 ? [rows.length * columns] : [rows.length, columns, 1].slice(0, rank);
  const type = bits === 4 ? "uint4" : "uint2";
  return {
    dims,
    of(before) {
      const select = (numbers: Dense): Dense => takeIndices(takeIndices(numbers, 0, rows), 1, blocks);
      if (perByte === 1) return { ...select({ ...before, dims: [count, width] }), dims };
      const paddedWidth = Math.ceil(width / perByte) * perByte;
      const data = Uint8Array.from(unpack(type, Uint8Array.from(toNumbers(before)), count * paddedWidth));
      const keptValues = toNumbers(select({ type: "uint8", dims: [count, paddedWidth], data }));
      const paddedValues = new Uint8Array(rows.length * columns * perByte);
      for (const row of rows.keys())
        paddedValues.set(keptValues.slice(row * blocks.length, (row + 1) * blocks.length), row * columns * perByte);
      return { type: "uint8", dims, data: pack(type, paddedValues) };
    },
  };
}

export const MatMulNBits = defineMicrosoftOp({
  name: "MatMulNBits",
  read: (site): NBits => ({
    inputs: readInteger(site, "K", 0),
    outputs: readInteger(site, "N", 0),
    bits: readInteger(site, "bits", 4),
    block: readInteger(site, "block_size", 32),
    isPrepacked: readFlag(site, "weight_prepacked"),
  }),
  infer: (s, site) => inferProductOf(site, s.outputs),
  parameters: [5],
  weight: (s, site) => {
    const matrix: PackedWeight["matrix"] = (emit, values) => nbitsMatrix(s, emit, values);
    return packedWeightRole(site, { outputs: s.outputs, inputs: s.inputs, bits: s.bits, matrix }, 5);
  },
  axes: nbitsAxes,
  lower: (s, emit, inputs) => writeUnpackedProduct(emit, inputs, nbitsMatrix(s, emit, inputs), inputs[5]),
  cost: (s, site) => withDims(site, [0], (x = []) => multiplyDims(elementCount(x), s.outputs)),
  quantize: storedQuantized,
  wrongInHalfInside: "accuracy_level",
});

interface Bnb4 extends Omit<NBits, "isPrepacked"> {
  readonly table: number;
  readonly isTransposed: boolean;
}

function bnb4Matrix(s: Bnb4, emit: Emit, [, codes, scales]: Values): Value | Miss {
  const table = Object.values(bnb4Tables)[s.table];
  if (table === undefined) return new Miss(`quantized values of type ${s.table} are not known`);
  if (!s.isTransposed) return new Miss("multiplies backwards");
  const type = computeTypeOf(scales);
  const count = s.inputs * s.outputs;
  const blocks = Math.ceil(count / s.block);
  // The first of two values is in the high half of the byte.
  const halves = emit.Cast([emit.Gather([unpackDigits(emit, codes, 4, type), [1, 0]], { axis: 1 })], {
    to: typeCodes.int64,
  });
  const numbers = emit.Gather([emit.constant(fromNumbers(type, [16], table), "codes"), reshape(emit, halves, [-1])], {
    axis: 0,
  });
  const values = sliceFirst(emit, numbers, 0, count);
  const paddedValues = blocks * s.block === count ? values : emit.Pad([values, [0, blocks * s.block - count]]);
  const scaledValues = emit.Mul([
    reshape(emit, paddedValues, [blocks, s.block]),
    reshape(emit, cast(emit, scales, type), [blocks, 1]),
  ]);
  return reshape(emit, sliceFirst(emit, reshape(emit, scaledValues, [-1]), 0, count), [s.outputs, s.inputs]);
}

export const MatMulBnb4 = defineMicrosoftOp({
  name: "MatMulBnb4",
  read: (site): Bnb4 => ({
    inputs: readInteger(site, "K", 0),
    outputs: readInteger(site, "N", 0),
    bits: 4,
    block: readInteger(site, "block_size", 32),
    table: readInteger(site, "quant_type", 0),
    isTransposed: readFlag(site, "transB", true),
  }),
  infer: (s, site) => inferProductOf(site, s.isTransposed ? s.outputs : s.inputs),
  parameters: [],
  weight: (s, site) => {
    const { outputs, inputs, bits, isTransposed } = s;
    const matrix: PackedWeight["matrix"] = (emit, values) => bnb4Matrix(s, emit, values);
    return packedWeightRole(site, {
      ...(isTransposed ? { outputs, inputs } : { outputs: inputs, inputs: outputs }),
      bits,
      matrix,
    });
  },
  axes: new Miss("the quantized values of all channels share one row, and blocks cross channel boundaries"),
  lower: (s, emit, inputs) => writeUnpackedProduct(emit, inputs, bnb4Matrix(s, emit, inputs), undefined),
  cost: (s, site) =>
    withDims(site, [0], (x = []) => multiplyDims(elementCount(x), s.isTransposed ? s.outputs : s.inputs)),
  quantize: storedQuantized,
});

interface TableInBlocks {
  /** The axis whose indices are selected. */
  readonly gather: number;
  /** The axis along which values form blocks. */
  readonly quantized: number;
  readonly block: number;
  /** Bits per value if the table consists of bytes. */
  readonly bits: number | undefined;
  /** The dimensions of the unpacked table. */
  readonly dims: readonly number[];
}

function tableRole(s: TableInBlocks, { inputs: [table, indices] }: Site): WeightRole | Miss {
  const { dims, gather, bits = 4 } = s;
  const [rows, width] = dims;
  if (table?.stored !== true || indices?.stored !== false || gather !== 0 || dims.length !== 2)
    return new Miss("does not look up rows of a stored table");
  const matrix: PackedWeight["matrix"] = (emit, values) => writeTable(s, emit, values);
  const packed = { outputs: width ?? 0, inputs: rows ?? 0, bits, matrix };
  const outputAxis = indices.dims?.length ?? -1;
  return { kind: "lookup", input: 0, out: 1, in: 0, groups: 1, data: 1, dataAxis: -1, outputAxis, packed };
}

function writeTable(s: TableInBlocks, emit: Emit, [table, , scales, zero]: Values): Value {
  const { bits } = s;
  const type = computeTypeOf(scales);
  const width = s.dims[s.quantized] ?? 1;
  const count = Math.ceil(width / s.block);
  const unpackValues = (codes: Value | undefined, dims: readonly number[]): Value => {
    if (bits === undefined) return cast(emit, codes, type);
    const rows = reshape(emit, unpackDigits(emit, codes, bits, type), [...dims.slice(0, -1), -1]);
    return sliceFirst(emit, rows, dims.length - 1, dims.at(-1) ?? 1);
  };
  const blocks = range(width).map((position) => Math.floor(position / s.block));
  const repeatPerBlock = (blockDims: Value): Value => emit.Gather([blockDims, blocks], { axis: s.quantized });
  const blockDims = s.dims.map((dim, axis) => (axis === s.quantized ? count : dim));
  const zeroPoint =
    zero === undefined
      ? scalar(emit, type, bits === undefined ? 0 : 2 ** (bits - 1))
      : repeatPerBlock(unpackValues(zero, blockDims));
  const numbers = emit.Mul([
    emit.Sub([unpackValues(table, s.dims), zeroPoint]),
    repeatPerBlock(cast(emit, scales, type)),
  ]);
  return castLike(emit, numbers, scales);
}

/** Links complete blocks, and complete bytes of values and zero points. */
function tableAxes(s: TableInBlocks, site: Site): readonly AxisLink[] | Miss {
  const indices = dimsAt(site, 1);
  if (indices instanceof Miss) return indices;
  const lastAxis = s.dims.length - 1;
  const perByte = s.bits === undefined ? 1 : 8 / s.bits;
  const indexLinks = indices.map((_, axis): AxisLink => ({ from: ["in1", axis], to: ["out0", s.gather + axis] }));
  const data = s.dims.flatMap((size, axis): AxisLink[] => {
    if (axis === s.gather)
      return [0, 2, 3].map((input) => ({ refuses: [`in${input}`, axis], reason: "rows are selected by position" }));
    const out: AxisEnd = ["out0", axis < s.gather ? axis : axis - 1 + indices.length];
    const valuesPerByte = axis === lastAxis ? perByte : 1;
    const block = axis === s.quantized ? s.block : 1;
    const runs = [valuesPerByte, block, site.inputs[3] === undefined ? 1 : valuesPerByte * block];
    const linkAlong = (input: number, run: number): AxisLink => ({
      from: [`in${input}`, axis],
      to: out,
      ...(run === 1 ? {} : { map: (index: number) => indicesOfRun(index, run, size) }),
    });
    return [
      linkAlong(0, valuesPerByte),
      linkAlong(2, block),
      linkAlong(3, valuesPerByte * block),
      ...runs.filter((run) => run > 1).map((run) => linkRuns(out, run, size)),
    ];
  });
  return [...indexLinks, ...data];
}

export const GatherBlockQuantized = defineMicrosoftOp({
  name: "GatherBlockQuantized",
  read: (site): TableInBlocks | Miss => {
    const { type, dims: storedDims } = requireInput(site, 0);
    const dims = fixedDims(storedDims);
    if (dims === undefined) return new Miss("the dimensions of its table are not known");
    const bits = type === "uint8" ? readInteger(site, "bits", 4) : undefined;
    const lastSize = (dims.at(-1) ?? 1) * (bits === undefined ? 1 : 8 / bits);
    return {
      gather: wrapAxis(readInteger(site, "gather_axis", 0), dims.length),
      quantized: wrapAxis(readInteger(site, "quantize_axis", 1), dims.length),
      block: readInteger(site, "block_size", 128),
      bits,
      dims: [...dims.slice(0, -1), lastSize],
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
  wants: (s) => requirePositions(1, s.dims[s.gather]),
  parameters: [],
  weight: tableRole,
  axes: tableAxes,
  cost: () => 0,
  lower: (s, emit, inputs) => [emit.Gather([writeTable(s, emit, inputs), inputs[1]], { axis: s.gather })],
  quantize: storedQuantized,
});
