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
import { memory } from "../../src/data/index.ts";
import type { Goal } from "../../src/judge/index.ts";
import { recipeFrom } from "../../src/judge/recipe/check-recipe.ts";
import { runRecipe } from "../../src/judge/run/run.ts";
import { findFallback, type StepOutput } from "../../src/judge/run/sparing.ts";
import { separateSearchSamples } from "../../src/judge/run/sparing-samples.ts";
import { runStep } from "../../src/judge/steps/step.ts";
import { quantize } from "../../src/techniques/quantize/index.ts";
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
    return { model, ...(await runStep(quantize, model, changed, task, context)) };
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
      const { output, sparing } = found;
      expect(sparing.spared).toMatchObject([{ layer: "fc2", bits: undefined, share: expect.closeTo(1, 1) }]);
      expect(sparing.spared[0]?.bytes).toBeGreaterThan(2 * 64 * 48);
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
    if (first.found instanceof Miss || second.found instanceof Miss) throw new Error("Nothing was spared.");
    expect(first.found.sparing).toEqual(second.found.sparing);
  });
});

test("with 1-bit palettes, some layers fall back to 4 or 8 bits", async () => {
  const { found, stages } = await runSpare(sound, { scheme: "weights", weights: "palette", bits: 1 });
  if (found instanceof Miss) throw new Error(found.reason);
  const { spared, attempts } = found.sparing;
  expect(spared.some(({ bits }) => bits === 4 || bits === 8)).toBe(true);
  expect(attempts.length).toBeLessThanOrEqual(24);
  for (const [index, { layers = 0 }] of attempts.entries())
    expect(stages).toContainEqual([
      index,
      24,
      `attempt ${index + 1} of 24: ${counted(layers, "layer")} at higher precision`,
    ]);
});

test("a recipe step that misses the goal falls back for some layers, and records them", async () => {
  const steps = (judge: unknown) => recipeFrom({ steps: [{ quantize: { scheme: "weights" }, judge }] });
  const options = { goal: point, rounds: 0 };
  await expect(runRecipe(ruined, steps(true), task, options)).rejects.toMatchObject({ code: "E_ACCURACY_LOST" });
  const { run } = await runRecipe(ruined, steps("spare"), task, options);
  expect(run.data.validation).toBe(266);
  const [step] = run.variants[0]?.steps ?? [];
  expect(step?.options).toMatchObject({ overrides: { fc2: { float: true } } });
  expect(step?.misses).toMatchObject([{ at: "fc2", reason: expect.stringMatching(/^kept in float; it causes/) }]);
  expect(run.variants[0]?.comparison?.difference).toMatchObject({ count: 534 });
  const untouched = await runRecipe(sound, steps("spare"), task, options);
  expect(untouched.run.variants[0]?.steps[0]?.misses).toEqual([]);
});

test("a step without higher-precision formats has no fallback", () => {
  const wrong = () => recipeFrom({ steps: [{ prune: { amount: 0.1 }, judge: "spare" }] });
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

test("stops after one attempt if the longest smaller choice of layers misses the goal", async () => {
  const options = { scheme: "weights", weights: "palette", bits: 1 };
  const run = async (changed: OptionValues): Promise<StepOutput> => {
    const model = sound.clone();
    return { model, ...(await runStep(quantize, model, changed, task, context)) };
  };
  let measured = 0;
  const measure = async () => ({ holds: "no", text: `attempt ${++measured}` }) as const;
  const search = { samples: undefined, measure };
  const request = { pass: quantize, options, original: sound, requestedOutput: await run(options), run, search };
  expect(await findFallback({ ...request, output: undefined }, context)).toMatchObject({
    reason: expect.stringMatching(/^no choice of layers keeps the goal .* at higher precision attempt 1$/),
  });
  expect(measured).toBe(1);
});

test("tries no choice of layers twice", async () => {
  const tried: string[] = [];
  let bits = 0;
  const run = async (changed: OptionValues): Promise<StepOutput> => {
    const overrides = Object.values(Object(changed.overrides)) as { readonly bits?: number }[];
    bits = overrides.reduce((sum, own) => sum + (own.bits ?? 32), 0);
    tried.push(JSON.stringify(changed.overrides));
    const model = sound.clone();
    return { model, ...(await runStep(quantize, model, changed, task, context)) };
  };
  const options = { scheme: "weights", weights: "palette", bits: 1 };
  const plain = await run(options);
  tried.length = 0;
  const measure = async () => ({ holds: bits >= 12 ? "clearly" : "no", text: `${bits} bits` }) as const;
  const search = { samples: undefined, measure };
  const request = { pass: quantize, options, original: sound, requestedOutput: plain, run, search };
  const outcome = await findFallback({ ...request, output: undefined }, context);
  expect(outcome).toMatchObject({ sparing: { attempts: expect.any(Array) } });
  expect(tried.length).toBeGreaterThan(2);
  expect(new Set(tried).size).toBe(tried.length);
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
