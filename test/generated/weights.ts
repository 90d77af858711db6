/** Kinds of weights that trained, pruned and exported files contain but random numbers do not. */
import type { Emit } from "../../src/core/graph/emit.ts";
import type { Value } from "../../src/core/graph/graph.ts";
import { fromNumbers, integerRange } from "../../src/core/tensor/convert.ts";
import { float32 } from "../../src/core/tensor/dense.ts";
import { elementCount } from "../../src/core/tensor/dims.ts";
import { type Random, random } from "../../src/core/tensor/random.ts";
import type { Dense } from "../../src/core/tensor/types.ts";

/** Fills an array of the given dimensions in place. `scale` keeps sums of a row near 1. */
type Kind = (data: Float32Array, dims: readonly number[], numbers: Random, scale: number) => void;

const normal: Kind = (data, _, numbers, scale) => {
  for (let at = 0; at < data.length; at++) data[at] = numbers.normal(0, scale);
};

/** Returns normal weights with `change` applied to some rows (indices along an axis), at least one. */
const rows =
  (axis: number, change: (row: Float32Array, first: Float32Array, numbers: Random) => void): Kind =>
  (data, dims, numbers, scale) => {
    normal(data, dims, numbers, scale);
    const along = Math.min(axis, Math.max(0, dims.length - 1));
    const count = dims[along] ?? 1;
    const inner = dims.slice(along + 1).reduce((product, dim) => product * dim, 1);
    const read = (index: number): Float32Array =>
      data.filter((_, at) => Math.floor(at / inner) % Math.max(1, count) === index);
    const write = (index: number, row: Float32Array): void => {
      let next = 0;
      data.forEach((_, at) => {
        if (Math.floor(at / inner) % Math.max(1, count) === index) data[at] = row[next++] ?? 0;
      });
    };
    const first = read(0);
    for (let index = 0; index < count; index++) {
      if (index !== count - 1 && numbers.integer(3) > 0) continue;
      const row = read(index);
      change(row, first, numbers);
      write(index, row);
    }
  };

const all =
  (value: (numbers: Random, scale: number) => number): Kind =>
  (data, _, numbers, scale) => {
    for (let at = 0; at < data.length; at++) data[at] = value(numbers, scale);
  };

/** The kinds, simplest first: a failing network shrinks towards them. */
const kinds: readonly Kind[] = [
  normal,
  all(() => 0),
  all(() => 1),
  all(() => 0.375),
  // Some channels are 0: outputs, then inputs.
  rows(0, (row) => row.fill(0)),
  rows(1, (row) => row.fill(0)),
  // Some channels are equal, or equal up to a factor.
  rows(0, (row, first) => row.set(first)),
  rows(0, (row, first) => row.set(first.map((value) => -2 * value))),
  // Some rows are constant.
  rows(0, (row) => row.fill(row[0] ?? 0)),
  // One channel is much larger than the others, which saturates activations and per-tensor grids.
  (data, dims, numbers, scale) => {
    normal(data, dims, numbers, scale);
    const share = Math.ceil(data.length / Math.max(1, dims[0] ?? 1));
    for (let at = 0; at < share; at++) data[at] = 300 * (data[at] ?? 0);
  },
  all((numbers, scale) => 1e-7 * numbers.normal(0, scale)),
  // Most weights are zero, as after pruning; some of the zeros are negative.
  all((numbers, scale) => (numbers.integer(4) === 0 ? numbers.normal(0, scale) : numbers.integer(2) === 0 ? 0 : -0)),
  // The weights have few levels, as after quantization.
  all((numbers) => (numbers.integer(5) - 2) / 4),
  all((numbers) => Math.abs(numbers.normal(0, 0.5))),
  // The weight has rank 1 if it is a matrix.
  (data, dims, numbers, scale) => {
    const outputs = Math.max(1, dims[0] ?? 1);
    const inner = Math.max(1, data.length / outputs);
    const [columnFactors, rowFactors] = [outputs, inner].map((count) =>
      Array.from({ length: count }, () => numbers.normal()),
    );
    for (let at = 0; at < data.length; at++)
      data[at] = scale * (columnFactors?.[Math.floor(at / inner)] ?? 0) * (rowFactors?.[at % inner] ?? 0);
  },
];

export const kindsOfWeights = kinds.length;

/** @param fanIn number of products that are summed into one output. */
export function weightOf(dims: readonly number[], kind: number, name: string, fanIn: number): Dense<"float32"> {
  const data = new Float32Array(elementCount(dims));
  (kinds[kind % kinds.length] ?? normal)(data, dims, random(1, name), 1 / Math.sqrt(Math.max(1, fanIn)));
  return float32(dims, data);
}

