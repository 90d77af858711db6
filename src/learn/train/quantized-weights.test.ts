import { expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { fromNumbers } from "../../core/tensor/convert.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { train } from "./train.ts";

const right = memory("pairs", {
  x: float32([4, 2], [1, 0, 0, 1, 2, 0, 0, 3]),
  label: fromNumbers("int64", [4], [0, 1, 0, 1]),
});
const options = { data: right, batch: 2, epochs: 1, learningRate: 1e-3 } as const;

test("reports a layer with a quantized weight and trains its bias", async () => {
  const model = parseModel(`opset 18
graph (x: float32[batch, 2]) -> (logits) {
  codes: int8[2, 2] = [[100, 0], [0, 100]]
  scale: float32[] = [0.01]
  bias: float32[2] = [0.1, 0.2]
  w = DequantizeLinear(codes, scale)
  logits = Gemm(x, w, bias)
}`);
  const { changes, misses } = await train(model, options);
  expect(changes.map(({ at }) => at)).toEqual(["bias"]);
  expect(misses.map(({ at, reason }) => [at, reason])).toEqual([
    ["logits", "its weight is stored as int8 and is not changed"],
  ]);
});
