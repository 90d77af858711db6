/**
 * Caches the outputs of a frozen part (a teacher, a backbone) per sample, by a hash of the sample's inputs. Outputs must not depend on other samples
 * of the batch: the first batch is run again, shifted by one sample, and the cache is disabled if outputs differ.
 */
import { downstreamValues, infer } from "#analysis";
import {
  type BatchStore,
  bytesOfBatch,
  elementBytes,
  gatherRows,
  haveSameElements,
  mapColumns,
  openStorage,
} from "#batches";
import { type Batch, type Dense, type Model, sameDims } from "#ir";
import { sha256Text } from "../../core/files/hash.ts";

export interface CacheBudget {
  bytesLeft: number;
  /** Samples of an epoch, if known. A cache that is too small for all of them is disabled. */
  readonly samples: number | undefined;
}

export const cacheBytes = 2 ** 30;

export interface FrozenPart {
  run(feeds: Batch): Promise<Batch>;
  release(): Promise<void>;
}

/** @param frozen Its graph, with fixed sizes. */
export function withOutputCache(session: FrozenPart, frozen: Model, budget: CacheBudget): FrozenPart {
  const { graph } = frozen;
  const inputDependents = downstreamValues(graph, graph.feeds, infer(frozen));
  const constantNames = new Set(graph.outputs.flatMap((output) => (inputDependents.has(output) ? [] : [output.name])));
  const selectVarying = (outputs: Batch): Batch => selectTensors(outputs, (name) => !constantNames.has(name));
  const positions = new Map<string, number>();
  const storage = openStorage();
  let store: BatchStore | undefined;
  let constants: Batch = {};
  let [isEnabled, bytesUsed] = [true, 0];

  const disable = async (): Promise<void> => {
    isEnabled = false;
    positions.clear();
    budget.bytesLeft += bytesUsed;
    bytesUsed = 0;
    await storage.release();
  };

  /** Starts the cache if outputs do not depend on other samples, and the outputs of an epoch fit the budget. */
  const startCache = async (feeds: Batch, outputs: Batch, keys: readonly string[]): Promise<void> => {
    const count = keys.length;
    if (new Set(keys).size < 2 && count > 1) return;
    const values = selectVarying(outputs);
    const isTooLarge = (bytesOfBatch(values) / count) * (budget.samples ?? 0) > budget.bytesLeft;
    if (isTooLarge || !(await arePerSample(session, feeds, values, count))) return disable();
    constants = selectTensors(outputs, (name) => constantNames.has(name));
    store = storage.store("frozen outputs");
  };

  return {
    async run(feeds) {
      const count = isEnabled ? countOf(feeds) : undefined;
      if (count === undefined) return session.run(feeds);
      const keys = await keysOf(feeds, count);
      const cached = keys.map((key) => positions.get(key));
      if (store !== undefined && cached.every((position) => position !== undefined))
        return { ...constants, ...joinSamples(await store.gather(Uint32Array.from(cached))) };
      const outputs = await session.run(feeds);
      if (store === undefined) await startCache(feeds, outputs, keys);
      if (store === undefined) return outputs;
      const values = splitSamples(selectVarying(outputs), count);
      const cachedIndex = cached.findIndex((position) => position !== undefined);
      const isDifferent =
        cachedIndex >= 0 &&
        !areEqual(await store.gather(Uint32Array.of(cached[cachedIndex] ?? 0)), selectRows(values, [cachedIndex]));
      if (isDifferent) {
        await disable();
        return outputs;
      }
      const missingKeys = [...new Map(keys.map((key, index) => [key, index]))].filter(([key]) => !positions.has(key));
      if (missingKeys.length === 0) return outputs;
      const newRows = selectRows(
        values,
        missingKeys.map(([, index]) => index),
      );
      const bytes = bytesOfBatch(newRows);
      if (bytes > budget.bytesLeft) return outputs;
      budget.bytesLeft -= bytes;
      bytesUsed += bytes;
      for (const [index, [key]] of missingKeys.entries()) positions.set(key, store.count + index);
      await store.add(newRows);
      return outputs;
    },
    async release() {
      await disable();
      await session.release();
    },
  };
}

/** Returns the common first dimension of all inputs; undefined if inputs differ, or contain strings. */
function countOf(feeds: Batch): number | undefined {
  if (Object.values(feeds).some(({ type }) => type === "string")) return undefined;
  const [count, ...otherCounts] = new Set(Object.values(feeds).map(({ dims }) => dims[0]));
  return otherCounts.length > 0 ? undefined : count;
}

async function keysOf(feeds: Batch, count: number): Promise<readonly string[]> {
  const columns = Object.values(feeds).map(elementBytes);
  const row = (index: number) =>
    columns.map((bytes) => bytes.subarray((index * bytes.length) / count, ((index + 1) * bytes.length) / count));
  return Promise.all(Array.from({ length: count }, (_, index) => sha256Text(row(index))));
}

/** A second run with shifted samples must yield the same outputs, shifted. */
async function arePerSample(session: FrozenPart, feeds: Batch, values: Batch, count: number): Promise<boolean> {
  const hasSampleRows = ({ dims: [first = 0], type }: Dense): boolean =>
    type !== "string" && first > 0 && first % count === 0;
  if (!Object.values(values).every(hasSampleRows)) return false;
  if (count === 1) return true;
  const shiftedIndices = Array.from({ length: count }, (_, index) => Math.max(0, index - 1));
  const repeatedValues = selectTensors(await session.run(selectRows(feeds, shiftedIndices)), (name) => name in values);
  return areEqual(splitSamples(repeatedValues, count), selectRows(splitSamples(values, count), shiftedIndices));
}

export const selectTensors = (batch: Batch, isSelected: (name: string) => boolean): Batch =>
  Object.fromEntries(Object.entries(batch).filter(([name]) => isSelected(name)));

const selectRows = (batch: Batch, positions: readonly number[]): Batch =>
  mapColumns(batch, (dense) => gatherRows(dense, Uint32Array.from(positions)));

/** Outputs [4 · n, …] of n samples become [n, 4, …]: the rows of a sample are adjacent. */
const splitSamples = (batch: Batch, count: number): Batch =>
  mapColumns(batch, (dense) => {
    const [first = 0, ...innerDims] = dense.dims;
    return { ...dense, dims: [count, first / count, ...innerDims] } as Dense;
  });

const joinSamples = (batch: Batch): Batch =>
  mapColumns(batch, (dense) => {
    const [count = 0, rowsOfSample = 0, ...innerDims] = dense.dims;
    return { ...dense, dims: [count * rowsOfSample, ...innerDims] } as Dense;
  });

function areEqual(a: Batch, b: Batch): boolean {
  return Object.entries(a).every(([name, dense]) => {
    const other = b[name];
    return other !== undefined && sameDims(dense.dims, other.dims) && haveSameElements(dense, other);
  });
}