/** Storage format of a quantized weight. */
export interface CodesForm {
  readonly type?: "int8" | "uint8" | "int4" | "uint4";
  /** Axis of the scales; a negative axis counts from the end. */
  readonly axis?: number;
  /** Number of consecutive values along the axis that share a scale. */
  readonly block?: number;
  /** Whether the zero point is omitted, which means 0. */
  readonly plain?: true;
}

/** The formats, simplest first. Four bits and blocks require opset 21. */
export const codesForms: readonly CodesForm[] = [
  {},
  { type: "uint8" },
  { axis: 0 },
  { axis: -1 },
  { type: "uint8", axis: 0 },
  { plain: true },
  { type: "int4", axis: -1 },
  { type: "uint4", axis: 0, block: 16 },
  { type: "uint4", axis: -1, block: 2 },
  { axis: 0, block: 2, plain: true },
];

/** Quantizes a weight: x ≈ (code - zero point) · scale, with the scale from the largest value that shares it. */
export function inCodes(
  emit: Emit,
  { dims, data }: Dense<"float32">,
  name: string,
  { type = "int8", axis: along, block, plain }: CodesForm,
): Value {
  const axis = along === undefined || dims.length === 0 ? undefined : along < 0 ? dims.length + along : along;
  const inner = axis === undefined ? 1 : dims.slice(axis + 1).reduce((product, dim) => product * dim, 1);
  const size = axis === undefined ? 1 : (dims[axis] ?? 1);
  const parts = axis === undefined ? 1 : Math.ceil(size / (block ?? 1));
  // Returns the index of the scale: one for all values, one for each index along the axis, or one for each block.
  const scaleOf = (at: number): number => {
    if (axis === undefined) return 0;
    const index = Math.floor(at / inner) % size;
    if (block === undefined) return index;
    return (Math.floor(at / (inner * size)) * parts + Math.floor(index / block)) * inner + (at % inner);
  };
  const scaleDims =
    axis === undefined ? [] : block === undefined ? [size] : dims.map((dim, at) => (at === axis ? parts : dim));
  const largest = new Float32Array(elementCount(scaleDims));
  data.forEach((value, at) => {
    largest[scaleOf(at)] = Math.max(largest[scaleOf(at)] ?? 0, Math.abs(value));
  });
  const [least, most] = integerRange[type];
  const zero = least === 0 ? (most + 1) / 2 : 0;
  const scales = largest.map((value) => (value === 0 ? 1 : value / (most - zero)));
  const codes = Array.from(data, (value, at) => Math.round(value / (scales[scaleOf(at)] ?? 1)) + zero);
  const operands = [
    emit.constant(fromNumbers(type, dims, codes), name),
    emit.constant(float32(scaleDims, scales), `${name}_scale`),
    ...(plain === true && zero === 0
      ? []
      : [emit.constant(fromNumbers(type, scaleDims, new Array(scales.length).fill(zero)), `${name}_zero`)]),
  ];
  return emit.DequantizeLinear(operands, {
    ...(axis === undefined ? {} : { axis }),
    ...(block === undefined || axis === undefined ? {} : { block_size: block }),
  });
}

/** Ways to store a weight: directly, in a node, in another type, transposed, quantized, masked. Simplest first. */
export const forms: readonly ((emit: Emit, dense: Dense<"float32">, name: string) => Value)[] = [
  (emit, dense, name) => emit.constant(dense, name),
  (emit, dense) => emit.Constant([], { value: dense }),
  (emit, dense, name) => emit.Identity([emit.constant(dense, name)]),
  (emit, { dims, data }, name) => {
    const last = dims.length - 1;
    const perm = dims.map((_, axis) => last - axis);
    const turned = new Float32Array(data.length);
    const strides = dims.map((_, axis) => dims.slice(axis + 1).reduce((product, dim) => product * dim, 1));
    const turnedDims = dims.toReversed();
    turned.forEach((_, at) => {
      let [rest, from] = [at, 0];
      for (let axis = last; axis >= 0; axis--) {
        const size = turnedDims[axis] ?? 1;
        from += (rest % size) * (strides[last - axis] ?? 0);
        rest = Math.floor(rest / size);
      }
      turned[at] = data[from] ?? 0;
    });
    return emit.Transpose([emit.constant(float32(turnedDims, turned), name)], { perm });
  },
  (emit, { dims, data }, name) => emit.Cast([emit.constant(fromNumbers("float16", dims, data), name)], { to: 1 }),
  (emit, dense, name) => inCodes(emit, dense, name, {}),
  (emit, dense, name) =>
    emit.named(name).Mul([
      emit.constant(dense, `${name}_orig`, { kind: "parameter" }),
      emit.constant(
        float32(
          dense.dims,
          Array.from(dense.data, (_, at) => (at % 3 === 1 ? 0 : 1)),
        ),
        `${name}_mask`,
        { kind: "mask" },
      ),
    ]),
];
