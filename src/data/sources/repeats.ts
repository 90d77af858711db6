/** Finds equal samples. Test samples that occur in another split bias a metric, and repeated test samples narrow its interval. */

import { type Dataset, elementBytes, isIndexed, quickHash, sliceRows } from "#batches";
import { counted, integer } from "#ir";
import { fileHash } from "../../core/files/hash.ts";
import { imagePathColumn } from "../images/image-batches.ts";

/** A split with more bytes or image files is compared by evenly spread samples. */
const [maxBytes, maxFiles] = [2 ** 27, 1000];
const samplesPerRead = 64;
/** Share of the test samples that is worth a warning: about a point of accuracy. */
const minShare = 0.01;
/** Minimum number of test samples, and bytes per sample: smaller ones are equal by chance. */
const [minTested, minBytes] = [30, 16];

/** Labels are not compared. @param others Other splits, by their use: "training", "calibration". */
export async function describeRepeats(
  test: Dataset,
  others: Readonly<Record<string, Dataset | undefined>>,
): Promise<readonly string[]> {
  const keys = await hashSamples(test);
  if (keys.length < minTested) return [];
  const samples = `${counted(keys.length, "test sample")}${keys.length === test.count ? "" : " that were compared"}`;
  const texts: string[] = [];
  const add = (count: number, consequence: string): void => {
    if (count > minShare * keys.length) texts.push(`${test.name}: ${integer(count)} of ${samples} ${consequence}`);
  };
  for (const [use, split] of Object.entries(others)) {
    const otherKeys = new Set(split === undefined ? [] : await hashSamples(split));
    const sharedCount = keys.filter((key) => otherKeys.has(key)).length;
    add(sharedCount, `are also ${use} samples, so results on them can be better than on new samples`);
  }
  add(
    keys.length - new Set(keys).size,
    "repeat another test sample, so intervals are too narrow: they assume that all samples are independent",
  );
  return texts;
}

/** Hashes all samples, or evenly spread ones. */
async function hashSamples(dataset: Dataset): Promise<readonly string[]> {
  if (!isIndexed(dataset) || dataset.count === 0) return [];
  const { label: _, ...first } = await dataset.gather(Uint32Array.of(0));
  const bytes = Object.values(first).reduce((sum, dense) => sum + elementBytes(dense).length, 0);
  // The frames of a recording follow each other, and silent frames are equal.
  const hasFiles = imagePathColumn(first) !== undefined;
  if (first.begin !== undefined || (!hasFiles && bytes < minBytes)) return [];
  const limit = hasFiles ? maxFiles : Math.floor(maxBytes / bytes);
  const count = Math.min(dataset.count, Math.max(1, limit));
  const keys: string[] = [];
  for (let start = 0; start < count; start += samplesPerRead) {
    const positions = Uint32Array.from({ length: Math.min(samplesPerRead, count - start) }, (_, index) =>
      Math.floor(((start + index) * dataset.count) / count),
    );
    const { label: _label, ...columns } = await dataset.gather(positions);
    const files = imagePathColumn(columns);
    const hashes = files && (await Promise.all(files.data.map(fileHash)));
    for (let sample = 0; sample < positions.length; sample++) {
      const rows = Object.values(columns).map((dense) => elementBytes(sliceRows(dense, sample, sample + 1)));
      keys.push(hashes?.[sample] ?? rows.map(quickHash).join());
    }
  }
  return keys;
}
