/**
 * Opens CIFAR binary files (https://www.cs.toronto.edu/~kriz/cifar.html). A record has label bytes and three 32 × 32 planes (red, green, blue).
 * CIFAR-100 has two label bytes (coarse and fine), of which the fine one is used.
 */

import { type IndexedDataset, indexed, type Part } from "#batches";
import { type Batch, type ByteSource, dataError } from "#ir";
import { readIfSmall, readRows } from "./columns.ts";

const classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
const sideLength = 32;
const imageBytes = 3 * sideLength * sideLength;

/** CIFAR-10 (data_batch_1.bin, test_batch.bin.gz) and CIFAR-100 (train.bin, test.bin). */
const fileNamePattern = /^(?:(data_batch)(?:[_.-].*)?|(test_batch)(?:[_.-].*)?|(train)|(test))\.bin(?:\.gz)?$/i;

/** Returns undefined for names of other files. */
export function cifarFile(name: string): { readonly part: Part; readonly labels: 1 | 2 } | undefined {
  const [file, batch10, test10, train100] = fileNamePattern.exec(name) ?? [];
  if (file === undefined) return undefined;
  const part = (batch10 ?? train100) === undefined ? "test" : "train";
  return { part, labels: (batch10 ?? test10) === undefined ? 2 : 1 };
}

/** Opens files as "image" (uint8, N × 3 × 32 × 32 RGB) and "label" (int64). @throws PithError E_DATA if a file does not consist of whole records. */
export async function cifar(name: string, files: readonly ByteSource[], labels: 1 | 2): Promise<IndexedDataset> {
  const recordBytes = labels + imageBytes;
  const parts = await Promise.all(files.map((file) => recordsOf(file, recordBytes)));
  const ends: number[] = [];
  for (const { count } of parts) ends.push((ends.at(-1) ?? 0) + count);
  const gather = async (positions: Uint32Array): Promise<Batch> => {
    const image = new Uint8Array(positions.length * imageBytes);
    const label = new BigInt64Array(positions.length);
    for (let index = 0; index < positions.length; ) {
      const part = ends.findIndex((end) => (positions[index] ?? 0) < end);
      const partStart = ends[part - 1] ?? 0;
      const partEnd = ends[part] ?? 0;
      let runEnd = index + 1;
      while (runEnd < positions.length && (positions[runEnd] ?? 0) >= partStart && (positions[runEnd] ?? 0) < partEnd)
        runEnd++;
      const rows = positions.slice(index, runEnd).map((position) => position - partStart);
      const bytes = (await parts[part]?.rows(rows)) ?? new Uint8Array();
      for (let start = 0; start < bytes.length; start += recordBytes, index++) {
        label[index] = BigInt(bytes[start + labels - 1] ?? 0);
        image.set(bytes.subarray(start + labels, start + recordBytes), index * imageBytes);
      }
      index = runEnd;
    }
    return {
      image: { type: "uint8", dims: [positions.length, 3, sideLength, sideLength], data: image },
      label: { type: "int64", dims: [positions.length], data: label },
    };
  };
  return indexed(name, ends.at(-1) ?? 0, gather, labels === 1 ? classes : undefined);
}

async function recordsOf(
  file: ByteSource,
  recordBytes: number,
): Promise<{ readonly count: number; rows(positions: Uint32Array): Promise<Uint8Array> }> {
  const source = await readIfSmall(file);
  if (source.size === 0 || source.size % recordBytes !== 0) {
    throw dataError(
      `${file.name}: ${source.size} bytes are not a whole number of CIFAR records of ${recordBytes} bytes.`,
    );
  }
  return { count: source.size / recordBytes, rows: (positions) => readRows(source, 0, recordBytes, positions) };
}
