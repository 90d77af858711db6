/** Tests ranks that follow from the options of each layer. */
import { expect, it, vi } from "vitest";
import {
  convolutions,
  dims,
  errorIn,
  factorize,
  inputsOf,
  mlp,
  rankOne,
  run,
  setWeight,
} from "../../../test/techniques/factorize/models.ts";
import { topology } from "../../../test/zoo/topologies.ts";
import type { Model } from "../../core/graph/model.ts";
import { structureHash } from "../../core/graph/structure-hash.ts";
import { parseModel } from "../../core/graph/text.ts";
import { random } from "../../core/tensor/random.ts";
import { linear, network } from "../../learn/nn/index.ts";
import { decompositions } from "./decompositions.ts";
import type { FactorizeOptions } from "./options.ts";

it("is exact if the matrix has the given rank", async () => {
  const model = parseModel(topology("gemm-chain").text);
  const [u, w] = [random(5), random(6)].map((numbers) => Float64Array.from({ length: 48 }, () => numbers.normal()));
  setWeight(model, "fc1.weight", (index) => {
    const [row, column] = [Math.floor(index / 12), index % 12];
    return [0, 1, 2].reduce((sum, k) => sum + (u?.[row * 3 + k] ?? 0) * (w?.[k * 12 + column] ?? 0), 0);
  });
  const feeds = inputsOf("gemm-chain");
  const before = await run(model, feeds);
  await factorize(model, { layers: "fc1", rank: 3 });
  (await run(model, feeds)).forEach((value, index) => {
    expect(value).toBeCloseTo(before[index] ?? Number.NaN, 4);
  });
});

it("computes all singular values only if a choice depends on them", async () => {
  const spectrum = vi.spyOn(decompositions.svd, "spectrum");
  await factorize(mlp(), { rank: 8 });
  await factorize(mlp(), { overrides: { "*": { budget: 0.5 } } });
  expect(spectrum).toHaveBeenCalledTimes(0);
  const { changes } = await factorize(mlp(), { budget: 0.5 });
  // Once for each of the two layers.
  expect(spectrum).toHaveBeenCalledTimes(2);
  expect(changes.length).toBeGreaterThan(0);
  spectrum.mockRestore();
});

it("rejects a rank that does not make the layer smaller, and names the limit", async () => {
  const model = mlp();
  const { changes, misses } = await factorize(model, { rank: 111 });
  expect(changes).toEqual([]);
  expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toEqual([
    "fc1: rank 111 does not make the layer smaller, ranks up to 110 do",
    "fc2: rank 111 does not make the layer smaller, ranks up to 9 do",
  ]);
});

it("rejects a layer budget below rank 1, which would set the layer to zero", async () => {
  const model = mlp();
  const before = structureHash(model);
  // The largest rank within the budget is 0.005 · 784 · 128 / 912 = 0.55 for fc1, and less for fc2.
  const { changes, misses } = await factorize(model, { overrides: { "*": { budget: 0.005 } } });
  expect(changes).toEqual([]);
  expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toEqual([
    "fc1: no rank is small enough for its budget",
    "fc2: no rank is small enough for its budget",
  ]);
  expect(structureHash(model)).toBe(before);
  // The largest rank is 1.1 for fc1 and 0.09 for fc2.
  const some = await factorize(model, { overrides: { "*": { budget: 0.01 } } });
  expect(some.changes.map(({ at, what }) => [at, what.includes("rank 1,")])).toEqual([["fc1", true]]);
  expect(some.misses.map(({ at }) => at)).toEqual(["fc2"]);
});

it("reports the rank for 95 % of energy and the largest that saves weights", async () => {
  const model = network({ fc: linear(300, 300) }, { input: ["batch", 300], seed: 1 });
  const { changes, misses } = await factorize(model, {});
  expect(changes).toEqual([]);
  expect(misses[0]?.reason).toMatch(/^rank \d+ does not make the layer smaller, ranks up to 149 do$/);
});

it("without a rank, keeps 95 % of energy", async () => {
  const { changes } = await factorize(rankOne(), {});
  expect(changes).toMatchObject([{ at: "fc", what: expect.stringContaining("rank 1, ") }]);
});

