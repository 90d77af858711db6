/** Tests latency of two models, one of which has far more work. */
import { describe, expect, it } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import type { Dense } from "../../core/tensor/types.ts";
import { latency } from "../run/latency.ts";

const engine = createEngine();

describe("latency", () => {
  it("times every model in every round and finds one with far more work slower", async () => {
    const work = (depth: number): Model =>
      parseModel(`opset 21 graph (x: float32[128, 128]) -> (y${depth}: float32[128, 128]) {
        y0 = Identity(x)
        ${Array.from({ length: depth }, (_, index) => `y${index + 1} = MatMul(y${index}, x)`).join("\n")}
      }`);
    const x: Dense = { type: "float32", dims: [128, 128], data: new Float32Array(128 * 128).fill(1e-3) };
    const report = await latency(engine, [work(1), work(24)], { x }, { rounds: 9, threads: 1 });
    const [first, second] = report.models;
    expect(report).toMatchObject({ rounds: 9, threads: 1 });
    expect(first?.speedup).toEqual({ median: 1, low: 1, high: 1 });
    expect(second?.speedup.median).toBeLessThan(0.5);
    expect(second?.milliseconds.median).toBeGreaterThan(first?.milliseconds.median ?? Number.POSITIVE_INFINITY);
    expect(second?.speedup.low).toBeLessThanOrEqual(second?.speedup.high ?? 0);
  });
});
