/** The choice among several recipes by speed and by validation samples, excluding recipes that fail. */
import { beforeAll, describe, expect, test } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import { PithError } from "../../src/core/errors.ts";
import type { Model } from "../../src/core/graph/model.ts";
import type { Dataset } from "../../src/data/batches/dataset.ts";
import { accuracy } from "../../src/judge/index.ts";
import { divideSamples } from "../../src/judge/measure/holdout.ts";
import { recipeNameOf } from "../../src/judge/recipe/pass-steps.ts";
import { markOf } from "../../src/judge/record/verdict.ts";
import { compress } from "../../src/judge/run/compress.ts";
import { errorOfRun } from "../../src/judge/run/rejection.ts";
import type { RunTarget } from "../../src/runtime/run/run-target.ts";
import { quick, recipe, task, trained } from "./blobs.ts";
import { candidates, count, reliant, relying, seed } from "./reliant.ts";

interface Times {
  readonly median: number;
  readonly low?: number;
  readonly high?: number;
  readonly work?: number;
}
/** Returns a runtime with fixed times for the original, the larger variant and the smaller one, in milliseconds of wall-clock and of processor time. */
const timed = (...times: readonly Times[]): RunTarget => ({
  name: "node",
  where: "a machine",
  engine: createEngine(),
  latency: async () => ({
    models: times.map(({ median, low = median, high = median, work }) => ({
      milliseconds: { median, low, high },
      speedup: { median: 1 / median, low: 1 / high, high: 1 / low },
      load: 1,
      runs: { p50: median, p90: high },
      ...(work === undefined ? {} : { processorTime: work }),
    })),
    rounds: 3,
    repeats: 1,
    threads: 1,
    unsteady: times.some(({ median, low = median, high = median }) => high > 2 * low),
  }),
});

let net: Model;

beforeAll(async () => {
  net = await trained();
});

