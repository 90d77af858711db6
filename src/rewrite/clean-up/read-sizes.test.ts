import { describe, expect, test } from "vitest";
import { channelGroups, freeUnits } from "../../core/analysis/channels.ts";
import { infer } from "../../core/analysis/infer.ts";
import { createEngine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel, printModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { freeChannels, readSizes, withFreeChannels } from "./free-channels.ts";

/** Returns a layer whose heads are shaped and merged by two Reshapes, to sizes that the graph reads from the heads. */
const heads = (rows = "seq"): Model =>
  parseModel(`opset 13
graph (x: float32[batch, seq, 8]) -> (y: float32[batch, ${rows}, 3]) {
  v.weight: float32[8, 8] = random(seed 1)
  o.weight: float32[8, 3] = random(seed 2)
  split: int64[4] = [0, 0, 4, 2]
  at0: int64[] = 0
  at1: int64[] = 1
  front: int64[1] = [0]
  size: int64[1] = [8]
  two: int64[1] = [2]
  three: int64[1] = [3]
  h = Concat (${rows === "seq" ? "x" : "x, x"}) {axis=1}
  v = MatMul "v" (h, v.weight)
  v4 = Reshape (v, split)
  s = Shape (v4)
  b = Gather (s, at0); t = Gather (s, at1)
  b1 = Unsqueeze (b, front); t1 = Unsqueeze (t, front)
  merged = Concat (b1, t1, size) {axis=0}
  leading = Slice (s, front, three)
  shape = Concat (leading, two) {axis=0}
  v5 = Reshape (v4, shape)
  r = Softmax (v5) {axis=-1}
  rows = Reshape (r, merged)
  y = MatMul "o" (rows, o.weight)
}`);

async function run(model: Model) {
  const session = await createEngine().load(model);
  const x = float32(
    [2, 3, 8],
    Float32Array.from({ length: 48 }, (_, index) => Math.sin(index)),
  );
  const { y } = await session.run({ x });
  await session.release();
  return y;
}

describe("readSizes", () => {
  test("keeps the outputs, and changes nothing the second time", async () => {
    const [model, original] = [heads(), heads()];
    expect((await readSizes(model)).changes.map(({ at }) => at)).toHaveLength(2);
    expect(verify(model)).toEqual([]);
    expect(await run(model)).toEqual(await run(original));
    expect((await readSizes(model)).changes).toEqual([]);
  });

  test("makes channels removable whose sizes were read", async () => {
    const free = (model: Model): readonly number[] =>
      channelGroups(model, infer(model)).map((group) => freeUnits(group).length);
    expect(free(heads())).toEqual([0, 0]);
    expect(free(await withFreeChannels(heads()))).toEqual([4, 0]);
  });

  test("computes a multiple of an input size", async () => {
    const [model, original] = [heads("2*seq"), heads("2*seq")];
    expect((await readSizes(model)).changes).toHaveLength(2);
    expect(await run(model)).toEqual(await run(original));
  });

  test("changes nothing if no input has the size", async () => {
    const model = parseModel(`opset 13
graph (x: float32[rows, 2], z: float32[others, 2]) -> (y: float32[n, 2]) {
  both = Concat (x, z) {axis=0}
  h = Relu (both)
  s = Shape (h)
  y = Expand (both, s)
}`);
    infer(model);
    const before = printModel(model);
    expect((await readSizes(model)).changes).toEqual([]);
    expect(printModel(model)).toBe(before);
  });

  test("is undone by freeChannels if it frees no channel", async () => {
    const model = heads();
    const before = printModel(model);
    await freeChannels(model, () => ({ free: [1, 0, 0] }));
    expect(printModel(model)).toBe(before);
  });
});
