/** Large files stay on disk: what a process holds does not grow with the number of samples. */
import { execFileSync } from "node:child_process";
import { mkdtemp, open, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openDataset } from "../../src/data/index.ts";

let root = "";
const mebibyte = 2 ** 20;
/** Far more than what is held may be, and sparse: on disk it takes what is written. */
const size = 768 * mebibyte;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "pith-large-"));
});

afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

/** A file of `size` bytes, zeros but for a header and a mark in the last row. */
async function sparse(name: string, header: Uint8Array, body: number, mark: Uint8Array): Promise<string> {
  const file = await open(join(root, name), "w");
  await file.truncate(header.length + body);
  await file.write(header, 0, header.length, 0);
  await file.write(mark, 0, mark.length, header.length + body - mark.length);
  await file.close();
  return join(root, name);
}

function npyHeader(dims: string): Uint8Array {
  const text = new TextEncoder().encode(`{'descr': '<f4', 'fortran_order': False, 'shape': (${dims}), }\n`);
  return Uint8Array.of(0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, text.length, 0, ...text);
}

async function large(): Promise<Readonly<Record<string, string>>> {
  const rows = size / 4096;
  const idxHeader = new Uint8Array(16);
  const view = new DataView(idxHeader.buffer);
  [0x0803, rows, 64, 64].forEach((value, at) => {
    view.setUint32(4 * at, value);
  });
  const record = 3073;
  const records = Math.floor(size / record);
  return {
    npy: await sparse("a.npy", npyHeader(`${rows}, 1024`), size, new Uint8Array(Float32Array.of(7).buffer)),
    idx: await sparse("images.idx", idxHeader, size, Uint8Array.of(7)),
    cifar: await sparse("data_batch_1.bin", new Uint8Array(), records * record, Uint8Array.of(7)),
  };
}

test("samples anywhere in a large .npy, idx or CIFAR file are found, in any order", async () => {
  for (const [kind, path] of Object.entries(await large())) {
    const data = await openDataset(path);
    const count = data.count ?? 0;
    expect(count).toBeGreaterThan(100_000);
    if (!("gather" in data)) throw new Error("no gather");
    const gather = data.gather as (positions: Uint32Array) => Promise<Record<string, { data: ArrayLike<number> }>>;
    const batch = await gather(Uint32Array.of(count - 1, 0, count - 2));
    const column = batch.data ?? batch.image;
    const row = (column?.data.length ?? 0) / 3;
    expect([kind, column?.data[row - 1], column?.data[row], column?.data[3 * row - 1]]).toEqual([kind, 7, 0, 0]);
  }
});

describe("peak memory", () => {
  test("of shuffled batches out of 768 MiB stays below 160 MiB above that of a process that reads nothing", async () => {
    const { npy = "" } = await large();
    const script = fileURLToPath(new URL("large.script.ts", import.meta.url));
    const loader = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
    const peak = (path: string): number =>
      Number(
        execFileSync(process.execPath, ["--import", loader, "--conditions=pith-source", script, path], {
          encoding: "utf8",
        }),
      );
    expect(peak(npy) - peak("")).toBeLessThan(160 * mebibyte);
  });
});
