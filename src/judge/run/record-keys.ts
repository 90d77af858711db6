/** Computes keys that identify the samples and settings of a run. */
import { bytesOfBatch, contentHash, isIndexed, range, view } from "#batches";
import { fileKind } from "#platform";
import { fileHash } from "../../core/files/hash.ts";
import type { Dataset, IndexedDataset } from "../../data/index.ts";
import type { Task } from "../../runtime/metrics/metric.ts";
import type { Run, Samples } from "../record/run-record.ts";
import type { Store } from "../steps/store.ts";
import type { CandidateSteps } from "./attempt.ts";
import type { RunOptions } from "./run-options.ts";

export async function metricInputsOf(
  { original }: Store,
  { metric, test }: Task,
  splits: SplitRecords,
  { batch, output }: RunOptions,
): Promise<unknown> {
  return {
    original,
    test: await samplesKey(test, splits.test),
    metric: metric.name,
    columns: metric.columns,
    batch,
    output,
  };
}

const maxHashedSamples = 64;

/** Returns a hash of the contents; for large data of some samples and of the file; for a stream of its file, or its name. */
export async function samplesKey(dataset: Dataset | undefined, samples: Samples | undefined): Promise<unknown> {
  const { name = "", count, sha256 } = samples ?? {};
  if (dataset === undefined || samples === undefined || sha256 !== undefined) return sha256;
  const file = (await fileKind(name)) === "file" ? await fileHash(name) : undefined;
  if (!isIndexed(dataset)) return { count, name: file ?? name };
  return { count, file, some: await contentHash(sampleEvenly(dataset, maxHashedSamples)) };
}

export const keyOfSamples = async (dataset: Dataset | undefined): Promise<unknown> =>
  dataset && samplesKey(dataset, await samplesOf(dataset));

function sampleEvenly(dataset: IndexedDataset, maxCount: number): Dataset {
  const count = Math.min(maxCount, dataset.count);
  const positions = range(count).map((index) => Math.floor((index * dataset.count) / count));
  return view(dataset, dataset.name, positions);
}

export type SplitRecords = Pick<Run["data"], "train" | "calibrate" | "test">;

/** Describes a task's splits by number and hash. @param earlier of the same task. */
export async function recordSplits(
  task: Task,
  candidates: readonly CandidateSteps[],
  earlier?: SplitRecords,
): Promise<SplitRecords> {
  const usedParts = new Set(candidates.flatMap(({ steps }) => steps.map(({ split }) => split)));
  const describeUsed = async (part: "train" | "calibrate"): Promise<Samples | undefined> => {
    const samples = usedParts.has(part) ? task[part] : undefined;
    return samples && (earlier?.[part] ?? samplesOf(samples));
  };
  return {
    train: await describeUsed("train"),
    calibrate: await describeUsed("calibrate"),
    test: earlier?.test ?? (await samplesOf(task.test)),
  };
}

/** Hashing a larger split would take longer than the run. */
const maxHashedBytes = 2 ** 30;

/** A stream of unknown length has no hash, because it can be infinite or differ each time. */
async function samplesOf(dataset: Dataset): Promise<Samples> {
  const { name, count } = dataset;
  if (count === undefined) return { name, count, sha256: undefined };
  let bytes = 0;
  for await (const batch of dataset.batches({ size: 1 })) {
    bytes = bytesOfBatch(batch);
    break;
  }
  return { name, count, sha256: bytes * count > maxHashedBytes ? undefined : await contentHash(dataset) };
}
