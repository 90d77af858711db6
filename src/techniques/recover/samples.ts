/** Collects samples for block-wise recovery: inputs in the changed model, outputs of the original. Samples of different sizes stay padded. */

import { Miss } from "../../core/errors.ts";
import { sameDims } from "../../core/tensor/dims.ts";
import { random } from "../../core/tensor/random.ts";
import { takeIndices } from "../../core/tensor/take.ts";
import type { Batch, Dense } from "../../core/tensor/types.ts";
import { indexed, view } from "../../data/batches/indexed.ts";
import type { BatchStore } from "../../data/batches/store.ts";
import type { Dataset } from "../../data/batches/types.ts";
import type { Calibration } from "../calibrate/calibration.ts";
import { zipAsync } from "../calibrate/zip-async.ts";
import type { Survivors } from "./kept-channels.ts";

/** Name of the column with the original's outputs. */
export const targetColumn = "recover.wanted";

export interface Samples {
  readonly fit: Dataset;
  readonly check: Dataset;
  /** Samples per batch; 1 if batches have different sizes. */
  readonly batch: number;
  readonly batches: number;
}

/** Every fourth sample or batch is held out. */
const checkEvery = 4;
const isHeldOut = (index: number): boolean => index % checkEvery === checkEvery - 1;

export interface Source {
  readonly changedRun: Calibration;
  readonly inputs: readonly string[];
  readonly originalRun: Calibration;
  readonly target: string;
  readonly survivors: Survivors;
}

/** Stores the samples of a part; returns a Miss if a value has no batch axis. */
export async function samplesOf(
  store: BatchStore,
  { changedRun, inputs, originalRun, target, survivors }: Source,
  name: string,
  batch: number,
): Promise<Samples | Miss> {
  const sizes = new Map<string, readonly number[]>();
  let isUniform = true;
  let count = 0;
  for await (const [inputValues, { [target]: targetValues }] of zipAsync(
    changedRun.values(inputs),
    originalRun.values([target]),
  )) {
    if (targetValues === undefined) return new Miss("the original has no output there", name);
    const row: Batch = { ...inputValues, [targetColumn]: selectSurvivors(targetValues, survivors.get(target)) };
    for (const [column, { dims }] of Object.entries(row)) {
      if (dims[0] !== targetValues.dims[0]) return new Miss(`"${column}" has no batch axis`, name);
      const sampleDims = dims.slice(1);
      isUniform &&= sameDims(sampleDims, sizes.get(column) ?? sampleDims);
      sizes.set(column, sampleDims);
    }
    await store.add(row);
    count++;
  }
  const all = Array.from({ length: isUniform ? store.count : count }, (_, index) => index);
  const [fit, check] = [all.filter((index) => !isHeldOut(index)), all.filter(isHeldOut)];
  if (fit.length === 0 || check.length === 0) return new Miss("too few samples are left for validation", name);
  if (!isUniform)
    return { fit: selectBatches(store, fit), check: selectBatches(store, check), batch: 1, batches: fit.length };
  const data = indexed(name, store.count, (positions) => store.gather(positions));
  const part = (positions: readonly number[]): Dataset => view(data, name, Uint32Array.from(positions));
  const size = Math.min(batch, fit.length);
  return { fit: part(fit), check: part(check), batch: size, batches: Math.floor(fit.length / size) };
}

function selectSurvivors(dense: Dense, axes: ReadonlyMap<number, readonly number[]> | undefined): Dense {
  let result = dense;
  for (const [axis, indices] of axes ?? [])
    if (indices.length !== result.dims[axis]) result = takeIndices(result, axis, indices);
  return result;
}

/** Yields stored batches in an order drawn from the seed. */
function selectBatches(store: BatchStore, positions: readonly number[]): Dataset {
  return {
    name: store.name,
    count: undefined,
    async *batches({ shuffle }) {
      const order =
        shuffle === undefined ? positions.keys() : random(shuffle, "shuffle").permutation(positions.length).values();
      for (const index of order) yield await store.batch(positions[index] ?? 0);
    },
  };
}
