/** Tests ranks that follow from one budget for the whole model. */
import { expect, it } from "vitest";
import {
  convolutions,
  dims,
  errorIn,
  factorize,
  macsOf,
  setWeight,
  weightsOf,
} from "../../../test/techniques/factorize/models.ts";
import { structureHash } from "../../core/graph/structure-hash.ts";
import { verify } from "../../core/graph/verify.ts";
import { linear, network } from "../../learn/nn/index.ts";
import type { FactorizeOptions } from "./options.ts";

it.each(["weights", "macs"] as const)("keeps the model within a budget of %s and uses most of it", async (cost) => {
  const model = convolutions();
  const costOf = cost === "weights" ? weightsOf : macsOf;
  const before = costOf(model);
  const { changes } = await factorize(model, { budget: 0.6, cost });
  const share = costOf(model) / before;
  expect(changes.length).toBeGreaterThan(0);
  expect(verify(model)).toEqual([]);
  expect(share).toBeLessThanOrEqual(0.6);
  expect(share).toBeGreaterThan(0.55);
});

it("has a smaller error with a budget for the model than with equal budgets", async () => {
  const model = network({ fc1: linear(64, 64), fc2: linear(64, 64) }, { input: ["batch", 64], seed: 1 });
  // The singular values of this matrix decay quickly.
  setWeight(model, "fc2.weight", (index) => Math.exp(-Math.abs(Math.floor(index / 64) - (index % 64)) / 20));
  const lost = async (options: FactorizeOptions): Promise<number> => {
    const { changes } = await factorize(model.clone(), options);
    return changes.reduce((sum, { what }) => sum + errorIn(what) ** 2, 0);
  };
  expect(await lost({ budget: 0.5 })).toBeLessThan(0.7 * (await lost({ overrides: { "*": { budget: 0.49 } } })));
});

it("rejects a budget below rank 1 in all layers and names the smallest possible budget", async () => {
  const model = convolutions();
  const before = structureHash(model);
  const { changes, misses } = await factorize(model, { budget: 0.01 });
  expect(changes).toEqual([]);
  expect(misses.at(-1)).toMatchObject({
    at: "budget",
    reason: "the lowest ranks keep 236 of 3,936 weights, and 39 are allowed: the smallest possible `budget` is 0.06",
  });
  expect(structureHash(model)).toBe(before);
  expect((await factorize(model.clone(), { budget: 0.059 })).changes).toEqual([]);
  await factorize(model, { budget: 0.06 });
  expect(weightsOf(model)).toBe(236);
});

it("counts excluded layers in the budget and applies overrides", async () => {
  const model = convolutions();
  const before = weightsOf(model);
  await factorize(model, { budget: 0.7, except: "c" });
  expect(dims(model, "c.weight")).toEqual([24, 16, 1, 1]);
  expect(weightsOf(model) / before).toBeLessThanOrEqual(0.7);
  const withOverride = convolutions();
  await factorize(withOverride, { budget: 0.9, overrides: { c: { rank: 2 } } });
  expect(dims(withOverride, "c.down.weight")).toEqual([2, 16, 1, 1]);
  const half = convolutions();
  await factorize(half, { layers: "c", overrides: { c: { budget: 0.5 } } });
  // The weight of c is 24 × 16, and each rank adds 24 + 16 weights.
  expect(dims(half, "c.down.weight")).toEqual([4, 16, 1, 1]);
});

it("names the layers that cannot be factorized if a budget cannot be met", async () => {
  const model = network({ fc1: linear(16, 16), fc2: linear(16, 16) }, { input: ["batch", 16], seed: 1 });
  setWeight(model, "fc2.weight", (index) => (index === 3 ? Number.NaN : 1));
  const { changes, misses } = await factorize(model, { budget: 0.3 });
  expect(changes).toEqual([]);
  expect(misses.map(({ at }) => at)).toEqual(["budget", "fc2"]);
  expect(misses[1]?.reason).toBe("its weight holds NaN");
});
