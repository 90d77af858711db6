/** The `recover` pass keeps a stage only if it helps on held-out samples. */
import { describe, expect, test } from "vitest";
import { originalChannelsOf } from "../../../src/core/analysis/provenance.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { structureHash } from "../../../src/core/graph/structure-hash.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import { memory } from "../../../src/data/index.ts";
import { matchOriginal } from "../../../src/techniques/calibrate/match-original.ts";
import { prune } from "../../../src/techniques/prune/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { recover } from "../../../src/techniques/recover/index.ts";
import { isImprovement } from "../../../src/techniques/recover/score.ts";
import { build, change, data, engine, network, noiseOf, numbers, samples } from "./networks.ts";

test("brings a pruned model nearer to the original, and reports each stage's gain", async () => {
  const original = build();
  const model = original.clone();
  await prune(model, { amount: 0.3, structured: true });
  const before = await noiseOf(model, original);
  const { changes, misses } = await recover(model, { original, data });
  expect(await noiseOf(model, original)).toBeGreaterThan(before + 3);
  expect(changes.map(({ at }) => at)).toEqual(["bias", "least-squares"]);
  for (const { what } of changes)
    expect(what).toMatch(/^(?:biases|weights) of \d+ layers? .*; signal to noise -?[\d.]+ → [\d.]+ dB, agreement /);
  expect(misses).toEqual([]);
});

test("reports one progress over all stages, which names the stage and never falls", async () => {
  const original = build();
  const model = original.clone();
  await prune(model, { amount: 0.3, structured: true });
  const reports: { readonly done: number; readonly total: number | undefined; readonly figures: string | undefined }[] =
    [];
  const progress = (done: number, total?: number, figures?: string) => void reports.push({ done, total, figures });
  await recover(model, { original, data }, { progress });
  expect(new Set(reports.map(({ total, figures }) => `${total} ${figures}`))).toEqual(
    new Set(["100 stage 2 of 3", "100 stage 3 of 3"]),
  );
  const percents = reports.map(({ done }) => done);
  expect(percents).toEqual(percents.toSorted((a, b) => a - b));
});

test("a stage that raises the divergence of classes must raise the signal-to-noise ratio by one decibel", () => {
  const before = { signalToNoise: 4.8, divergence: 0.2 };
  expect(isImprovement(before, { signalToNoise: 5.2, divergence: 0.21 })).toBe(false);
  expect(isImprovement(before, { signalToNoise: 5.2, divergence: 0.2 })).toBe(true);
  expect(isImprovement(before, { signalToNoise: 6, divergence: 0.21 })).toBe(true);
  expect(isImprovement({ signalToNoise: 4.8 }, { signalToNoise: 4.9 })).toBe(true);
});

test("warns about an original that has other layers", async () => {
  const layersNamed = (first: string, second: string) =>
    network(
      "x: float32[batch, 3]",
      "y: float32[batch, 4]",
      { [`${first}.weight`]: [5, 3], [`${second}.weight`]: [4, 5] },
      `  ${first} = Gemm(x, ${first}.weight) {transB=1}
  r = Relu(${first})
  ${second} = Gemm(r, ${second}.weight) {transB=1}
  y = Identity(${second})`,
    );
  const warnings = async (original: Model): Promise<readonly string[]> => {
    const texts: string[] = [];
    const log = (event: { readonly id: string; readonly text: string }) => {
      if (event.id === "original") texts.push(event.text);
    };
    await recover(layersNamed("a", "b"), { original, data: samples([64, 3]) }, { log });
    return texts;
  };
  expect(await warnings(await changed(layersNamed("a", "b"), "b.weight"))).toEqual([]);
  expect(await warnings(await changed(layersNamed("c", "d"), "d.weight"))).toEqual([
    "the model has only 0 of the 2 layers of the original: is it the model that this one was made from?",
  ]);
});

/** Returns the model with halved weights of one layer. */
async function changed(model: Model, name: string): Promise<Model> {
  await change(model, name, (one) => one / 2);
  return model;
}

test("a dry run reports the stages and their samples, and runs no model", async () => {
  const original = build();
  const model = original.clone();
  await prune(model, { amount: 0.3, structured: true });
  const hash = structureHash(model);
  const context = { dryRun: true, engine: { load: () => Promise.reject(new Error("a model was run")) } };
  const { changes, misses } = await recover(model, { original, data, until: "end-to-end", samples: 50 }, context);
  expect(changes.map(({ at, what }) => `${at} ${/on \d+ samples$/.exec(what)?.[0]}`)).toEqual([
    "batch-norm on 50 samples",
    "bias on 50 samples",
    "least-squares on 50 samples",
    "blocks on 50 samples",
    "end-to-end on 128 samples",
  ]);
  expect(misses).toEqual([]);
  expect(structureHash(model)).toBe(hash);
  expect((await recover(model, { original, data, until: "bias" }, context)).changes).toHaveLength(2);
  await expect(recover(model, { original, data }, { engine: context.engine })).rejects.toThrow("a model was run");
});

