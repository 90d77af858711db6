/**
 * Opens CIFAR binary files (https://www.cs.toronto.edu/~kriz/cifar.html). A record has one or two label bytes and three 32 × 32 planes (red, green,
 * blue). CIFAR-10 has one label byte. CIFAR-100 has two (coarse and fine), of which the fine one is used.
 */
import { PithError } from "../../core/errors.ts";
import type { Batch, ByteSource } from "../../core/tensor/types.ts";
import { indexed } from "../batches/indexed.ts";
import type { IndexedDataset, Part } from "../batches/types.ts";
import { readRows, withBytes } from "./columns.ts";

const classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
const sideLength = 32;
const imageBytes = 3 * sideLength * sideLength;

/** Matches the file names of CIFAR-10 (data_batch_1.bin, test_batch.bin.gz) and CIFAR-100 (train.bin, test.bin). */
const pattern = /^(?:(data_batch)(?:[_.-].*)?|(test_batch)(?:[_.-].*)?|(train)|(test))\.bin(?:\.gz)?$/i;

/** Returns the split and the number of label bytes per record by the file's name; undefined for other names. */
export function cifarFile(name: string): { readonly part: Part; readonly labels: 1 | 2 } | undefined {
  const [file, batch10, test10, train100] = pattern.exec(name) ?? [];
  if (file === undefined) return undefined;
  const part = (batch10 ?? train100) === undefined ? "test" : "train";
  return { part, labels: (batch10 ?? test10) === undefined ? 2 : 1 };
}

/**
 * Opens files with the columns "image" (uint8, N × 3 × 32 × 32 RGB) and "label" (int64).
 * @throws PithError E_DATA if a file is not an integer number of records long.
 */
export async function cifar(name: string, files: readonly ByteSource[], labels: 1 | 2): Promise<IndexedDataset> {
  const recordBytes = labels + imageBytes;
  const parts = await Promise.all(files.map((file) => recordsOf(file, recordBytes)));
  const ends: number[] = [];
  for (const { count } of parts) ends.push((ends.at(-1) ?? 0) + count);
  const gather = async (positions: Uint32Array): Promise<Batch> => {
    const image = new Uint8Array(positions.length * imageBytes);
    const label = new BigInt64Array(positions.length);
    for (let at = 0; at < positions.length; ) {
      const part = ends.findIndex((end) => (positions[at] ?? 0) < end);
      const first = ends[part - 1] ?? 0;
      const last = ends[part] ?? 0;
      let next = at + 1;
      while (next < positions.length && (positions[next] ?? 0) >= first && (positions[next] ?? 0) < last) next++;
      const rows = positions.slice(at, next).map((position) => position - first);
      const bytes = (await parts[part]?.rows(rows)) ?? new Uint8Array();
      for (let start = 0; start < bytes.length; start += recordBytes, at++) {
        label[at] = BigInt(bytes[start + labels - 1] ?? 0);
        image.set(bytes.subarray(start + labels, start + recordBytes), at * imageBytes);
      }
      at = next;
    }
    return {
      image: { type: "uint8", dims: [positions.length, 3, sideLength, sideLength], data: image },
      label: { type: "int64", dims: [positions.length], data: label },
    };
  };
  return indexed(name, ends.at(-1) ?? 0, gather, labels === 1 ? classes : undefined);
}

interface Records {
  readonly count: number;
  rows(positions: Uint32Array): Promise<Uint8Array>;
}

async function recordsOf(file: ByteSource, record: number): Promise<Records> {
  const source = await withBytes(file);
  if (source.size === 0 || source.size % record !== 0) {
    throw new PithError(
      "E_DATA",
      `${file.name}: ${source.size} bytes are not a whole number of CIFAR records of ${record} bytes.`,
    );
  }
  return { count: source.size / record, rows: (positions) => readRows(source, 0, record, positions) };
}
