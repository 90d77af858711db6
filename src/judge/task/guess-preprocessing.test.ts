import { describe, expect, it } from "vitest";
import type { Engine } from "../../core/engine/engine.ts";
import { createEngine } from "../../core/engine/index.ts";
import { parseModel } from "../../core/graph/text.ts";
import { type Dataset, memory, presets } from "../../data/index.ts";
import { guessPreprocessing } from "./guess-preprocessing.ts";
import { findBetterPreprocessing } from "./prepare-images.ts";

const engine = createEngine();

const numbers = memory("points", { x: { type: "float32", dims: [4, 3], data: new Float32Array(12) } });

describe("guessPreprocessing", () => {
  /** Images of one gray pixel, dark or bright; the model asks whether it is above 0.5. */
  const pixels = (labels: readonly number[]): Dataset =>
    memory("pixels", {
      image: {
        type: "uint8",
        dims: [labels.length, 1, 1, 1],
        data: Uint8Array.from(labels, (label, index) => (label === 1 ? 140 : 100) + (index % 20)),
      },
      label: { type: "int64", dims: [labels.length], data: BigInt64Array.from(labels, BigInt) },
    });
  const model = parseModel(`opset 21 graph (x: float32[n, 1]) -> (y: float32[n, 2]) {
    half: float32[1, 1] = [0.5]
    above = Sub(x, half)
    below = Neg(above)
    y = Concat(below, above) {axis=1}
  }`);
  const labels = Array.from({ length: 40 }, (_, index) => index % 2);

  it("chooses the preprocessing with the best score, and returns all scores", async () => {
    const guess = await guessPreprocessing(engine, model, pixels(labels));
    expect(guess.chosen).toBe(presets.unit);
    expect(guess.scores[0]?.accuracy.value).toBe(1);
    expect(guess.scores.map(({ preprocessing }) => preprocessing.name).toSorted()).toEqual([
      "mnist",
      "raw",
      "symmetric",
      "unit",
    ]);
    expect(guess.trusted).toBe(true);
    expect(guess.chance).toBe(0.5);
  });

  it("ends after a few runs if no candidate beats chance, with one progress report", async () => {
    const many = Array.from({ length: 2000 }, (_, index) => (index * 7 + (index >> 2)) % 2);
    // Both classes get the same score for every input.
    const blank = parseModel(`opset 21 graph (x: float32[n, 1]) -> (y: float32[n, 2]) {
      none: float32[1, 1] = [0]
      zero = Mul(x, none)
      y = Concat(zero, zero) {axis=1}
    }`);
    let runs = 0;
    const counting: Engine = {
      load: async (loaded, settings) => {
        const session = await engine.load(loaded, settings);
        return {
          ...session,
          release: () => session.release(),
          run: (feeds, fetch) => {
            runs += feeds.x?.dims[0] ?? 0;
            return session.run(feeds, fetch);
          },
        };
      },
    };
    const calls: [number, number | undefined][] = [];
    const guess = await guessPreprocessing(counting, blank, pixels(many), {
      progress: (done, total) => calls.push([done, total]),
    });
    expect(guess).toMatchObject({ trusted: false, chosen: presets.unit });
    expect(guess.indistinct).toHaveLength(3);
    // Four candidates with 32 samples each, two of them on up to 256; the search stops because none is better than chance.
    expect(runs).toBe(4 * 32 + 2 * (256 - 32));
    expect(new Set(calls.map(([, total]) => total))).toEqual(new Set([runs + 2 * (1024 - 256)]));
    expect(calls.map(([done]) => done)).toEqual(calls.map(([done]) => done).toSorted((a, b) => a - b));
    expect(calls.at(-1)?.[0]).toBe(runs);
  });

  it("ends after the first round if one candidate remains and is better than chance", async () => {
    const counts: number[] = [];
    const guess = await guessPreprocessing(engine, model, pixels(Array.from({ length: 2000 }, (_, at) => at % 2)), {
      tried: [presets.unit],
      progress: (done) => counts.push(done),
    });
    expect(guess).toMatchObject({ trusted: true, indistinct: [] });
    expect(counts.at(-1)).toBe(32);
  });

  it("chooses the narrowest range of candidates with equal predictions, and names the others", async () => {
    const count = 300;
    const brighter = memory("brighter", {
      image: {
        type: "uint8",
        dims: [count, 1, 1, 2],
        data: Uint8Array.from(
          { length: 2 * count },
          (_, at) => (((at >> 1) * 7) % 200) + (at % 2 === (at >> 1) % 2 ? 40 : 0),
        ),
      },
      label: { type: "int64", dims: [count], data: BigInt64Array.from({ length: count }, (_, at) => BigInt(at % 2)) },
    });
    // The class is the brighter pixel at any scale, so a wider range has a lower loss.
    const compare = parseModel("opset 21 graph (x: float32[n, 2]) -> (y: float32[n, 2]) {\n  y = Identity(x)\n}");
    const { chosen, indistinct, trusted } = await guessPreprocessing(engine, compare, brighter);
    expect(trusted).toBe(true);
    expect(["unit", "symmetric"]).toContain(chosen.name);
    expect(indistinct.map(({ name }) => name)).toEqual(expect.arrayContaining(["mnist", "raw"]));
  });

  it("ends after 256 samples if equally good candidates have similar ranges", async () => {
    const counts: number[] = [];
    const guess = await guessPreprocessing(engine, model, pixels(Array.from({ length: 2000 }, (_, at) => at % 2)), {
      tried: [presets.unit, { ...presets.unit, name: "same" }],
      progress: (done) => counts.push(done),
    });
    expect(guess).toMatchObject({ trusted: true, indistinct: [{}] });
    expect(counts.at(-1)).toBe(2 * 256);
  });

  it("does not trust a best score at chance level", async () => {
    const random = labels.map((_, index) => (index * 7 + (index >> 2)) % 2);
    const mixed = pixels(labels);
    const shuffled: Dataset = {
      ...mixed,
      async *batches(options) {
        for await (const batch of mixed.batches(options))
          yield { ...batch, label: { type: "int64", dims: [random.length], data: BigInt64Array.from(random, BigInt) } };
      },
    };
    const guess = await guessPreprocessing(engine, model, {
      name: "shuffled",
      count: undefined,
      batches: (options) => shuffled.batches(options),
    });
    expect(guess.trusted).toBe(false);
  });

  it("rejects data without labels or without stored images", async () => {
    await expect(guessPreprocessing(engine, model, numbers)).rejects.toThrow("no stored images");
    const unlabelled = memory("m", { image: { type: "uint8", dims: [1, 1, 1, 1], data: new Uint8Array(1) } });
    await expect(guessPreprocessing(engine, model, unlabelled)).rejects.toThrow("has no labels");
  });
});