test("maps channels to an original that was pruned itself", async () => {
  const first = build();
  const second = first.clone();
  await prune(second, { amount: 0.2, structured: true });
  const third = second.clone();
  await prune(third, { amount: 0.3, structured: true });
  await change(third, "a.weight", (one) => one * 1.01);
  const [layer] = (await matchOriginal(third, second, engine)).layers;
  const rows = await numbers(second, "a.weight");
  const width = rows.length / (originalChannelsOf(second, "a")?.length ?? 0);
  const kept = layer?.kept ?? [];
  const remaining = await numbers(third, "a.weight");
  expect(kept.length).toBe(remaining.length / width);
  kept.forEach((channel, at) => {
    expect(remaining[at * width]).toBeCloseTo(1.01 * (rows[channel * width] ?? 0), 6);
  });
});

test.each(["static", "weights"] as const)(
  "corrects biases of a quantized model (%s), and gives reasons for the other stages",
  async (scheme) => {
    const original = build();
    const model = original.clone();
    const plain = { perChannel: false, equalize: false, biasCorrection: "none" } as const;
    await quantize(model, { scheme, ...plain, ...(scheme === "static" ? { data } : {}) });
    const before = await noiseOf(model, original);
    const { changes, misses } = await recover(model, { original, data });
    expect(changes).toMatchObject([{ at: "bias" }]);
    expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toEqual(
      ["a", "b", "fc"].map((at) => `${at}: its weight is quantized already`),
    );
    expect(await noiseOf(model, original)).toBeGreaterThan(before + 0.5);
    expect(verify(model)).toEqual([]);
  },
);

test("skips training if no gradient passes through the model", async () => {
  const original = build();
  const model = original.clone();
  await quantize(model, { scheme: "dynamic" });
  const { changes, misses } = await recover(model, { original, data, until: "end-to-end" });
  expect(changes).toEqual([]);
  expect(misses.at(-1)).toMatchObject({ at: "end-to-end", reason: expect.stringContaining("has no gradient") });
});

test("runs the stages up to the requested one", async () => {
  const original = build();
  const model = original.clone();
  await change(model, "fc.weight", (one) => one * 0.8);
  await change(model, "fc.bias", (one) => one + 1);
  const { changes } = await recover(model, { original, data, until: "bias" });
  expect(changes.map(({ at }) => at)).toEqual(["bias"]);
  expect(await numbers(model, "a.weight")).toEqual(await numbers(original, "a.weight"));
});

describe("a model stays unchanged", () => {
  test("if it already computes the original's outputs", async () => {
    const original = build();
    const model = original.clone();
    const before = structureHash(model);
    const { changes, misses } = await recover(model, { original, data });
    expect(changes).toEqual([]);
    expect(misses).toMatchObject([{ reason: expect.stringContaining("nothing to recover") }]);
    expect(structureHash(model)).toBe(before);
  });

  test("if a stage does not help on held-out samples, which is reported", async () => {
    const norm = { "n.scale": [4], "n.bias": [4], "n.mean": [4], "n.variance": [4] };
    const original = network(
      "x: float32[n, 3, 6, 6]",
      "y: float32[n, 4, 6, 6]",
      { "a.weight": [4, 3, 1, 1], ...norm },
      "  h = Conv(x, a.weight)\n  y = BatchNormalization(h, n.scale, n.bias, n.mean, n.variance)",
    );
    const model = original.clone();
    await change(model, "a.weight", (one) => one * 1.01);
    const before = structureHash(model);
    // The statistics of the original differ from those of these samples.
    const { changes, misses } = await recover(model, { original, data, until: "batch-norm" });
    expect(changes).toEqual([]);
    expect(misses).toMatchObject([{ at: "batch-norm", reason: expect.stringContaining("it did not help: ") }]);
    expect(structureHash(model)).toBe(before);
  });

  test("if the options or the data are invalid", async () => {
    const original = build();
    const model = original.clone();
    await change(model, "fc.bias", (one) => one + 1);
    const before = structureHash(model);
    const other = network("x: float32[n, 3, 6, 6]", "z: float32[n, 3, 6, 6]", {}, "  z = Relu(x)");
    await expect(recover(model, { original: other, data })).rejects.toMatchObject({ code: "E_DATA" });
    const few = memory("few", { x: float32([3, 3, 6, 6], new Float32Array(324)) });
    await expect(recover(model, { original, data: few })).rejects.toMatchObject({
      code: "E_DATA",
      message: expect.stringContaining("few has 3 samples"),
    });
    await expect(recover(model, { data })).rejects.toMatchObject({
      code: "E_OPTION",
      message: expect.stringContaining("the original model is required"),
    });
    await expect(recover(model, { original, data: samples([16, 4]) })).rejects.toMatchObject({ code: "E_DATA" });
    await expect(recover(model, { original, data }, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: "E_STOPPED",
    });
    expect(structureHash(model)).toBe(before);
  });
});
