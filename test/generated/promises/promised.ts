/** The interface of a promise, and helpers of several promises. */

import { infer } from "../../../src/core/analysis/infer.ts";
import { allLayers, type Layer } from "../../../src/core/analysis/layers.ts";
import type { Value } from "../../../src/core/graph/graph.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { stridesOf } from "../../../src/core/tensor/axis-layout.ts";
import { toFloat64, toNumbers } from "../../../src/core/tensor/convert.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { dimsText, elementCount, isUnknownDim } from "../../../src/core/tensor/dims.ts";
import type { Batch, DataType, Dense } from "../../../src/core/tensor/types.ts";
import { storeConstants, storeWeights } from "../../../src/rewrite/clean-up/store-constants.ts";
import { readStoredValue } from "../../../src/rewrite/edit/stored-values.ts";
import type { Network } from "../network.ts";
import { engine, expectThat, originalAnswers } from "../runs.ts";

export interface Promised {
  readonly name: string;
  /** Number of networks in the slow suite, if it differs from that of the other promises. */
  readonly networks?: number;
  keep(network: Network): Promise<void>;
}

/** The values of a layer's weight, as its node reads them. */
export interface Weight {
  /** Name of the value that the node reads: another layer of the same name can read the transposed matrix. */
  readonly read: string;
  readonly numbers: Float64Array;
  /** Type of the values, if they are not packed. */
  readonly type?: DataType;
  readonly dims: readonly number[];
  /** The axis of output channels. */
  readonly out: number;
  /** The axis of the scales: for an embedding table its rows. */
  readonly slices: number;
  /** Format of packed blocks, whose values are in the order outputs × inputs, or in the rows of a table. */
  readonly block?: { readonly size: number; readonly bits: number };
}

/** Returns the weight of each layer by name. */
export async function weights(model: Model): Promise<ReadonlyMap<string, Weight>> {
  const weightsByName = new Map<string, Weight>();
  // Only stored constants count as weights of layers.
  const copy = model.clone();
  storeWeights(copy);
  for (const layer of allLayers(copy, infer(copy))) {
    // Another layer reads the same matrix, possibly transposed.
    if (weightsByName.has(layer.name)) continue;
    if (layer.role.packed !== undefined && layer.node.attributes.has("bits")) {
      weightsByName.set(layer.name, await inBlocks(layer));
      continue;
    }
    const dense = await readStoredValue(copy, layer.effective, engine);
    const isTable = layer.role.kind === "lookup";
    const numbers = isTable ? await rowsOf(layer, dense) : dense;
    weightsByName.set(layer.name, {
      read: layer.effective.name,
      numbers: toFloat64(numbers),
      type: dense.type,
      dims: dense.dims,
      out: layer.role.out,
      slices: layer.role[isTable ? "in" : "out"],
    });
  }
  return weightsByName;
}

/** Dequantizes packed values: the low bits come first, and the zero points of each row start at a new byte. */
async function inBlocks({ node, role, weight, effective, outputs, inputs }: Layer): Promise<Weight> {
  const [rows, width] = role.kind === "lookup" ? [inputs, outputs] : [outputs, inputs];
  const [bits, size] = ["bits", "block_size"].map((name) => Number(node.attributes.get(name)?.value)) as [
    number,
    number,
  ];
  const read = async (value: Value | undefined): Promise<readonly number[]> =>
    value?.tensor === undefined ? [] : toNumbers(await value.tensor.read());
  const [codes, scale, zero] = [await read(weight), await read(node.inputs[2]), await read(node.inputs[3])];
  const count = Math.ceil(width / size);
  const code = (bytes: readonly number[], row: number, at: number): number =>
    ((bytes[(row * bytes.length) / rows + Math.floor((at * bits) / 8)] ?? 0) >> ((at * bits) % 8)) & (2 ** bits - 1);
  const numbers = Float64Array.from({ length: rows * width }, (_, at) => {
    const [row, column] = [Math.floor(at / width), at % width];
    const block = Math.floor(column / size);
    const middle = zero.length === 0 ? 2 ** (bits - 1) : code(zero, row, block);
    return (code(codes, row, column) - middle) * (scale[row * count + block] ?? 0);
  });
  return { read: effective.name, numbers, dims: [rows, width], out: 0, slices: 0, block: { size, bits } };
}

/** Returns the values of an embedding table. A quantized table is dequantized only after the lookup. */
async function rowsOf({ weight, role }: Layer, dense: Dense): Promise<Dense> {
  if (dense.type !== "int8" && dense.type !== "uint8") return dense;
  const part = (name: string): Promise<Dense> | undefined =>
    weight.graph.value(weight.name.replace(/_quantized$/, name))?.tensor?.read();
  const [scale, zeroPoint] = [await part("_scale"), await part("_zero_point")];
  const along = scale === undefined || scale.dims.length === 0 ? undefined : role.in;
  const inner = along === undefined ? elementCount(dense.dims) : (stridesOf(dense.dims)[along] ?? 1);
  const scales = scale === undefined ? [1] : toNumbers(scale);
  const zero = zeroPoint === undefined ? (dense.type === "int8" ? 0 : 128) : (toNumbers(zeroPoint)[0] ?? 0);
  const numbers = toNumbers(dense).map(
    (code, at) => (code - zero) * (scales[Math.floor(at / inner) % scales.length] ?? 0),
  );
  return float32(dense.dims, numbers);
}

/** Returns the inputs as samples; undefined if the inputs differ in their number of rows. */
export function samplesOf(network: Network, count: number, seed: number): Batch | undefined {
  const feeds = network.feeds(count, seed);
  const rows = new Set(Object.values(feeds).map(({ dims }) => dims[0]));
  return rows.size === 1 && rows.has(count) ? feeds : undefined;
}

/** Checks that the outputs have the sizes of the original's, except sizes that depend on values, such as the number of boxes. */
export async function expectSameShapes(network: Network, got: readonly Batch[]): Promise<void> {
  infer(network.model);
  const open = new Set(
    network.model.graph.outputs.flatMap(({ name, type }) => (type?.dims?.some(isUnknownDim) === false ? [] : [name])),
  );
  (await originalAnswers(network)).forEach((batch, at) => {
    for (const [name, dense] of Object.entries(batch)) {
      const other = got[at]?.[name];
      expectThat(
        other?.type === dense.type && (open.has(name) || dimsText(other.dims) === dimsText(dense.dims)),
        `"${name}" was ${dense.type}[${dense.dims}], is ${other?.type}[${other?.dims}]`,
      );
    }
  });
}

/**
 * Returns the original with replaced weights; undefined if a layer reads no stored float32 tensor, or if two layers read one along
 * different axes, which have different scales.
 */
export async function withWeights(
  original: Model,
  numbers: ReadonlyMap<string, ArrayLike<number>>,
): Promise<Model | undefined> {
  const model = original.clone();
  await storeConstants(model);
  const layerList = allLayers(model, infer(model));
  const all = new Map(layerList.map((layer) => [layer.name, layer.effective]));
  const slices = new Map(layerList.map(({ effective, role }) => [effective, role.out]));
  if (layerList.some(({ effective, role }) => slices.get(effective) !== role.out)) return undefined;
  for (const [name, values] of numbers) {
    const value = all.get(name);
    const tensor = value?.tensor;
    if (value === undefined || tensor?.type !== "float32" || elementCount(tensor.dims) !== values.length)
      return undefined;
    value.tensor = inMemory(float32(tensor.dims, Float32Array.from(values)));
  }
  return model;
}
