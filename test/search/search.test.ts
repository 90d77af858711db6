/** The search for the smallest model that keeps a goal: what it tries, what it looks at, what it returns. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { Model } from "../../src/graph/model.ts";
import { runRecipe } from "../../src/recipe/run.ts";
import { type Finalists, search } from "../../src/search/search.ts";
import { task, trained } from "../recipe/blobs.ts";
import { temporaryFolder } from "../temporary.ts";

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
  // The cheapest first: those that need no samples.
  expect(names.slice(0, 2)).toEqual(["int8 dynamic", "int8 weights"]);
  expect(names.indexOf("int8 static")).toBeLessThan(names.findIndex((name) => /^(channels|low rank)/.test(name)));
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

  test("give it whatever earlier searches have kept, and however little may be kept", async () => {
    const resumeFolder = temporaryFolder();
    const others = { ...quick, steps: 6, goal: { maxDrop: 0.2 }, resumeFolder };
    await search(net, task, others);
    const files = () =>
      new Map(readdirSync(resumeFolder).map((name) => [name, statSync(join(resumeFolder, name)).ino] as const));
    const before = files();
    const [kept, bounded] = [
      await search(net, task, { ...quick, resumeFolder }),
      await search(net, task, { ...quick, resumeFolder: temporaryFolder(), resumeBytes: 1 }),
    ];
    for (const again of [kept, bounded]) expect(again.result?.bytes).toEqual(found.result?.bytes);
    // None of it was written again.
    const after = files();
    for (const [name, file] of before) expect(after.get(name)).toBe(file);
  });
});
