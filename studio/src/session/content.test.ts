import { encodeToBytes, open } from "pith";
import { linear, network } from "pith/nn";
import { expect, test } from "vitest";
import { contentOfFile, contentOfModel } from "./content.ts";

const large = async () =>
  open(await encodeToBytes(network({ fc: linear(256, 512) }, { input: ["batch", 256], seed: 1 })));

test("the content of a large model is its weights, read where they are stored", async () => {
  const model = await large();
  const { length } = await encodeToBytes(model);
  const { size, read } = await contentOfModel(model, length, 1000);
  expect(size).toBeLessThan(length);
  expect(size).toBeGreaterThan(0.95 * length);
  const stored = Array.from(model.graph.values(), ({ tensor }) => tensor?.stored).filter((each) => each !== undefined);
  const parts = await Promise.all(stored.map(({ source, start, end }) => source.read(start, end)));
  const expected = Buffer.concat(parts);
  expect(Buffer.from(await read(0, size))).toEqual(expected);
  const [first = new Uint8Array()] = parts;
  // A range that two weights share.
  const [from, to] = [first.length - 7, Math.min(size, first.length + 9)];
  expect(Buffer.from(await read(from, to))).toEqual(expected.subarray(from, to));
});

test("the content of a small model is its file", async () => {
  const model = await large();
  const bytes = await encodeToBytes(model);
  const { size, read } = await contentOfModel(model, bytes.length, bytes.length);
  expect(Buffer.from(await read(0, size))).toEqual(Buffer.from(bytes));
});

test("a file is read in parts", async () => {
  const { size, read } = contentOfFile(new Blob([Uint8Array.of(1, 2, 3, 4)]));
  expect(size).toBe(4);
  expect([...(await read(1, 3))]).toEqual([2, 3]);
});
