/** Large files stay on disk: what a process holds does not grow with the number of samples. */
import { execFileSync } from "node:child_process";
import { open } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { isIndexed, openDataset } from "../../src/data/index.ts";
import { temporaryFolder } from "../temporary.ts";

const root = temporaryFolder();
const mebibyte = 2 ** 20;
/** Far more than what is held may be, and sparse: on disk it takes what is written. */
const size = 768 * mebibyte;

/** A file of a header and `body` bytes, zeros but for a mark at its end. */
async function sparse(name: string, header: Uint8Array, body: number, mark: Uint8Array): Promise<string> {
  const path = join(root, name);
  const file = await open(path, "w");
  await file.truncate(header.length + body);
  await file.write(header, 0, header.length, 0);
  await file.write(mark, 0, mark.length, header.length + body - mark.length);
  await file.close();
  return path;
}

function npyHeader(dims: string): Uint8Array {
  const text = new TextEncoder().encode(`{'descr': '<f4', 'fortran_order': False, 'shape': (${dims}), }\n`);
  return Uint8Array.of(0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, text.length, 0, ...text);
}

function npy(): Promise<string> {
  return sparse("a.npy", npyHeader(`${size / 4096}, 1024`), size, new Uint8Array(Float32Array.of(7).buffer));
}

async function large(): Promise<Readonly<Record<string, string>>> {
  const header = new Uint8Array(16);
  const view = new DataView(header.buffer);
  [0x0803, size / 4096, 64, 64].forEach((value, at) => {
    view.setUint32(4 * at, value);
  });
  const record = 3073;
  return {
    npy: await npy(),
    idx: await sparse("images.idx", header, size, Uint8Array.of(7)),
    cifar: await sparse("data_batch_1.bin", new Uint8Array(), Math.floor(size / record) * record, Uint8Array.of(7)),
  };
}

test("samples anywhere in a large .npy, idx or CIFAR file are found, in any order", async () => {
  for (const [kind, path] of Object.entries(await large())) {
    const data = await openDataset(path);
    if (!isIndexed(data)) throw new Error(`${kind} is a stream`);
    expect(data.count).toBeGreaterThan(100_000);
    const batch = await data.gather(Uint32Array.of(data.count - 1, 0, data.count - 2));
    const values = (batch.data ?? batch.image)?.data ?? [];
    const row = values.length / 3;
    expect([kind, values[row - 1], values[row], values[3 * row - 1]]).toEqual([kind, 7, 0, 0]);
  }
});

test("shuffled batches out of 768 MiB take less than 160 MiB more than a process that reads nothing", async () => {
  const path = await npy();
  const script = fileURLToPath(new URL("large.script.ts", import.meta.url));
  const loader = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
  const peak = (read: string): number => {
    const words = ["--import", loader, "--conditions=pith-source", script, read];
    return Number(execFileSync(process.execPath, words, { encoding: "utf8" }));
  };
  expect(peak(path) - peak("")).toBeLessThan(160 * mebibyte);
});
