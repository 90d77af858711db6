/** The search for the smallest model that keeps a goal: what it tries, what it looks at, what it returns. */
import { beforeAll, describe, expect, test } from "vitest";
import type { Model } from "../../src/graph/model.ts";
import { runRecipe } from "../../src/recipe/run.ts";
import { type Finalists, search } from "../../src/search/search.ts";
import { task, trained } from "../recipe/blobs.ts";

let net: Model;
let found: Finalists;
const bests: Finalists[] = [];
const quick = { steps: 12, purpose: "size", rounds: 0, goal: { maxDrop: 0.02 } } as const;

beforeAll(async () => {
  net = await trained();
  found = await search(net, task, { ...quick, onBest: async (best) => void bests.push(best) });
});

test("formats of numbers come first, then what is cut and healed", () => {
  const names = (found.run.search?.points ?? []).map(({ name }) => name);
  expect(names.slice(0, 3)).toEqual(["int8 static", "int8 dynamic", "int8 weights"]);
  expect(names).toHaveLength(12);
  expect(names.some((name) => /^(channels|low rank)/.test(name))).toBe(true);
});

test("the best so far is told when it is found, with its file", async () => {
  const sizes = bests.map(({ result }) => result?.bytes.length ?? Number.NaN);
  expect(sizes).toEqual(sizes.toSorted((a, b) => b - a));
  expect(new Set(sizes).size).toBe(sizes.length);
  const { result, candidates, run } = bests.at(-1) ?? expect.fail();
  expect(run.variants.map(({ name }) => name)).toEqual(candidates.map(({ name }) => name));
  const [candidate] = candidates;
  const again = await runRecipe(net, candidate?.recipe ?? expect.fail(), task, { rounds: 0, force: true });
  expect(again.bytes).toEqual(result?.bytes);
});

test("what is kept is within the goal on samples that were not searched on", () => {
  const { run } = found;
  const chosen = run.variants[run.chosen ?? -1];
  expect(chosen?.verdict?.met).toBe(true);
  expect(run.data.test.count).toBe(Math.ceil((task.test.count ?? 0) / 2));
  expect(run.data.validation).toBeUndefined();
});

test("is no larger than the smallest format by itself", () => {
  const formats = (found.run.search?.points ?? []).filter(({ name, drop = 1 }) => !name.includes(",") && drop <= 0.02);
  const smallest = Math.min(...formats.map(({ bytes = Number.POSITIVE_INFINITY }) => bytes));
  const { variants, chosen = -1 } = found.run;
  expect(variants[chosen]?.result?.bytes).toBeLessThanOrEqual(smallest);
});

test("ends when no other would end in time", async () => {
  const { run } = await search(net, task, { ...quick, steps: undefined, minutes: 0.02 });
  expect(run.search?.points.length).toBeLessThan(12);
});

describe("the same seed and steps", () => {
  test("give the same file", async () => {
    const again = await search(net, task, quick);
    const [first, second] = [found, again].map(({ run }) => run.search?.points.map(({ seconds: _, ...one }) => one));
    expect(second).toEqual(first);
    expect(again.result?.bytes).toEqual(found.result?.bytes);
  });
});
