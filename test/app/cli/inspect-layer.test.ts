import { expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { json, pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();

test("inspect with a layer prints what a layer tolerates, and the amount that removes a channel", async () => {
  const path = at("explained.onnx");
  await save(
    parseModel(`opset 17
graph (x: float32[n, 2]) -> (y) {
  first.weight: float32[2, 4] = [[1, 2, 3, 4], [0, 0, 0, 0]]
  second.weight: float32[4, 3] = random(seed 1)
  a = MatMul "first" (x, first.weight)
  b = Relu (a)
  y = MatMul "second" (b, second.weight)
}`),
    path,
  );
  const { code, out } = await pith("inspect", path, "first", "--channel", "1");
  expect(code).toBe(0);
  for (const part of [
    "first  MatMul, [2, 4], 8 weights",
    "4 of 4 can be removed",
    "channel 1: removed by pith prune --structured 37.5% --importance magnitude, and by any larger amount",
    "8 bits",
  ])
    expect(out).toContain(part);
  const { out: kept } = await pith("inspect", path, "second");
  expect(kept).toContain("3 channels cannot: they are an output of the model (y)");
  expect(await json("inspect", path, "first")).toMatchObject({ layer: "first", channels: { count: 4, free: 4 } });
  expect(await pith("inspect", path, "frist")).toMatchObject({ code: 2, err: expect.stringContaining('"first"') });
  for (const words of [
    ["--channel", "1"],
    ["first", "--weights"],
  ])
    expect(await pith("inspect", path, ...words)).toMatchObject({
      code: 2,
      err: expect.stringContaining("single layer"),
    });
});
