import { expect, test } from "vitest";
import { float32 } from "../tensor/dense.ts";
import { type Dim, symbol } from "../tensor/dims.ts";
import { memory } from "./indexed.ts";
import { oneRun } from "./one-run.ts";

const samples = memory("samples", {
  x: float32(
    [6, 2],
    Float32Array.from({ length: 12 }, (_, at) => at),
  ),
});
const fed = async (dims: readonly Dim[]) => {
  const { feeds, size } = await oneRun([{ name: "x", type: { type: "float32", dims } }], samples);
  return { dims: feeds.x?.dims, data: [...(feeds.x?.data ?? [])], size };
};

test("a model that takes any number of samples is run on the first", async () => {
  expect(await fed([symbol("batch"), 2])).toEqual({ dims: [1, 2], data: [0, 1], size: 1 });
});

test("a model that fixes how many samples it takes is run on so many", async () => {
  expect(await fed([4, 2])).toEqual({ dims: [4, 2], data: [0, 1, 2, 3, 4, 5, 6, 7], size: 4 });
});

test("a model for one sample, without an axis that counts them, is run on the first", async () => {
  expect(await fed([2])).toEqual({ dims: [2], data: [0, 1], size: 1 });
});

test("without samples there is no run", async () => {
  const none = memory("none", { x: float32([0, 2], new Float32Array(0)) });
  await expect(oneRun([{ name: "x", type: { type: "float32", dims: [4, 2] } }], none)).rejects.toThrow(/no samples/);
});
