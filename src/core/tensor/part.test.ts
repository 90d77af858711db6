import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { openFile } from "../platform/node.ts";
import { deferTensorInBlocks } from "./deferred.ts";
import { bytesOf, viewBytes } from "./dense.ts";
import { blocksOf } from "./part.ts";
import type { Tensor } from "./types.ts";

const size = 600_000;

/** Returns a tensor of more than two blocks of a file, at an offset of three bytes. */
async function tensorOf(path: string): Promise<Tensor> {
  const numbers = Float32Array.from({ length: size }, (_, at) => at);
  await writeFile(path, Buffer.concat([Buffer.alloc(3), Buffer.from(numbers.buffer)]));
  const source = await openFile(path);
  const stored = { source, start: 3, end: 3 + 4 * size };
  const read = async () => viewBytes("float32", [size], await source.read(stored.start, stored.end));
  return { type: "float32", dims: [size], bytes: 4 * size, small: undefined, stored, read };
}

test("blocksOf splits a stored tensor into blocks, also through deferredInBlocks", async () => {
  const tensor = await tensorOf(join(temporaryFolder(), "numbers"));
  const copy = await deferTensorInBlocks("float32", [2, size / 2], async function* () {
    for await (const block of blocksOf(tensor)) if (block.type !== "string") yield bytesOf(block);
  });
  const lengths: number[] = [];
  for await (const { data } of blocksOf(copy)) lengths.push(data.length);
  expect(lengths).toEqual([2 ** 18, 2 ** 18, size - 2 ** 19]);
  expect(await copy.read()).toEqual({ ...(await tensor.read()), dims: [2, size / 2] });
});

test("blocksOf rejects a file that changes while its blocks are read", async () => {
  const path = join(temporaryFolder(), "numbers");
  const blocks = blocksOf(await tensorOf(path));
  await blocks.next();
  await writeFile(path, Buffer.alloc(4 * size + 3), { flag: "r+" });
  await expect(async () => {
    for await (const _ of blocks);
  }).rejects.toMatchObject({ code: "E_SOURCE_CHANGED" });
});
