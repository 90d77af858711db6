/** Searches give the same file for the same seed and steps. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { float32, int64 } from "../../src/core/tensor/dense.ts";
import { random } from "../../src/core/tensor/random.ts";
import { memory } from "../../src/data/index.ts";
import { defaultDrop } from "../../src/judge/compare/goal.ts";
import { accuracy, agreement } from "../../src/judge/index.ts";
import type { Compressed } from "../../src/judge/run/compress.ts";
import { search } from "../../src/search/search.ts";
import { task, trained } from "../judge/blobs.ts";
import { outliers } from "../outliers.ts";
import { temporaryFolder } from "../temporary.ts";
import { bests, pictures, quick } from "./searches.ts";

let net: Model;

beforeAll(async () => {
  net = await trained();
  searchResult = await search(
    net,
    { ...task, shownSamples: pictures },
    { ...quick, onBest: async (best) => void bests.push(best) },
  );
});

let searchResult: Compressed;

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
  expect(run.goal?.maxDrop).toBe(defaultDrop(agreementTask.metric, 1));
});

test("with a limit of candidates, tries the most promising formats, writes the best, and logs the limit", async () => {
  const files: (number | undefined)[] = [];
  const onBest = async ({ result }: Compressed): Promise<void> => void files.push(result?.bytes.length);
  const messages: string[] = [];
  // Any speed meets this goal.
  const { run } = await search(
    net,
    task,
    { steps: 2, faster: 0.01, rounds: 0, onBest },
    { log: ({ text }) => void messages.push(text) },
  );
  expect(run.goal?.stated).not.toBe(true);
  expect(run.search?.points.map(({ name }) => name)).toEqual(["int8 static", "int8 dynamic"]);
  expect(messages).toContain("the search ended at its limit of 2 candidates; others can be better");
  expect(files.length).toBeGreaterThan(0);
  expect(files).not.toContain(undefined);
});

test("names the candidate that the time limit stopped", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const engine = createEngine();
  const messages: string[] = [];
  let isLate = false;
  const late: typeof engine = {
    ...engine,
    load(...given) {
      if (isLate) vi.runAllTimers();
      return engine.load(...given);
    },
  };
  const onBest = async (): Promise<void> => {
    isLate = true;
  };
  const options = { ...quick, steps: undefined, minutes: 1, onBest };
  const log = ({ id, text }: { readonly id: string; readonly text: string }): void =>
    void messages.push(`${id}: ${text}`);
  const { run } = await search(net, task, options, { engine: late, log }).finally(() => vi.useRealTimers());
  expect(run.search?.points.map(({ name }) => name)).toEqual(["int8 dynamic"]);
  expect(messages).toContain(
    "late: palettes of 8 bits: stopped without a result, because the time for the search was over",
  );
});