describe("the choice among several candidates", () => {
  test("skips the smallest if it misses the goal on search samples and all samples", async () => {
    const [large = expect.fail(), small = expect.fail()] = [8, 4].map((bits) => ({
      name: `${bits} bits`,
      recipe: recipe({ quantize: { scheme: "weights", bits, weights: "palette" } }),
    }));
    const missed = { ...small, searched: { drop: 0.9, samples: 800 } };
    const choiceOf = async (...given: readonly (typeof small)[]) => {
      const { run } = await compress(net, given, task, { ...quick, choice: false, goal: { maxDrop: 0.3 } });
      return { choice: run.choice, chosen: run.chosen, mark: run.variants.map((one) => markOf(one, run.goal)) };
    };
    expect(await choiceOf(large, small)).toEqual({ choice: { place: 1, by: "usual" }, chosen: 1, mark: ["✓", "✓"] });
    expect(await choiceOf(large, missed)).toEqual({ choice: { place: 0, by: "only" }, chosen: 0, mark: ["✓", "?"] });
    // A single candidate is kept, and the report marks the missed goal.
    expect(await choiceOf(missed)).toMatchObject({ chosen: 0, mark: ["?"] });
  });

  test("reports batch-dependent outputs only for the kept candidate, with its name", async () => {
    const candidates = (["dynamic", "weights"] as const).map((scheme) => ({
      name: `int8 ${scheme}`,
      recipe: recipe({ quantize: { scheme } }),
    }));
    const [dynamic = expect.fail(), weights = expect.fail()] = candidates;
    const reported = async (...given: typeof candidates) => {
      const texts: string[] = [];
      const context = { log: ({ id, text }: { id: string; text: string }) => id === "batch" && texts.push(text) };
      const { run } = await compress(net, given, task, { ...quick, goal: { maxDrop: 0.5 } }, context);
      return { texts, kept: run.variants[run.chosen ?? -1]?.name };
    };
    expect((await reported(dynamic)).texts).toEqual([
      expect.stringMatching(
        /^int8 dynamic: The outputs of a sample depend on the others of its batch: 16 samples, alone and in a batch of 16/,
      ),
    ]);
    expect(await reported(weights)).toEqual({ texts: [], kept: "int8 weights" });
    const { texts, kept } = await reported(dynamic, weights);
    expect(texts).toHaveLength(kept === "int8 dynamic" ? 1 : 0);
  });

  describe("keeps the same candidate under any load:", () => {
    const candidates = [0.1, 0.12].map((amount, place) => ({
      name: place === 0 ? "larger" : "smaller",
      recipe: recipe({ prune: { structured: true, importance: "magnitude", roundTo: 1, layers: "fc1", amount } }),
    }));
    const chosenOn = async (target: RunTarget) => {
      const { run } = await compress(net, candidates, task, { targets: [target], goal: { maxDrop: 0.5 } });
      return { choice: run.choice, busy: run.warnings.filter((text) => text.includes("busy")) };
    };

    test("by speed, or processor time", async () => {
      const quiet = timed({ median: 1, work: 1 }, { median: 0.3, work: 0.3 }, { median: 1.2, work: 1.2 });
      const busy = timed(
        { median: 9, low: 1, high: 90, work: 1.2 },
        { median: 40, low: 0.3, high: 60, work: 0.4 },
        { median: 2, low: 1, high: 90, work: 1.5 },
      );
      const { choice, busy: none } = await chosenOn(quiet);
      expect(none).toEqual([]);
      expect(choice).toEqual({ place: 0, by: "usual", over: 1 });
      const beside = await chosenOn({ ...busy, name: "wasm" });
      expect(beside.choice).toEqual(choice);
      expect(beside.busy).toEqual([
        "The machine was too busy to measure speed: some rounds of a model took twice as long as others. When it is idle, time them: pith bench original model.onnx --target wasm",
      ]);
    });

    test("by size, if processor time is not available or nothing is timed", async () => {
      const busy = timed(
        { median: 9, low: 1, high: 90 },
        { median: 0.1, low: 0.1, high: 0.2 },
        { median: 50, high: 90 },
      );
      const latency = () => Promise.reject(new PithError("E_UNSUPPORTED", "Nothing is timed here."));
      for (const target of [busy, { ...busy, latency }]) {
        expect((await chosenOn(target)).choice).toEqual({ place: 1, by: "usual" });
      }
    });
  });

  test("rejects candidates that fail, grow or lose the function, with the reason, and continues", async () => {
    const named = (...steps: readonly object[]) => {
      const parsed = recipe(...steps);
      return { name: recipeNameOf(parsed), recipe: parsed };
    };
    const candidates = [
      named({ factorize: { layers: "nothing*", rank: 2 } }),
      named({ train: { epochs: 1 } }),
      named({ prune: { structured: true, amount: 0.95 } }),
      named({ quantize: { scheme: "weights" } }),
    ];
    const { run } = await compress(net, candidates, task, { rounds: 1 });
    expect(run.latency?.models.map((one) => one !== undefined)).toEqual([true, false, true, true, true]);
    expect(run.chosen).toBe(3);
    expect(run.variants.map(({ rejected }) => rejected)).toEqual([
      expect.stringContaining("nothing*"),
      "it is not smaller than the original",
      undefined,
      undefined,
    ]);
    expect(run.variants.map(({ verdict }) => verdict?.met)).toEqual([undefined, true, false, true]);
  });
});