describe("findBetterPreprocessing", () => {
  /** Dark pixels: 0 to 60. */
  const dark = memory("dark", {
    image: { type: "uint8", dims: [80, 1, 1, 1], data: Uint8Array.from({ length: 80 }, (_, at) => at % 61) },
  });
  /** Its confidence grows with the distance from 0. */
  const farFromZero = parseModel(`opset 21 graph (x: float32[n, 1]) -> (logits: float32[n, 2]) {
    four: float32[] = 4
    far = Mul(x, four)
    back = Neg(far)
    logits = Concat(far, back) {axis=1}
  }`);

  it("finds a preprocessing of no wider range with higher confidence, without labels", async () => {
    const surer = await findBetterPreprocessing(engine, farFromZero, dark, presets.mnist);
    expect(surer).toMatchObject({ preprocessing: presets.symmetric, samples: 64 });
    expect(surer?.value).toBeGreaterThan(0.99);
    expect(surer?.stated).toBeLessThan(0.95);
  });

  it.each(["symmetric", "raw", "unit"] as const)("finds no better preprocessing than %s", async (stated) => {
    expect(await findBetterPreprocessing(engine, farFromZero, dark, presets[stated])).toBeUndefined();
  });

  describe("with colors", () => {
    /** Red or blue images with weak noise: the label says which. */
    const colors = memory("colors", {
      image: {
        type: "uint8",
        dims: [200, 3, 1, 1],
        data: Uint8Array.from({ length: 600 }, (_, at) => {
          const [sample, channel] = [Math.floor(at / 3), at % 3];
          return channel === (sample % 2 === 0 ? 0 : 2) ? 100 + (sample % 100) : 90 + (sample % 97);
        }),
      },
      label: { type: "int64", dims: [200], data: BigInt64Array.from({ length: 200 }, (_, at) => BigInt(at % 2)) },
    });
    const redOrBlue = parseModel(`opset 21 graph (x: float32[n, 3, 1, 1]) -> (logits: float32[n, 2]) {
      w: float32[3, 2] = [[1, 0], [0, 0], [0, 1]]
      flat = Flatten(x)
      logits = MatMul(flat, w)
    }`);
    const { cifar10 } = presets;

    it("finds the other order of channels by accuracy", async () => {
      const swapped = { ...cifar10, channels: "BGR", name: "cifar10 channels=BGR" } as const;
      const better = await findBetterPreprocessing(engine, redOrBlue, colors, swapped, { labelled: true });
      expect(better).toMatchObject({
        measure: "accuracy",
        preprocessing: { channels: "RGB", name: "cifar10 channels=RGB" },
        samples: 128,
      });
      expect(better?.value).toBeGreaterThan((better?.stated ?? 1) + 0.1);
    });

    it("keeps the right order of channels", async () => {
      const better = await findBetterPreprocessing(engine, redOrBlue, colors, cifar10, { labelled: true });
      expect(better?.preprocessing.channels).not.toBe("BGR");
    });
  });

  it("returns undefined for a model that outputs NaN", async () => {
    const broken = parseModel(`opset 21 graph (x: float32[n, 1]) -> (logits: float32[n, 2]) {
      none: float32[1, 2] = [nan, nan]
      logits = MatMul(x, none)
    }`);
    expect(await findBetterPreprocessing(engine, broken, dark, presets.mnist)).toBeUndefined();
  });

  it("returns undefined for data without stored images", async () => {
    expect(await findBetterPreprocessing(engine, farFromZero, numbers, presets.mnist)).toBeUndefined();
  });
});
