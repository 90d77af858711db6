import { expect, test } from "vitest";
import { infer } from "../../core/analysis/infer.ts";
import { parseModel } from "../../core/graph/text.ts";
import type { MovesRequest } from "../../core/pass/moves.ts";
import { quantizeMoves } from "./moves.ts";

const model = parseModel(`opset 21
graph (x: float32[batch, 64]) -> (y: float32[batch, 1024]) {
  w: float32[64, 1024] parameter = random(seed 1)
  y = MatMul(x, w)
}`);

const offered = (changes: Partial<MovesRequest> = {}) =>
  quantizeMoves({ model, inference: infer(model), samples: { calibrate: 100, train: 0 }, target: [], ...changes });

test("a search tries static int8 with per-tensor scales if there are calibration samples", () => {
  const options = { scheme: "static", perChannel: false };
  expect(offered()).toContainEqual(expect.objectContaining({ name: "int8 static per tensor", options }));
  const without = offered({ samples: { calibrate: 0, train: 0 } });
  expect(without.filter(({ options }) => options.scheme === "static")).toEqual([]);
});

test("a search without a target size tries mixed precision in the bytes of 4 bits", () => {
  const moves = offered();
  const sizes = moves.flatMap(({ bytes }) => bytes ?? []);
  expect(sizes).toEqual([Math.round(32_768 + 1000)]);
  expect(moves.find(({ bytes }) => bytes !== undefined)?.name).toBe("mixed precision in 33.8 kB");
});

test("a search with a target size tries mixed precision in this size only", () => {
  expect(offered({ bytes: 20_000 }).flatMap(({ bytes }) => bytes ?? [])).toEqual([20_000]);
});
