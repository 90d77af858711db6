/** Precision fallback: some layers keep more bits to meet a goal, on a network with one layer that quantization ruins. */
import { beforeAll, describe, expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { layers } from "../../src/core/analysis/layers.ts";
import { Miss } from "../../src/core/errors.ts";
import type { Value } from "../../src/core/graph/graph.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { counted } from "../../src/core/numbers.ts";
import type { Context, OptionValues } from "../../src/core/pass/pass.ts";
import { completeContext } from "../../src/core/pass/run-pass.ts";
import { float32, inMemory } from "../../src/core/tensor/dense.ts";
import { take } from "../../src/data/batches/select.ts";
import { memory } from "../../src/data/index.ts";
import { separateSearchSamples } from "../../src/judge/fallback/fallback-samples.ts";
import { type FallbackVerdict, findCount, findFallback } from "../../src/judge/fallback/precision-fallback.ts";
import type { Goal } from "../../src/judge/index.ts";
import { recipeFrom } from "../../src/judge/recipe/check-recipe.ts";
import { runRecipe } from "../../src/judge/run/compress.ts";
import { runSingleStep } from "../../src/judge/run/single-step.ts";
import type { StepOutput } from "../../src/judge/steps/runner.ts";
import { runStep } from "../../src/judge/steps/step.ts";
import { parseStep } from "../../src/judge/steps/step-options.ts";
import { modelDigest } from "../../src/judge/steps/store.ts";
import { watchLoads } from "../../src/runtime/run/load-check.ts";
import { quantize } from "../../src/techniques/quantize/index.ts";
import { gptaq } from "../../src/techniques/quantize/rounders/gptaq.ts";
import { task, trained } from "./blobs.ts";

const context = completeContext();
const point: Goal = { maxDrop: 0.01 };

async function setNumbers(value: Value | undefined, set: (data: Float32Array) => void): Promise<void> {
  const dense = await value?.tensor?.read();
  if (value === undefined || dense?.type !== "float32") throw new Error("There is no such weight.");
  const data = dense.data.slice();
  set(data);
  value.tensor = inMemory(float32(dense.dims, data));
}

/** Returns the model with a first hidden unit of constant 0. The weights that read it are so large that 8 bits round all other weights to 0. */
async function withOutliers(original: Model): Promise<Model> {
  const model = original.clone();
  const [first, second] = layers(model, infer(model));
  const { inputs = 0, outputs = 0 } = second ?? {};
  await setNumbers(first?.weight, (data) => void data.fill(0.01, 0, first?.inputs));
  await setNumbers(first?.bias, (data) => void data.fill(-1, 0, 1));
  await setNumbers(second?.weight, (data) => {
    for (let row = 0; row < outputs; row++) data[row * inputs] = 1000;
  });
  return model;
}

async function runSpare(original: Model, options: OptionValues, goal: Goal = point) {
  const searchTask = await separateSearchSamples(original, task, {}, goal, context);
  if (searchTask instanceof Miss) throw new Error(searchTask.reason);
  const run = async (changed: OptionValues): Promise<StepOutput> => {
    const model = original.clone();
    return { model, ...(await runStep(await parseStep(quantize, changed), model, task, context)) };
  };
  const plain = await run(options);
  const { search } = searchTask;
  const request = { pass: quantize, options, original, requestedOutput: plain, run, search, output: undefined };
  const stages: unknown[] = [];
  const progress: Context["progress"] = (done, total, stage) => void stages.push([done, total, stage]);
  return { apart: searchTask, plain, found: await findFallback(request, { ...context, progress }), stages };
}

let sound: Model;
let ruined: Model;
beforeAll(async () => {
  sound = await trained();
  ruined = await withOutliers(sound);
});

describe("precision fallback with one layer that quantization ruins", () => {
  test.each(["weights", "dynamic", "static"])(
    "%s leaves only this layer in float, and gives the reason",
    async (scheme) => {
      const { apart, plain, found } = await runSpare(ruined, { scheme, equalize: false });
      if (found instanceof Miss) throw new Error(found.reason);
      const lost = await apart.compare(plain.model);
      expect(lost.comparison.difference.value).toBeLessThan(-0.1);
      const { output, fallback } = found;
      expect(fallback.preciseLayers).toMatchObject([{ layer: "fc2", bits: undefined, share: expect.closeTo(1, 1) }]);
      expect(fallback.preciseLayers[0]?.bytes).toBeGreaterThan(2 * 64 * 48);
      const reason = expect.stringMatching(/^kept in float; it causes [\d.]+ % of the error \(\+[\d.]+ kB\)$/);
      expect(output.misses.filter(({ at }) => at === "fc2")).toMatchObject([{ reason }]);
      expect(output.changes.map(({ at }) => at)).toEqual(expect.arrayContaining(["fc1", "fc3"]));
      expect((await apart.compare(output.model)).comparison.difference.value).toBeGreaterThanOrEqual(-0.01);
    },
  );

  test("gives the same layers for the same seed", async () => {
    const [first, second] = [
      await runSpare(ruined, { scheme: "weights" }),
      await runSpare(ruined, { scheme: "weights" }),
    ];
    if (first.found instanceof Miss || second.found instanceof Miss) throw new Error("Nothing was preciseLayers.");
    expect(first.found.fallback).toEqual(second.found.fallback);
  });
});

test("with 2-bit palettes, some layers fall back to 4 or 8 bits", async () => {
  const { found, stages } = await runSpare(sound, { scheme: "weights", weights: "palette", bits: 2 });
  if (found instanceof Miss) throw new Error(found.reason);
  const { preciseLayers, attempts } = found.fallback;
  expect(preciseLayers.some(({ bits }) => bits === 4 || bits === 8)).toBe(true);
  expect(attempts.length).toBeLessThanOrEqual(6);
  for (const [index, { layers = 0 }] of attempts.entries())
    expect(stages).toContainEqual([
      index,
      6,
      `attempt ${index + 1} of 6: ${counted(layers, "layer")} at higher precision`,
    ]);
});

const steps = (judge: unknown) => recipeFrom({ steps: [{ quantize: { scheme: "weights" }, judge }] });

test("a recipe step that misses the goal falls back for some layers, and records them", async () => {
  const options = { goal: point, rounds: 0 };
  await expect(runRecipe(ruined, steps(true), task, options)).rejects.toMatchObject({ code: "E_ACCURACY_LOST" });
  const { run } = await runRecipe(ruined, steps("fallback"), task, options);
  expect(run.data.validation).toBe(266);
  const [step] = run.variants[0]?.steps ?? [];
  expect(step?.options).toMatchObject({ overrides: { fc2: { float: true } } });
  expect(step?.misses).toMatchObject([{ at: "fc2", reason: expect.stringMatching(/^kept in float; it causes/) }]);
  expect(run.variants[0]?.comparison?.difference).toMatchObject({ count: 534 });
});

test("a recipe step that meets the goal is compared on all samples, because none chose its options", async () => {
  const { run } = await runRecipe(sound, steps("fallback"), task, { goal: point, rounds: 0 });
  expect(run.data.validation).toBeUndefined();
  expect(run.variants[0]).toMatchObject({ steps: [{ misses: [] }], comparison: { difference: { count: 800 } } });
});

test("a command and a recipe of one step keep the same layers, and are compared on the same samples", async () => {
  // With fewer samples than the first interim look, the command uses all of them.
  const few = { ...task, test: take(task.test, 600) };
  const command = await runSingleStep(
    {
      ...{ ...(await parseStep(quantize, { scheme: "weights" })), task: few, goal: point, fallback: true },
      input: { path: "original", model: ruined },
    },
    { ...context, engine: watchLoads(context.engine), stage: () => {} },
  );
  const { model, run } = await runRecipe(ruined, steps("fallback"), few, { goal: point, rounds: 0 });
  expect(run.variants[0]?.comparison).toMatchObject({ difference: { count: 400 } });
  expect(command.comparison).toEqual(run.variants[0]?.comparison);
  expect(command.tested).toEqual({ count: 400, searched: run.data.validation });
  if (command.result === undefined) throw new Error("There is no result.");
  expect(await modelDigest(command.result)).toBe(await modelDigest(model));
});

describe("a step that passes alone, but not together with the other models of a folder", () => {
  const runTogether = (passes: (model: Model) => boolean) => {
    const logged: string[] = [];
    const judgement = async (model: Model): Promise<FallbackVerdict> =>
      passes(model) ? { met: "clearly", text: "" } : { met: "no", text: "2 of 9 tokens are equal" };
    const stepResult = parseStep(quantize, { scheme: "weights" }).then((step) =>
      runSingleStep(
        {
          ...{ ...step, task, goal: point, fallback: true },
          input: { path: "original", model: sound },
          condition: async ({ samples }) => ({ samples, measure: judgement }),
        },
        {
          ...{ ...context, engine: watchLoads(context.engine), stage: () => {} },
          log: ({ text }) => void logged.push(text),
        },
      ),
    );
    return { stepResult, logged };
  };
  const hasFloatLayer = ({ graph }: Model): boolean =>
    ["fc1", "fc2", "fc3"].some((name) => graph.value(`${name}.weight`)?.tensor?.type === "float32");

  test("falls back for layers until the models pass together", async () => {
    const { stepResult, logged } = runTogether(hasFloatLayer);
    const { result } = await stepResult;
    expect(result && hasFloatLayer(result)).toBe(true);
    expect(logged).toContain(
      "the models of the folder lose too much together: looking for the layers with the largest error",
    );
  });

  test("is rejected if no choice of layers makes the models pass", async () => {
    await expect(runTogether(() => false).stepResult).rejects.toMatchObject({
      code: "E_ACCURACY_LOST",
      message: expect.stringMatching(/^No choice of layers .* 2 of 9 tokens are equal\.$/),
    });
  });
});

test("a step without higher-precision formats has no fallback", () => {
  const wrong = () => recipeFrom({ steps: [{ prune: { amount: 0.1 }, judge: "fallback" }] });
  expect(wrong).toThrow(
    expect.objectContaining({ message: expect.stringContaining("prune has no higher-precision form") }),
  );
});

test("rejects a goal that no choice of layers meets, with the remaining drop", async () => {
  const { found } = await runSpare(
    ruined,
    { scheme: "weights", layers: ["fc2"], weights: "palette", bits: 1 },
    { maxDrop: -1 },
  );
  expect(found).toBeInstanceOf(Miss);
  expect(found).toMatchObject({
    reason: expect.stringMatching(
      /^no choice of layers keeps the goal and makes the file smaller: with 1 layer at higher precision/,
    ),
  });
});

/** Runs the fallback of 1-bit palettes with a judge that is a function of the options. */
async function runWithJudge(judge: (overrides: OptionValues) => FallbackVerdict, lossRatio?: number) {
  const options = { scheme: "weights", weights: "palette", bits: 1 };
  const tried: OptionValues[] = [];
  const run = async (changed: OptionValues): Promise<StepOutput> => {
    tried.push(Object(changed.overrides));
    const model = sound.clone();
    return { model, ...(await runStep(await parseStep(quantize, changed), model, task, context)) };
  };
  const requestedOutput = await run(options);
  tried.length = 0;
  const search = { samples: undefined, measure: async () => judge(tried.at(-1) ?? {}) };
  const request = {
    pass: quantize,
    options,
    original: sound,
    requestedOutput,
    run,
    search,
    output: undefined,
    lossRatio,
  };
  return { outcome: await findFallback(request, context), tried };
}

test("stops after one attempt if even half of the weights at higher precision miss the goal, and names the next precision", async () => {
  const { outcome, tried } = await runWithJudge(() => ({ met: "no", text: "5.0 points lost", lossRatio: 5 }), 90);
  expect(outcome).toMatchObject({
    reason: expect.stringMatching(
      /^most weights would need 4 bits \(with \d layers? at higher precision 5.0 points lost\): use 4 bits for all layers$/,
    ),
  });
  expect(tried).toHaveLength(1);
});

test("tries no choice of layers twice", async () => {
  const { outcome, tried } = await runWithJudge((overrides) => {
    const bits = Object.values(overrides).reduce<number>((sum, layer) => sum + (Object(layer).bits ?? 32), 0);
    return { met: bits >= 8 ? "clearly" : "no", text: `${bits} bits` };
  });
  expect(outcome).toMatchObject({ fallback: { attempts: expect.any(Array) } });
  expect(tried.length).toBeGreaterThan(1);
  expect(new Set(tried.map((overrides) => JSON.stringify(overrides))).size).toBe(tried.length);
});

describe("layers with unchanged settings keep their rounded weights", () => {
  const calibrated = { ...task, calibrate: task.train };
  const quantizeWith = async (options: OptionValues, kept: Context["intermediates"]): Promise<Model> => {
    const model = sound.clone();
    await runStep(await parseStep(quantize, { scheme: "weights", equalize: false, ...options }), model, calibrated, {
      ...context,
      intermediates: kept,
    });
    return model;
  };

  test.each([
    ["mse", { bits: 4 }],
    ["mse", { bits: 3 }],
    ["mse", { bits: 4, zeroPoints: true }],
  ])("%s with %o gives the same bits as a run on its own", async (rounder, options) => {
    const overrides = { fc1: { float: true } };
    const kept: Context["intermediates"] = new Map();
    await quantizeWith({ ...options, rounder }, kept);
    const rounded = kept.size;
    const again = await quantizeWith({ ...options, rounder, overrides }, kept);
    const alone = await quantizeWith({ ...options, rounder, overrides }, undefined);
    expect(rounded).toBeGreaterThan(0);
    expect(await modelDigest(again)).toBe(await modelDigest(alone));
  });

  test("each weight is rounded once per precision, also by methods that see the layers before it", async () => {
    const roundings: string[] = [];
    const counting = {
      ...gptaq,
      codes: (...[weight, grid, layerContext]: Parameters<typeof gptaq.codes>) => {
        roundings.push(`${layerContext.layer.name} ${grid.high - grid.low}`);
        return gptaq.codes(weight, grid, layerContext);
      },
    };
    const kept: Context["intermediates"] = new Map();
    for (const overrides of [{}, { fc1: { bits: 8 } }, { fc1: { bits: 8 }, fc3: { float: true } }])
      await quantizeWith({ bits: 4, rounder: counting, overrides }, kept);
    expect(roundings.toSorted()).toEqual(["fc1 15", "fc1 254", "fc2 15", "fc3 15"]);
  });
});

describe("search for the fewest moves", () => {
  const errors = Array.from({ length: 101 }, (_, count) => 0.95 ** count);
  const search = async (needed: number, lossOf: ((error: number) => number) | undefined, attempts: number) => {
    let attemptCount = 0;
    const [start, end] = [lossOf?.(1), lossOf?.(errors[needed] ?? 0)];
    const lossRatioOf = (count: number): number | undefined =>
      lossOf && end !== undefined ? lossOf(errors[count] ?? 0) / end : undefined;
    const trial = await findCount(errors, start && end && start / end, attempts, async (count) => {
      attemptCount++;
      return { met: count >= needed ? "clearly" : "no", lossRatio: lossRatioOf(count), result: count };
    });
    return { count: trial?.result ?? 0, attemptCount };
  };

  test.each([1, 3, 17, 40, 77, 100])(
    "needs two attempts if the loss is proportional to the error (%i moves)",
    async (needed) => {
      const { count } = await search(needed, (error) => error, 2);
      expect(count).toBeGreaterThanOrEqual(needed);
      expect(count).toBeLessThanOrEqual(needed + 1);
    },
  );

  test.each([1, 3, 17, 40, 77, 100])(
    "needs few attempts if the loss is a power of the error (%i moves)",
    async (needed) => {
      for (const power of [0.5, 2]) {
        const { count } = await search(needed, (error) => error ** power, 6);
        expect(count).toBeGreaterThanOrEqual(needed);
        expect(count).toBeLessThanOrEqual(needed + 3);
      }
    },
  );

  test.each([1, 3, 17, 40, 77, 100])("bisects the errors if losses have no ratio (%i moves)", async (needed) => {
    const { count, attemptCount } = await search(needed, undefined, 8);
    expect(count).toBe(needed);
    expect(attemptCount).toBeLessThanOrEqual(8);
  });
});

test("the search and the test use disjoint samples", async () => {
  const numbered = memory("numbered", {
    input: {
      type: "float32",
      dims: [300, 16],
      data: Float32Array.from({ length: 300 * 16 }, (_, at) => Math.floor(at / 16)),
    },
    label: { type: "int64", dims: [300], data: BigInt64Array.from({ length: 300 }, (_, at) => BigInt(at % 8)) },
  });
  const searchTask = await separateSearchSamples(sound, { ...task, test: numbered }, {}, point, context);
  if (searchTask instanceof Miss) throw new Error(searchTask.reason);
  const judged = (await searchTask.compare(sound)).comparison.difference.count;
  expect([searchTask.searched, judged]).toEqual([100, 200]);
  const few = memory("few", {
    input: { type: "float32", dims: [80, 16], data: new Float32Array(80 * 16) },
    label: { type: "int64", dims: [80], data: new BigInt64Array(80) },
  });
  expect(await separateSearchSamples(sound, { ...task, test: few }, {}, point, context)).toBeInstanceOf(Miss);
});
