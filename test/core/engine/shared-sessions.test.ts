/** A command without data loads each model once: the sessions of the comparison serve the timing. */
import { expect, test } from "vitest";
import { createEngine, type Engine } from "../../../src/core/engine/index.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { compareFunction } from "../../../src/judge/index.ts";
import { watchLoads } from "../../../src/runtime/run/load-check.ts";
import { relativeTime } from "../../../src/runtime/run/relative-time.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";

test("comparison and timing of two models load each of them once", async () => {
  const original = parseModel(`opset 21 graph (x: float32[n, 16]) -> (y: float32[n, 8]) {
  w: float32[16, 8] = random(seed 1)
  y = MatMul(x, w)
}`);
  const result = original.clone();
  await quantize(result, { scheme: "dynamic" });
  let loads = 0;
  const engine = createEngine();
  const watched: Engine = watchLoads({ load: (...request) => engine.load(...request).finally(() => loads++) });
  await compareFunction(watched, original, result);
  await relativeTime(original, result, { engine: watched, seed: 0, signal: new AbortController().signal });
  expect(loads).toBe(2);
});
