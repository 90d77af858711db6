/**
 * Caches the outputs of a frozen part (a teacher, a backbone) per sample during a training, by a hash of the sample's inputs.
 *
 * Results must be bit-identical without the cache, so outputs must not depend on other samples of the batch. The first batch is
 * run again, shifted by one sample. If outputs differ (batch statistics, contrastive outputs, position-dependent rounding), or a
 * later run differs from a cached output, the cache is disabled.
 */
import { cost } from "../../core/analysis/cost.ts";
import { downstream } from "../../core/analysis/downstream.ts";
import { infer } from "../../core/analysis/infer.ts";
import type { Model } from "../../core/graph/model.ts";
import { bytesFor } from "../../core/tensor/dense.ts";
import { elementCount, fixedDims, sameDims } from "../../core/tensor/dims.ts";
import type { Batch, Dense } from "../../core/tensor/types.ts";
import { elementBytes, haveSameElements, sha256Text } from "../../data/hash.ts";
import { gatherRows, mapColumns } from "../../data/rows.ts";
import { type BatchStore, openStorage } from "../../data/store.ts";

export interface CacheBudget {
  bytesLeft: number;
  /** Samples of an epoch, if known: a cache that cannot hold all of them is disabled. */
  readonly samples: number | undefined;
}

/** The cache is disabled if fewer than `leastShare` of the samples were cached after this many epochs. */
const patience = 3;
const leastShare = 0.1;

/** Bytes of cached outputs during a training. */
export const cacheBytes = 2 ** 30;

/** The hash of an input byte takes about as long as 150 multiply-accumulates: 15 ns on one thread. */
const macsPerHashedByte = 150;

/** Whether a part runs longer than the hash of its inputs, so that cached outputs save time. @param frozen Its graph, with fixed sizes. */
export function isDearerThanHash(frozen: Model): boolean {
  const inference = infer(frozen);
  const { macs } = cost(frozen, inference);
  let bytes = 0;
  for (const { type } of frozen.graph.feeds) {
    const dims = fixedDims(type?.dims);
    if (type === undefined || type.type === "string" || dims === undefined) return true;
    bytes += bytesFor(type.type, elementCount(dims));
  }
  return typeof macs !== "number" || macs > macsPerHashedByte * bytes;
}

export interface FrozenPart {
  run(feeds: Batch): Promise<Batch>;
  release(): Promise<void>;
}

/** Wraps a session of a frozen part with a cache. @param frozen Its graph, with fixed sizes. */
export function withAnswersKept(session: FrozenPart, frozen: Model, kept: CacheBudget): FrozenPart {
  const { graph } = frozen;
  const varying = downstream(graph, graph.feeds, infer(frozen));
  const fixed = new Set(graph.outputs.flatMap((output) => (varying.has(output) ? [] : [output.name])));
  const places = new Map<string, number>();
  const storage = openStorage();
  let store: BatchStore | undefined;
  let constants: Batch = {};
  let [isEnabled, samplesSeen, samplesKnown, bytesUsed] = [true, 0, 0, 0];

  const stop = async (): Promise<void> => {
    isEnabled = false;
    places.clear();
    kept.bytesLeft += bytesUsed;
    bytesUsed = 0;
    await storage.release();
  };

  /** Starts the cache after the first batch that shows that outputs are per sample and fit. */
  const begin = async (feeds: Batch, outputs: Batch, keys: readonly string[]): Promise<void> => {
    const count = keys.length;
    if (new Set(keys).size < 2 && count > 1) return;
    const answers = only(outputs, (name) => !fixed.has(name));
    const isMany = (bytesIn(answers) / count) * (kept.samples ?? 0) > kept.bytesLeft;
    if (isMany || !(await areOfSamples(session, feeds, answers, count))) return stop();
    constants = only(outputs, (name) => fixed.has(name));
    store = storage.store("frozen answers");
  };

  return {
    async run(feeds) {
      const count = isEnabled ? countOf(feeds) : undefined;
      if (count === undefined) return session.run(feeds);
      const keys = await keysOf(feeds, count);
      const positions = keys.map((key) => places.get(key));
      samplesSeen += count;
      samplesKnown += positions.filter((place) => place !== undefined).length;
      if (store !== undefined && positions.every((place) => place !== undefined))
        return { ...constants, ...flat(await store.gather(Uint32Array.from(positions))) };
      const outputs = await session.run(feeds);
      if (store === undefined) await begin(feeds, outputs, keys);
      if (store === undefined) return outputs;
      const answers = bySample(
        only(outputs, (name) => !fixed.has(name)),
        count,
      );
      const again = positions.findIndex((place) => place !== undefined);
      const isOther =
        again >= 0 && !equal(await store.gather(Uint32Array.of(positions[again] ?? 0)), rows(answers, [again]));
      const isRare =
        samplesSeen > patience * (kept.samples ?? Number.POSITIVE_INFINITY) && samplesKnown < leastShare * samplesSeen;
      if (isOther || isRare) {
        await stop();
        return outputs;
      }
      const missing = [...new Map(keys.map((key, at) => [key, at]))].filter(([key]) => !places.has(key));
      if (missing.length === 0) return outputs;
      const added = rows(
        answers,
        missing.map(([, at]) => at),
      );
      const bytes = bytesIn(added);
      if (bytes > kept.bytesLeft) return outputs;
      kept.bytesLeft -= bytes;
      bytesUsed += bytes;
      for (const [at, [key]] of missing.entries()) places.set(key, store.count + at);
      await store.add(added);
      return outputs;
    },
    async release() {
      await stop();
      await session.release();
    },
  };
}

