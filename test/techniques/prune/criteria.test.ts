/** Checks the criteria of Pith with values computed by hand. */

import type { Model } from "pith";
import { float32, toNumbers } from "pith";
import { memory } from "pith/data";
import { parseModel } from "pith/extend";
import { type PruneOptions, prune } from "pith/prune";
import { describe, expect, test } from "vitest";
import { random } from "../../../src/core/tensor/random.ts";
import { fisher, meanSquare } from "../../../src/techniques/prune/criteria.ts";

async function pruneWeight(text: string, options: PruneOptions, name = "w"): Promise<number[]> {
  const net: Model = parseModel(text);
  await prune(net, options);
  return toNumbers(await (net.graph.value(name)?.tensor ?? expect.fail(`there is no ${name}`)).read());
}

describe("Wanda", () => {
  // Figure 1 of the paper: scores [32, 0, 2, 3], [24, 2, 2, 9] and [24, 1, 0, 6].
  const figure = `opset 17
graph (x: float32[n, 4]) -> (y) {
  w: float32[3, 4] = [[4, 0, 1, -1], [3, -2, -1, -3], [-3, 1, 0, 2]]
  y = Gemm(x, w) {transB=1}
}`;
  // The columns have the norms 8, 1, 2 and 3.
  const data = memory("norms", { x: float32([4, 4], [8, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3]) });
  const importance = "wanda";

  test("prunes the same share of each output by |w| · ‖x‖", async () => {
    expect(await pruneWeight(figure, { amount: 0.5, importance, data })).toEqual([
      4, 0, 0, -1, 3, 0, 0, -3, -3, 0, 0, 2,
    ]);
    expect(await pruneWeight(figure, { amount: 0.75, importance, data })).toEqual([
      4, 0, 0, 0, 3, 0, 0, 0, -3, 0, 0, 0,
    ]);
  });

  test("ranks all entries of a layer, or those of a pattern, on request", async () => {
    // The sorted scores are 0, 0, 1, 2, 2, 2, 3, 6, 9, 24, 24, 32. Pruning removes the first eight.
    const prunedWeight = await pruneWeight(figure, { amount: 8 / 12, importance, data, pattern: "entries" });
    expect(prunedWeight).toEqual([4, 0, 0, 0, 3, 0, 0, -3, -3, 0, 0, 0]);
    expect(await pruneWeight(figure, { importance, data, pattern: "1:4" })).toEqual([
      4, 0, 0, 0, 3, 0, 0, 0, -3, 0, 0, 0,
    ]);
  });
});

describe("gradient criteria", () => {
  const fc = `opset 21
graph (x: float32[batch, 2]) -> (y) {
  w: float32[2, 2] = [[1, 2], [3, -4]]
  y = MatMul "fc" (x, w)
}`;
  const data = memory("two", { x: float32([2, 2], [1, -1, 0.5, 2]), label: float32([2, 2], [0, 0, 1, 1]) });
  // y is (-2, 6) and (6.5, -7), so the gradients of the mean squared error are -2, 6, 2, -6 and 2.75, -4, 11, -16: on average 0.375, 1, 6.5, -11.
  const ask = { amount: 0.25, data, loss: "mse" } as const;

  test.each([
    // Squares: 5.78, 26, 62.5, 146; times w²/2: 2.9, 52, 281, 1168.
    ["fisher", [0, 2, 3, -4]],
  ] as const)("rank weights by the formula of %s", async (importance, weights) => {
    expect(await pruneWeight(fc, { ...ask, importance })).toEqual(weights);
  });

  test("receive mean squares of the gradients of single samples", () => {
    const running = meanSquare.begin();
    running.add(Float32Array.of(1, -2), 3);
    running.add(Float32Array.of(5, 2), 1);
    expect([...running.end()]).toEqual([7, 4]);
    expect(meanSquare.each).toBe("sample");
  });

  test("have the scores of their formulas", () => {
    const weight = {
      layer: undefined as never,
      dims: [3],
      values: Float32Array.of(2, -3, 0),
      matrices: () => [],
      random: random(1, "scores"),
    };
    const evidence = Float64Array.of(0.5, 4, 9);
    expect([...fisher.scores({ ...weight, evidence })]).toEqual([1, 18, 0]);
  });

  test("require labels", async () => {
    await expect(pruneWeight(fc, { amount: 0.5, importance: "fisher" })).rejects.toThrow(
      /the criterion "fisher" requires labeled samples/,
    );
  });
});
