/**
 * The CIFAR binary layout: records of label bytes and three planes (red, green, blue) of 32×32.
 * CIFAR-10 has one label byte, CIFAR-100 two (coarse, fine; the fine one counts).
 * Source: https://www.cs.toronto.edu/~kriz/cifar.html.
 */
import { PithError } from "../errors.ts";
import type { ByteSource } from "../tensor/types.ts";
import { readAll } from "./bytes.ts";
import { memory } from "./indexed.ts";
import type { IndexedDataset, Part } from "./types.ts";

const side = 32;
const pixels = 3 * side * side;

/** data_batch_1.bin, test_batch.bin.gz of CIFAR-10; train.bin, test.bin of CIFAR-100. */
const pattern = /^(?:(data_batch)(?:[_.-].*)?|(test_batch)(?:[_.-].*)?|(train)|(test))\.bin(?:\.gz)?$/i;

/** Which part a CIFAR file belongs to, and how many label bytes a record has; undefined for a name that is no CIFAR file's. */
export function cifarFile(name: string): { readonly part: Part; readonly labels: 1 | 2 } | undefined {
  const found = pattern.exec(name);
  if (found === null) return undefined;
  const part = found[1] !== undefined || found[3] !== undefined ? "train" : "test";
  return { part, labels: found[1] !== undefined || found[2] !== undefined ? 1 : 2 };
}

/**
 * Images and labels from CIFAR files: "image", uint8 N×3×32×32, RGB, and "label", int64.
 * @throws PithError E_DATA if a file is not a whole number of records.
 */
export async function cifar(name: string, files: readonly ByteSource[], labels: 1 | 2): Promise<IndexedDataset> {
  const record = labels + pixels;
  const contents = await Promise.all(files.map(readAll));
  contents.forEach((bytes, index) => {
    if (bytes.length > 0 && bytes.length % record === 0) return;
    const file = files[index]?.name ?? name;
    throw new PithError(
      "E_DATA",
      `${file}: ${bytes.length} bytes are not a whole number of CIFAR records of ${record} bytes.`,
    );
  });
  const count = contents.reduce((sum, bytes) => sum + bytes.length / record, 0);
  const image = new Uint8Array(count * pixels);
  const label = new BigInt64Array(count);
  let sample = 0;
  for (const bytes of contents) {
    for (let start = 0; start < bytes.length; start += record, sample++) {
      label[sample] = BigInt(bytes[start + labels - 1] ?? 0);
      image.set(bytes.subarray(start + labels, start + record), sample * pixels);
    }
  }
  return memory(name, {
    image: { type: "uint8", dims: [count, 3, side, side], data: image },
    label: { type: "int64", dims: [count], data: label },
  });
}
