/** What is left of each layer's weight in a changed model: the stored numbers, dequantized, against the original's. */
import { type Inference, infer } from "../analysis/infer.ts";
import { type Layer, layers as layersOf } from "../analysis/layers.ts";
import { counterpartsAmong } from "../analysis/match.ts";
import { isStored } from "../analysis/stored-root.ts";
import { weightStorage } from "../analysis/weight.ts";
import type { Engine } from "../engine/engine.ts";
import { refusalIn, stopIfAsked } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { fuseBatchNorm } from "../passes/fuse-batch-norm.ts";
import { lowerFused } from "../passes/lower-fused.ts";
import { storeWeights } from "../passes/store-constants.ts";
import { readStoredValue } from "../passes/stored.ts";
import { isFloat, toFloat64, toNumbers } from "../tensor/convert.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";
import { Difference } from "./difference.ts";

/**
 * Signal to noise of each layer's weight in decibels, infinite where it is as it was, or as it is with the normalization behind it folded in. A layer is left out whose weight is gone, has another size, or
 * lies in a form that says nothing of its scales. Holds one weight of each model at a time.
 */
export async function weightErrors(
  engine: Engine,
  original: Model,
  candidate: Model,
  signal?: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const [before, after] = [original.clone(), candidate.clone()];
  for (const model of [before, after]) storeWeights(model);
  const folded = before.clone();
  await fuseBatchNorm(folded, {}, { engine });
  const layers = layersOf(after, infer(after));
  const counterparts = counterpartsAmong(layers);
  const packed = layers.filter((layer) => weightStorage(layer) === "packed");
  const unpacked = packed.length === 0 ? after : await written(after, packed);
  const ofFolded = new Map(layersOf(folded, infer(folded)).map((layer) => [layer.name, layer]));
  const found = new Map<string, number>();
  for (const layer of layersOf(before, infer(before))) {
    stopIfAsked(signal, "Stopped while weights were compared.");
    const own = counterparts(layer).find(({ role }) => role.kind === layer.role.kind);
    if (own === undefined || found.has(layer.name)) continue;
    try {
      const numbers = await dequantized(engine, { after, unpacked }, own, layer);
      if (numbers === undefined) continue;
      const errors = [await errorOf(engine, before, layer, numbers)];
      const other = ofFolded.get(layer.name);
      if (other !== undefined && other.weight.tensor !== layer.weight.tensor)
        errors.push(await errorOf(engine, folded, other, numbers));
      const known = errors.filter((error) => error !== undefined);
      if (known.length > 0) found.set(layer.name, Math.max(...known));
    } catch (error) {
      // A weight of operators that this runtime does not have.
      refusalIn(error);
    }
  }
  return found;
}

/** A copy in which packed blocks are unpacked by arithmetic. */
async function written(model: Model, packed: readonly Layer[]): Promise<Model> {
  const copy = model.clone();
  const operators = new Set(packed.map(({ node }) => (node.domain === "" ? node.op : `${node.domain}.${node.op}`)));
  await lowerFused(copy, { operators: [...operators] });
  return copy;
}

interface Numbers {
  /** The axis of the outputs. */
  readonly out: number;
  readonly data: Float64Array;
}

async function dequantized(
  engine: Engine,
  { after, unpacked }: { readonly after: Model; readonly unpacked: Model },
  own: Layer,
  layer: Layer,
): Promise<Numbers | undefined> {
  const read = async (model: Model, value: Value, out: number): Promise<Numbers> => ({
    out,
    data: toFloat64(await readStoredValue(model, value, engine)),
  });
  if (own.role.packed !== undefined) {
    const output = unpacked.graph.value(own.node.outputs[0]?.name ?? "");
    const count = elementCount(fixedDims(layer.effective.type?.dims) ?? []);
    const matrix = output === undefined ? undefined : matrixBehind(output, count, infer(unpacked));
    return matrix === undefined ? undefined : read(unpacked, matrix, own.role.kind === "lookup" ? layer.role.out : 1);
  }
  const { type } = own.effective.type ?? {};
  if (type === undefined || isFloat(type)) return read(after, own.effective, own.role.out);
  return scaledCodes(engine, after, own);
}

/** Nodes between a packed layer's result and its matrix, at most. */
const mostNodes = 24;

function matrixBehind(output: Value, count: number, inference: Inference): Value | undefined {
  const work = [output];
  for (let at = 0; at < Math.min(work.length, mostNodes); at++) {
    for (const value of work[at]?.producer?.inputs ?? []) {
      if (value === undefined) continue;
      const operand = inference.operand(value);
      if (operand === undefined || !isStored(value)) work.push(value);
      else if (isFloat(operand.type) && elementCount(fixedDims(operand.dims) ?? []) === count) return value;
    }
  }
  return undefined;
}

/** Codes whose scale multiplies the result: it lies beside them, under the name by which quantizers call it. */
async function scaledCodes(engine: Engine, model: Model, { effective, role }: Layer): Promise<Numbers | undefined> {
  const stem = effective.name.replace(/_quantized$/, "");
  const [scale, zero] = [`${stem}_scale`, `${stem}_zero_point`].map((name) => model.graph.value(name));
  const dims = fixedDims(effective.type?.dims);
  if (scale === undefined || dims === undefined) return undefined;
  const read = async (value: Value): Promise<readonly number[]> => [
    ...toNumbers(await readStoredValue(model, value, engine)),
  ];
  const [scales, zeros] = [await read(scale), zero === undefined ? [0] : await read(zero)];
  const axes = role.kind === "lookup" ? [role.in, role.out] : [role.out, role.in];
  const axis = axes.find((one) => dims[one] === scales.length) ?? (scales.length === 1 ? 0 : undefined);
  if (axis === undefined || ![1, scales.length].includes(zeros.length)) return undefined;
  const inner = dims.slice(axis + 1).reduce((product, dim) => product * dim, 1);
  const data = toFloat64(await readStoredValue(model, effective, engine)).map((code, index) => {
    const channel = Math.floor(index / inner) % (dims[axis] ?? 1);
    return (code - (zeros[zeros.length === 1 ? 0 : channel] ?? 0)) * (scales[scales.length === 1 ? 0 : channel] ?? 0);
  });
  return { out: role.out, data };
}

/** @param out the axis of the outputs, which products in place of a layer may have at another place. */
async function errorOf(
  engine: Engine,
  model: Model,
  { effective, role }: Layer,
  { out, data }: Numbers,
): Promise<number | undefined> {
  const numbers = toFloat64(await readStoredValue(model, effective, engine));
  if (numbers.length !== data.length) return undefined;
  const [rows = 1, columns = 1, ...rest] = fixedDims(effective.type?.dims) ?? [];
  const isTurned = out !== role.out && rest.length === 0;
  const error = new Difference();
  for (const [at, value] of numbers.entries()) {
    const place = isTurned ? (at % columns) * rows + Math.floor(at / columns) : at;
    error.add(value, data[place] ?? 0);
  }
  return error.signalToNoise;
}