const bytesIn = (batch: Batch): number =>
  Object.values(batch).reduce((sum, dense) => sum + elementBytes(dense).length, 0);

/** Returns the common first dimension of all inputs; undefined if they differ. */
function countOf(feeds: Batch): number | undefined {
  if (Object.values(feeds).some(({ type }) => type === "string")) return undefined;
  const [count, ...otherCounts] = new Set(Object.values(feeds).map(({ dims }) => dims[0]));
  return otherCounts.length > 0 ? undefined : count;
}

async function keysOf(feeds: Batch, count: number): Promise<readonly string[]> {
  const columns = Object.values(feeds).map(elementBytes);
  const row = (at: number) =>
    columns.map((bytes) => bytes.subarray((at * bytes.length) / count, ((at + 1) * bytes.length) / count));
  return Promise.all(Array.from({ length: count }, (_, at) => sha256Text(row(at))));
}

async function areOfSamples(session: FrozenPart, feeds: Batch, answers: Batch, count: number): Promise<boolean> {
  if (
    Object.values(answers).some(({ dims, type }) => type === "string" || (dims[0] ?? 0) % count !== 0 || dims[0] === 0)
  )
    return false;
  if (count === 1) return true;
  const moved = Array.from({ length: count }, (_, at) => Math.max(0, at - 1));
  const again = only(await session.run(rows(feeds, moved)), (name) => name in answers);
  return equal(bySample(again, count), rows(bySample(answers, count), moved));
}

export const only = (batch: Batch, wanted: (name: string) => boolean): Batch =>
  Object.fromEntries(Object.entries(batch).filter(([name]) => wanted(name)));

const rows = (batch: Batch, at: readonly number[]): Batch =>
  mapColumns(batch, (dense) => gatherRows(dense, Uint32Array.from(at)));

/** [4 · n, …] as [n, 4, …]: rows of a sample are adjacent. */
function bySample(batch: Batch, count: number): Batch {
  return mapColumns(batch, (dense) => {
    const [first = 0, ...innerDims] = dense.dims;
    return { ...dense, dims: [count, first / count, ...innerDims] } as Dense;
  });
}

function flat(batch: Batch): Batch {
  return mapColumns(batch, (dense) => {
    const [count = 0, each = 0, ...innerDims] = dense.dims;
    return { ...dense, dims: [count * each, ...innerDims] } as Dense;
  });
}

function equal(some: Batch, others: Batch): boolean {
  return Object.entries(some).every(([name, dense]) => {
    const other = others[name];
    return other !== undefined && sameDims(dense.dims, other.dims) && haveSameElements(dense, other);
  });
}
