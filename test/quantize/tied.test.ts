/** A matrix that a layer shares with the table of an embedding: it is not stored a second time in secret. */
import { expect, test } from "vitest";
import { memory } from "../../src/data/index.ts";
import { structureHash } from "../../src/graph/hash.ts";
import type { Model } from "../../src/graph/model.ts";
import { parseModel } from "../../src/graph/text.ts";
import { encodeToBytes } from "../../src/onnx/index.ts";
import { quantize } from "../../src/quantize/index.ts";
import { fromNumbers } from "../../src/tensor/convert.ts";

const network = (head: string): Model =>
  parseModel(`opset 17
graph (ids: int64[batch, time]) -> (logits) {
  table: float32[64, 16] = random(seed 1)
  up: float32[16, 16] = random(seed 2)
  e = Gather "embedding" (table, ids)
  h = MatMul "layer" (e, up)
  ${head}
}`);

const turned = 't = Transpose (table) {perm=[1, 0]}\n  logits = MatMul "head" (h, t)';
const flat = 's: int64[2] = [-1, 16]\n  r = Reshape (h, s)\n  logits = Gemm "head" (r, table) {transB=1}';
const ids = fromNumbers(
  "int64",
  [4, 6],
  Array.from({ length: 24 }, (_, at) => (at * 7) % 64),
);

test.each([
  ["transposed", turned],
  ["as it is", flat],
])("weights: it stays in float, with the reason: read %s", async (_, head) => {
  const model = network(head);
  const { changes, misses } = await quantize(model, { scheme: "weights" });
  expect(changes.map(({ at }) => at)).toEqual(["layer"]);
  expect(misses.find(({ at }) => at === "head")?.reason).toBe(
    'Gather "embedding" reads its matrix in float, so that integers beside it would make the file larger',
  );
});

test("where nothing else is left to quantize, the model stays as it is", async () => {
  const model = network(turned);
  const before = structureHash(model);
  await quantize(model, { scheme: "weights", layers: "head" });
  expect(structureHash(model)).toBe(before);
});

test.each(["dynamic", "static"] as const)("%s: its second form is told", async (scheme) => {
  const model = network(turned);
  const { changes } = await quantize(model, {
    scheme,
    ...(scheme === "static" ? { data: memory("ids", { ids }) } : {}),
  });
  expect(changes.find(({ at }) => at === "head")?.what).toMatch(
    /; its matrix stays in float beside it, for Gather "embedding"$/,
  );
  expect(changes.find(({ at }) => at === "layer")?.what).not.toMatch(/stays in float/);
});

test("a matrix that several layers share, all of them quantized, is stored once", async () => {
  const model = parseModel(`opset 17
graph (x: float32[n, 16]) -> (y) {
  w: float32[16, 16] = random(seed 1)
  h = MatMul "first" (x, w)
  y = MatMul "second" (h, w)
}`);
  const before = (await encodeToBytes(model)).length;
  const { changes, misses } = await quantize(model, { scheme: "weights" });
  expect([changes.map(({ at }) => at), misses]).toEqual([["first", "second"], []]);
  expect((await encodeToBytes(model)).length).toBeLessThan(before);
});
