/** Searches give the same file for the same seed and steps. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { float32, int64 } from "../../src/core/tensor/dense.ts";
import { random } from "../../src/core/tensor/random.ts";
import { memory } from "../../src/data/index.ts";
import { usualDrop } from "../../src/judge/compare/goal.ts";
import { accuracy, agreement } from "../../src/judge/index.ts";
import type { Compressed } from "../../src/judge/run/run.ts";
import { search } from "../../src/search/search.ts";
import { outliers } from "../outliers.ts";
import { task, trained } from "../recipe/blobs.ts";
import { temporaryFolder } from "../temporary.ts";

let net: Model;
let searchResult: Compressed;
const bests: Compressed[] = [];
/** Each test sample as a stored image: its brightness depends on its label. */
const brightnessOf = (label: number): number => 30 * label;
const pictures = memory("pictures", {
  image: {
    type: "uint8",
    dims: [800, 8, 8, 3],
    data: Uint8Array.from({ length: 800 * 192 }, (_, index) => brightnessOf(Math.floor(index / 192) % 8)),
  },
});
const quick = { steps: 12, purpose: "size", rounds: 0, goal: { maxDrop: 0.02 } } as const;

beforeAll(async () => {
  net = await trained();
  searchResult = await search(net, task, { ...quick, seen: pictures, onBest: async (best) => void bests.push(best) });
});

describe("a search with the same seed and steps", () => {
  test("gives the same file", async () => {
    const again = await search(net, task, quick);
    const [first, second] = [searchResult, again].map(({ run }) =>
      run.search?.points.map(({ seconds: _, ...one }) => one),
    );
    expect(second).toEqual(first);
    expect(again.result?.bytes).toEqual(searchResult.result?.bytes);
  });

  test("gives the same file with any stored results of earlier searches", async () => {
    const resumeFolder = temporaryFolder();
    const earlier = { ...quick, steps: 6, goal: { maxDrop: 0.2 }, resumeFolder };
    await search(net, task, earlier);
    const files = () =>
      new Map(readdirSync(resumeFolder).map((name) => [name, statSync(join(resumeFolder, name)).ino] as const));
    const before = files();
    const [kept, bounded] = [
      await search(net, task, { ...quick, resumeFolder }),
      await search(net, task, { ...quick, resumeFolder: temporaryFolder(), resumeBytes: 1 }),
    ];
    for (const again of [kept, bounded]) expect(again.result?.bytes).toEqual(searchResult.result?.bytes);
    // No file was written again.
    const after = files();
    for (const [name, file] of before) expect(after.get(name)).toBe(file);
  });
});

test("results of combinations depend on the goal, not on samples of an earlier search", async () => {
  const pairs = (name: string, count: number) => {
    const draw = random(1, name);
    const data = Float32Array.from({ length: 2 * count }, () => draw.uniform());
    const labels = Array.from({ length: count }, (_, at) => ((data[2 * at] ?? 0) > (data[2 * at + 1] ?? 0) ? 0 : 1));
    return memory(name, {
      features: float32([count, 2], data),
      label: int64([count], BigInt64Array.from(labels, BigInt)),
    });
  };
  const model = parseModel(outliers);
  const samples = { calibrate: pairs("calibrate", 64), test: pairs("test", 4000), metric: accuracy() };
  const dropsOf = async (maxDrop: number, resumeFolder?: string) => {
    const options = { ...quick, steps: 5, techniques: ["quantize"], goal: { maxDrop }, resumeFolder };
    const { run } = await search(model, samples, options);
    return new Map(run.search?.points.map(({ name, drop }) => [name, drop]));
  };
  const [strict, loose] = [await dropsOf(0.02), await dropsOf(0.9)];
  const resumeFolder = temporaryFolder();
  expect(await dropsOf(0.9, resumeFolder)).toEqual(loose);
  expect(await dropsOf(0.02, resumeFolder)).toEqual(strict);
  const other = temporaryFolder();
  expect(await dropsOf(0.02, other)).toEqual(strict);
  expect(await dropsOf(0.9, other)).toEqual(loose);
  // 8 bits lose half of the predictions, which is already significant on the first samples, although their share differs from that of all samples.
  expect(strict.get("int8 dynamic")).toBeCloseTo(0.5, 1);
  expect(strict.get("int8 dynamic")).not.toBe(loose.get("int8 weights"));
});

test("ends if no other candidate can finish in time", async () => {
  const { run } = await search(net, task, { ...quick, steps: undefined, minutes: 0.02 });
  expect(run.search?.points.length).toBeLessThan(12);
});

test("trained finalists keep the goal of the search if the original's predictions are the labels", async () => {
  const agreementTask = { ...task, metric: agreement() };
  const options = { steps: 14, purpose: "size", rounds: 0, techniques: ["prune", "distill"] } as const;
  const { run } = await search(net, agreementTask, options);
  expect(run.variants.map(({ name }) => name)).toEqual(run.variants.map(() => expect.stringContaining("distilled")));
  expect(run.goal?.maxDrop).toBe(usualDrop(agreementTask.metric, 1));
});
