/**
 * Records in a model's metadata on which datasets it was trained, so that later tests can exclude these samples:
 *      pith.trained-on = [["reviews.tsv",872,"5f0c9a…"]]
 */
import * as v from "valibot";
import { contentHash, type IndexedDataset, memory } from "#batches";
import { fileNameOf } from "#platform";
import { fileHash } from "../../core/files/hash.ts";
import { imagePathColumn } from "../images/image-batches.ts";
import type { Parts } from "../sources/parts.ts";
import type { HasMetadata } from "./preprocessing-spec.ts";

export const trainedOnKey = "pith.trained-on";

/** The file's name, the number of samples, their `fingerprint`, and "all" if training used all samples. */
const recordSchema = v.looseTuple([v.string(), v.number(), v.string()]);
type TrainingRecord = v.InferOutput<typeof recordSchema>;

/** Returns the metadata after training on a dataset; undefined if the samples are unknown. */
export async function addTrainingRecord(
  model: HasMetadata,
  path: string,
  { totalCount, trainSource }: Pick<Parts, "totalCount" | "trainSource">,
): Promise<string | undefined> {
  if (trainSource === undefined) return undefined;
  const samples = await trainingRecordOf(path, trainSource);
  const entries = readTrainingRecords(model);
  const isAll =
    totalCount === undefined || entries.some((record) => haveSameSamples(record, samples) && usesAll(record));
  const otherEntries = entries.filter((record) => !haveSameSamples(record, samples));
  return JSON.stringify([...otherEntries, isAll ? [...samples, "all"] : samples]);
}

export interface TrainingUse {
  /** Whether training used all samples, so that no samples remain for a test. */
  readonly usedAll: boolean;
  readonly text: string;
}

/** Returns undefined if no model was trained on this data set or a part of it. The text names the training file if it is not that of `path`. */
export async function findTrainingUse(
  models: readonly HasMetadata[],
  path: string,
  { testSource }: Pick<Parts, "testSource">,
): Promise<TrainingUse | undefined> {
  const entries = models.flatMap(readTrainingRecords);
  if (testSource === undefined || entries.length === 0) return undefined;
  const samples = await trainingRecordOf(path, testSource);
  const sameSamples = entries.filter((record) => haveSameSamples(record, samples));
  const match = sameSamples.find(usesAll) ?? sameSamples[0];
  if (match === undefined) return undefined;
  const usedAll = usesAll(match);
  const file = match[0] === samples[0] ? "" : ` (in ${match[0]})`;
  const sentence = `${models.length === 1 ? "the model" : "one of the models"} was trained on`;
  return { usedAll, text: `${sentence} ${usedAll ? "these samples" : "the others"}${file}` };
}

const trainingRecordOf = async (path: string, samples: IndexedDataset): Promise<TrainingRecord> => [
  fileNameOf(path),
  samples.count,
  await fingerprint(samples),
];

const usesAll = (used: TrainingRecord): boolean => used[3] === "all";

function haveSameSamples([, count, hash]: TrainingRecord, [, otherCount, otherPrint]: TrainingRecord): boolean {
  return count === otherCount && hash === otherPrint;
}

/** A few samples identify a dataset, and hashing large files would take long. */
const maxHashed = 64;

/** Returns a hash of evenly spread samples. Labels beside inputs are left out, because class numbers depend on the model. */
async function fingerprint(all: IndexedDataset): Promise<string> {
  const count = Math.min(maxHashed, all.count);
  const positions = Uint32Array.from({ length: count }, (_, index) =>
    Math.round((index * (all.count - 1)) / Math.max(1, count - 1)),
  );
  const { label, ...columns } = await all.gather(positions);
  const images = imagePathColumn(columns);
  const image = images && { ...images, data: await Promise.all(images.data.map(fileHash)) };
  const inputs = image === undefined ? columns : { ...columns, image };
  const columnsToHash = Object.keys(inputs).length === 0 && label !== undefined ? { label } : inputs;
  return (await contentHash(memory(all.name, columnsToHash))).slice(0, 16);
}

/** Ignores invalid records, because other tools can write any metadata. */
function readTrainingRecords({ header }: HasMetadata): readonly TrainingRecord[] {
  try {
    const parsed: unknown = JSON.parse(header.metadata.get(trainedOnKey) ?? "[]");
    return Array.isArray(parsed) ? parsed.filter((value) => v.is(recordSchema, value)) : [];
  } catch {
    return [];
  }
}