describe("the choice by validation samples", () => {
  const { validation, test: tested } = divideSamples(count, false) ?? {
    validation: new Uint32Array(),
    test: new Uint32Array(),
  };
  const options = { ...quick, goal: { maxDrop: 0.05 } };
  const run = (test: Dataset, more: object = {}) =>
    compress(reliant, candidates, { test, metric: accuracy() }, { ...options, ...more }, { seed });

  test("does not keep the chosen candidate if the test samples reject it, with a message", async () => {
    const { run: record, result } = await run(relying(tested));
    expect([record.chosen, record.missed, result]).toEqual([undefined, 0, undefined]);
    expect(record.data).toMatchObject({ validation: 100, test: { count } });
    expect(record.variants[0]?.validation).toMatchObject({ comparison: { difference: { value: 0, count: 100 } } });
    expect(record.variants[0]?.comparison?.difference).toMatchObject({ value: -0.1, count: 200 });
    expect(errorOfRun(record)).toMatchObject({
      code: "E_ACCURACY_LOST",
      message: expect.stringMatching(
        /^First was chosen on 100 validation samples; on the 200 test samples accuracy went from .*: −10\.0 points .*; 5\.0 points allowed/,
      ),
    });
    const forced = await run(relying(tested), { force: true });
    expect([forced.run.chosen, forced.run.missed]).toEqual([0, undefined]);
  });

  test("keeps another candidate if no better one exists and the test samples accept it", async () => {
    const { run: record } = await run(relying(validation));
    expect(record.variants[0]?.validation).toMatchObject({
      verdict: { met: false, drop: { value: expect.closeTo(0.1) } },
    });
    expect(record.variants[0]?.comparison?.difference.value).toBe(0);
    expect([record.chosen, record.missed]).toEqual([0, undefined]);
    expect(record.choice).toEqual({ place: 0, by: "loss" });
  });
});

describe("the choice among several candidates", () => {
  test("returns the files of the other candidates on the Pareto front on request", async () => {
    const bits = [8, 1].map((bits) => recipe({ quantize: { scheme: "weights", bits, weights: "palette" } }));
    const candidates = bits.map((one) => ({ name: recipeNameOf(one), recipe: one }));
    const options = { rounds: 0, goal: { maxDrop: 0.95 }, front: true };
    const { run, others } = await compress(net, candidates, task, options);
    expect(run.chosen).toBe(1);
    expect(others.map(({ place }) => place)).toEqual([0]);
    expect(others[0]?.bytes).toHaveLength(run.variants[0]?.result?.bytes ?? Number.NaN);
    expect((await compress(net, candidates, task, { ...options, front: false })).others).toEqual([]);
  });

  describe("keeps the same candidate under any load:", () => {
    test("times no models if none is kept", async () => {
      const lossy = recipe({ prune: { structured: true, amount: 0.5 } });
      const busy = timed({ median: 9, low: 1, high: 90 }, { median: 2, low: 1, high: 90 });
      const { run } = await compress(net, [{ name: "lossy", recipe: lossy }], task, {
        targets: [busy],
        goal: { maxDrop: 0 },
      });
      expect(run.chosen).toBeUndefined();
      expect(run.warnings.filter((text) => text.includes("busy"))).toEqual([
        "The machine was too busy to measure speed: some rounds of a model took twice as long as others.",
      ]);
    });
  });
});

describe("the choice among several candidates", () => {
  test("keeps the smallest that meets the goal, and reports all", async () => {
    const formats = [
      { scheme: "static" },
      { scheme: "weights" },
      { scheme: "weights", bits: 4 },
      { scheme: "float16" },
    ].map((quantize) => recipe({ quantize }));
    const candidates = formats.map((one) => ({ name: recipeNameOf(one), recipe: one }));
    const options = { rounds: 3, goal: { maxDrop: 0.02 } };
    const { run, result } = await compress(net, candidates, task, options);
    expect(run.data).toMatchObject({ validation: 266, test: { count: 800 } });
    expect(run.variants.map(({ comparison }) => comparison?.difference.count)).toEqual([534, 534, 534, 534]);
    const kept = run.variants[run.chosen ?? -1]?.result?.bytes;
    expect(result?.bytes).toHaveLength(kept ?? Number.NaN);
    expect(run.latency?.models).toHaveLength(run.variants.length + 1);
    expect(run.latency?.models.every((one) => (one?.speedup.median ?? 0) > 0)).toBe(true);
  });
});
