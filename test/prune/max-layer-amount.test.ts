/** The largest share that a layer may lose, and the warning of layers that keep little. */
import type { Model } from "pith";
import { toNumbers } from "pith";
import { parseModel } from "pith/extend";
import { type PruneOptions, prune } from "pith/prune";
import { describe, expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { layers } from "../../src/core/analysis/layers.ts";

/** The filters of `equal` are equal in size; 18 of the 20 of `small` are far smaller than its other two. */
const small = Array.from({ length: 20 }, (_, channel) => (channel < 2 ? 10 : 0.01));
const network = (): Model =>
  parseModel(`opset 17
graph (x: float32[batch, 1]) -> (y: float32[batch, 2]) {
  small.weight: float32[1, 20] = ${JSON.stringify([small])}
  equal.weight: float32[20, 20] = random(seed 1, from 0.9 to 1.1)
  head.weight: float32[20, 2] = random(seed 2, from 0.9 to 1.1)
  a = MatMul "small" (x, small.weight)
  b = MatMul "equal" (a, equal.weight)
  y = MatMul "head" (b, head.weight)
}`);

async function pruned(options: PruneOptions) {
  const model = network();
  const warnings: string[] = [];
  const log = ({ id, text, level }: { id: string; text: string; level?: string }): void => {
    if (id === "narrow") warnings.push(`${level}: ${text}`);
  };
  await prune(model, options, { log });
  const layerCounts: Record<string, { readonly outputs: number; readonly zeros: number; readonly size: number }> = {};
  for (const { name, weight, outputs } of layers(model, infer(model))) {
    const values = weight.tensor === undefined ? [] : toNumbers(await weight.tensor.read());
    layerCounts[name] = { outputs, zeros: values.filter((value) => value === 0).length, size: values.length };
  }
  return { layerCounts, warnings };
}

describe("channels", () => {
  const options = { structured: 0.45, importance: "magnitude", scope: "global", roundTo: 1 } as const;

  test("a layer that keeps few channels is named in a warning", async () => {
    const { layerCounts, warnings } = await pruned(options);
    expect([layerCounts.small?.outputs, layerCounts.equal?.outputs]).toEqual([2, 20]);
    expect(warnings).toEqual([
      "warning: 1 layer keeps few channels: small (2 of 20). Limit the share that a layer loses with `maxLayerAmount: 0.8`",
    ]);
  });

  test("no layer loses more than the limit, and others lose the rest", async () => {
    const { layerCounts, warnings } = await pruned({ ...options, maxLayerAmount: 0.7 });
    expect([layerCounts.small?.outputs, layerCounts.equal?.outputs]).toEqual([6, 16]);
    expect(warnings).toEqual([]);
  });

  test("the limit holds for equal shares", async () => {
    const { layerCounts } = await pruned({ ...options, structured: 0.9, scope: "uniform", maxLayerAmount: 0.5 });
    expect([layerCounts.small?.outputs, layerCounts.equal?.outputs]).toEqual([10, 10]);
  });

  test("the limit does not hold for a layer with an amount of its own", async () => {
    const { layerCounts, warnings } = await pruned({
      ...options,
      structured: 0.2,
      maxLayerAmount: 0.3,
      overrides: { small: { amount: 0.9 } },
    });
    expect([layerCounts.small?.outputs, layerCounts.equal?.outputs]).toEqual([2, 16]);
    expect(warnings).toEqual([]);
  });

  test("a limit below one channel of each layer says so", async () => {
    const { changes, misses } = await prune(network(), { ...options, maxLayerAmount: 0.04 });
    expect(changes).toEqual([]);
    expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toContain(
      "small: any of its channels is more than `maxLayerAmount`",
    );
  });

  test("equal shares give no warning", async () => {
    expect((await pruned({ ...options, structured: 0.9, scope: "uniform" })).warnings).toEqual([]);
  });
});

describe("masks", () => {
  test("a layer that keeps few weights is named in a warning", async () => {
    const { layerCounts, warnings } = await pruned({ amount: 0.04, scope: "global" });
    expect(layerCounts.small?.zeros).toBe(18);
    expect(warnings).toEqual([
      "warning: 1 layer keeps few weights: small (2 of 20). Limit the share that a layer loses with `maxLayerAmount: 0.8`",
    ]);
  });

  test.each(["uniform", "global", "lamp", "erk"] as const)(
    "%s: no layer loses more than the limit, and others lose the rest",
    async (scope) => {
      const { layerCounts, warnings } = await pruned({ amount: 0.45, scope, maxLayerAmount: 0.5 });
      const all = Object.values(layerCounts);
      for (const { zeros, size } of all) expect(zeros / size).toBeLessThanOrEqual(0.5);
      const total = all.reduce((sum, { size }) => sum + size, 0);
      const zeros = all.reduce((sum, one) => sum + one.zeros, 0);
      expect(Math.abs(zeros - 0.45 * total)).toBeLessThanOrEqual(all.length);
      expect(warnings).toEqual([]);
    },
  );

  test("an amount above the limit removes the limit of each layer", async () => {
    const { layerCounts } = await pruned({ amount: 0.9, scope: "lamp", maxLayerAmount: 0.5 });
    expect(Object.values(layerCounts).map(({ zeros, size }) => zeros / size)).toEqual([0.5, 0.5, 0.5]);
  });

  test("a pattern that sets the share itself takes no limit", async () => {
    await expect(pruned({ pattern: "2:4", maxLayerAmount: 0.5 })).rejects.toMatchObject({ code: "E_OPTION" });
  });
});
