/** Tests that large files stay on disk, so that memory does not grow with the number of samples. */
import { expect, test } from "vitest";
import { isIndexed } from "../../src/data/batches/indexed.ts";
import { openDataset } from "../../src/data/index.ts";
import { npy, size, sparse } from "./sparse.ts";

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

test("openDataset reads samples in any order from large .npy, idx and CIFAR files", async () => {
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
