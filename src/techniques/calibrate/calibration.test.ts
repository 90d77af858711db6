import { expect, test } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import { parseModel } from "../../core/graph/text-parse.ts";
import { fromNumbers, toNumbers } from "../../core/tensor/convert.ts";
import { openStorage } from "../../data/batches/batch-store.ts";
import { memory } from "../../data/index.ts";
import { Calibration } from "./calibration.ts";

test.each(["float32", "float16"] as const)("each reading of stored %s values has the correction once", async (type) => {
  const model = parseModel(`opset 17 graph (x: ${type}[n, 2]) -> (y: ${type}[n, 2]) {
  w: ${type}[2, 2] = [[1, 0], [0, 1]]
  h = MatMul(x, w)
  y = Relu(h)
}`);
  const storage = openStorage();
  const data = memory("rows", { x: fromNumbers(type, [2, 2], [1, 2, 3, 4]) });
  const { signal } = new AbortController();
  const calibration = await Calibration.begin(model, data, { engine: createEngine(), signal, batch: 16, storage });
  const [, relu] = model.graph.nodes();
  if (relu !== undefined) await calibration.reach(relu);
  calibration.correct({ name: "h", axis: 1 }, Float64Array.of(1, 1), Float64Array.of(10, 10));
  const readings: unknown[] = [];
  for (let reading = 0; reading < 3; reading++)
    for await (const { h } of calibration.values(["h"])) readings.push(h && [...toNumbers(h)]);
  expect(readings).toEqual([1, 2, 3].map(() => [11, 12, 13, 14]));
  await calibration.release();
});
