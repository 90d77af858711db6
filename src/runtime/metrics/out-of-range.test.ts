import { expect, test } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import { parseModel } from "../../core/graph/text.ts";
import { int64 } from "../../core/tensor/dense.ts";
import { createRunner } from "../run/runner.ts";

const table = parseModel(`opset 21
graph (ids: int64[batch, s]) -> (y: float32[...]) {
  words: float32[100, 4] = random(seed 1)
  y = Gather(words, ids)
}`);

test.each([
  [102, /^Input "ids" holds 102: the model takes 0 to 99\.$/],
  [-101, /^Input "ids" holds -101: /],
])("names a token %d outside the table and its input", async (token, message) => {
  const runner = await createRunner(createEngine(), table, "data");
  await expect(runner.run({ ids: int64([1, 3], [1, 99, token]) })).rejects.toMatchObject({
    code: "E_DATA",
    message: expect.stringMatching(message),
  });
  expect((await runner.run({ ids: int64([1, 2], [99, -100]) })).y?.dims).toEqual([1, 2, 4]);
  await runner.release();
});

test("passes other failures on", async () => {
  const model = parseModel("opset 21\ngraph (x: float32[n, 4]) -> (y) {\n  s: int64[1] = [7]\n  y = Reshape(x, s)\n}");
  const runner = await createRunner(createEngine(), model, "data");
  const x = { type: "float32", dims: [1, 4], data: new Float32Array(4) } as const;
  await expect(runner.run({ x })).rejects.toMatchObject({ code: "E_ENGINE" });
  await runner.release();
});