it.each([
  [16, 1],
  [17, 0],
])("without a rank, accepts at most two thirds of the weights: %d", async (rank, count) => {
  const model = network({ fc: linear(56, 56) }, { input: ["batch", 56], seed: 1 });
  // Each rank takes 112 of 3136 weights: 57.1 % for rank 16 and 85.7 % for rank 24.
  setWeight(model, "fc.weight", (index) => (index % 57 === 0 && index / 57 < rank ? 1 : 0));
  const { changes, misses } = await factorize(model, {});
  expect(changes).toHaveLength(count);
  const reason =
    "rank 24 keeps 95 % of the energy, but takes 85.7 % of its weights, more than two thirds: set a budget or rank";
  expect(misses).toMatchObject(count === 0 ? [{ at: "fc", reason }] : []);
});

it("without a rank, keeps layers that would not become smaller", async () => {
  const { misses } = await factorize(mlp(), {});
  expect(misses.map(({ reason }) => reason)).toEqual([
    "rank 128 does not make the layer smaller, ranks up to 110 do",
    "rank 10 does not make the layer smaller, ranks up to 9 do",
  ]);
});

it.each<[string, FactorizeOptions]>([
  ["a budget of the model", { budget: 0.5 }],
  ["a budget of MACs", { budget: 0.5, cost: "macs" }],
])("%s chooses multiples of 16, and of 8 for narrow layers", async (_, options) => {
  const model = network({ wide: linear(128, 128), narrow: linear(128, 112) }, { input: ["batch", 128], seed: 1 });
  const { changes } = await factorize(model, options);
  expect(changes.length).toBeGreaterThan(0);
  const rankOf = (name: string): number => dims(model, `${name}.down.weight`)?.[0] ?? 1;
  for (const { at } of changes) expect(rankOf(at) % (at === "wide" ? 16 : 8)).toBe(0);
});

it("a budget of one layer chooses the largest rank that fits, because no other layer can use the rest", async () => {
  const model = network({ wide: linear(112, 112) }, { input: ["batch", 112], seed: 1 });
  const { changes } = await factorize(model, { overrides: { wide: { budget: 0.45 } } });
  // 25 · 2 · 112 of 112² weights are 44.6 %.
  expect(changes[0]?.what).toContain("rank 25,");
});

it("applies a given rank that is not a multiple of a block", async () => {
  const { changes } = await factorize(mlp(), { layers: "fc1", rank: 13 });
  expect(changes[0]?.what).toContain("rank 13,");
});

it("mentions 4-bit quantization once, only if it has a smaller error in fewer bytes", async () => {
  const adviceOn = async (model: Model, rank: number): Promise<readonly string[]> => {
    const texts: string[] = [];
    const log = ({ id, text }: { readonly id: string; readonly text: string }) =>
      id === "four-bits" && texts.push(text);
    await factorize(model, { layers: "fc*", rank }, { log });
    return texts;
  };
  const large = await adviceOn(mlp(), 80);
  expect(large).toEqual([
    expect.stringMatching(
      /^for 1 of \d changed layers?, quantize --scheme weights --bits 4 has fewer bytes and less error \(at most 0\.\d+\)$/,
    ),
  ]);
  // Rank 10 takes 9 % of the bytes, fewer than 4 bits.
  expect(await adviceOn(mlp(), 10)).toEqual([]);
  expect(await adviceOn(rankOne(), 10)).toEqual([]);
});

it("selects the method with the smallest error for a share of the weights or MACs", async () => {
  const errorsBy = async (options: FactorizeOptions): Promise<ReadonlyMap<string, number>> => {
    const { changes } = await factorize(convolutions(), { layers: ["a", "b", "c"], ...options });
    return new Map(changes.map(({ at, what }) => [at, errorIn(what)]));
  };
  for (const cost of ["weights", "macs"] as const) {
    const best = await errorsBy({ cost, overrides: { "*": { budget: 0.5 } } });
    expect(best.size).toBe(3);
    for (const method of ["svd", "input-channels", "spatial"] as const) {
      const layerErrors = await errorsBy({ cost, method, overrides: { "*": { budget: 0.5 } } });
      for (const [at, error] of layerErrors.entries())
        expect(best.get(at), `${method} of ${cost}`).toBeLessThanOrEqual(error + 1e-9);
    }
  }
});
