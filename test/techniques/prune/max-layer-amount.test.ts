/** Tests the maximum share that a layer can lose, and the warning about layers that keep little. */
import type { Model } from "pith";
import { toNumbers } from "pith";
import { parseModel } from "pith/extend";
import { type PruneOptions, prune } from "pith/prune";
import { describe, expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { layers } from "../../../src/core/analysis/layers.ts";

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

  test("warns of a layer that keeps few channels", async () => {
    const { layerCounts, warnings } = await pruned(options);
    expect([layerCounts.small?.outputs, layerCounts.equal?.outputs]).toEqual([2, 20]);
    expect(warnings).toEqual([
      "warning: 1 layer keeps few channels: small (2 of 20). Limit the share that a layer loses with `maxLayerAmount: 0.8`",
    ]);
  });

  test("limits the share of each layer, and takes the rest from others", async () => {
    const { layerCounts, warnings } = await pruned({ ...options, maxLayerAmount: 0.7 });
    expect([layerCounts.small?.outputs, layerCounts.equal?.outputs]).toEqual([6, 16]);
    expect(warnings).toEqual([]);
  });

  test("applies the limit to equal shares", async () => {
    const { layerCounts } = await pruned({ ...options, structured: 0.9, scope: "uniform", maxLayerAmount: 0.5 });
    expect([layerCounts.small?.outputs, layerCounts.equal?.outputs]).toEqual([10, 10]);
  });

  test("does not limit a layer with a separate amount", async () => {
    const { layerCounts, warnings } = await pruned({
      ...options,
      structured: 0.2,
      maxLayerAmount: 0.3,
      overrides: { small: { amount: 0.9 } },
    });
    expect([layerCounts.small?.outputs, layerCounts.equal?.outputs]).toEqual([2, 16]);
    expect(warnings).toEqual([]);
  });

  test("reports a limit below one channel", async () => {
    const { changes, misses } = await prune(network(), { ...options, maxLayerAmount: 0.04 });
    expect(changes).toEqual([]);
    expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toContain(
      "small: any of its channels is more than `maxLayerAmount`",
    );
  });

  test("does not warn about equal shares", async () => {
    expect((await pruned({ ...options, structured: 0.9, scope: "uniform" })).warnings).toEqual([]);
  });
});

describe("masks", () => {
  test("warns of a layer that keeps few weights", async () => {
    const { layerCounts, warnings } = await pruned({ amount: 0.04, scope: "global" });
    expect(layerCounts.small?.zeros).toBe(18);
    expect(warnings).toEqual([
      "warning: 1 layer keeps few weights: small (2 of 20). Limit the share that a layer loses with `maxLayerAmount: 0.8`",
    ]);
  });

  test.each(["uniform", "global"] as const)(
    "%s: limits the share of each layer, and takes the rest from others",
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

  test("prunes each layer to the limit if the amount exceeds it", async () => {
    const { layerCounts } = await pruned({ amount: 0.9, scope: "global", maxLayerAmount: 0.5 });
    expect(Object.values(layerCounts).map(({ zeros, size }) => zeros / size)).toEqual([0.5, 0.5, 0.5]);
  });

  test("rejects a limit for a pattern that sets the share", async () => {
    await expect(pruned({ pattern: "2:4", maxLayerAmount: 0.5 })).rejects.toMatchObject({ code: "E_OPTION" });
  });
});
