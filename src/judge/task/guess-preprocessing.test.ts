import { describe, expect, it } from "vitest";
import type { Engine } from "../../core/engine/engine.ts";
import { createEngine } from "../../core/engine/index.ts";
import { parseModel } from "../../core/graph/text.ts";
import { type Dataset, memory, presets } from "../../data/index.ts";
import { guessPreprocessing } from "./guess-preprocessing.ts";

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
    const evaluated = 4 * 32 + 2 * (256 - 32);
    expect(calls.at(-1)?.[0]).toBe(evaluated);
    // Equal samples run once.
    expect(runs).toBeLessThan(evaluated);
    expect(new Set(calls.map(([, total]) => total))).toEqual(new Set([evaluated + 2 * (1024 - 256)]));
    expect(calls.map(([done]) => done)).toEqual(calls.map(([done]) => done).toSorted((a, b) => a - b));
  });

  it("ends after the first round if one candidate remains and is better than chance", async () => {
    const counts: number[] = [];
    const guess = await guessPreprocessing(engine, model, pixels(Array.from({ length: 2000 }, (_, at) => at % 2)), {
      tried: [presets.unit],
      progress: (done) => counts.push(done),
    });
    expect(guess).toMatchObject({ trusted: true, indistinct: [] });
    expect(counts.at(-1)).toBe(16);
  });

  it("tries candidates that are far behind on 16 samples only", async () => {
    const counts: number[] = [];
    const { chosen, scores } = await guessPreprocessing(
      engine,
      model,
      pixels(Array.from({ length: 2000 }, (_, at) => at % 2)),
      { progress: (done) => counts.push(done) },
    );
    expect(chosen).toBe(presets.unit);
    expect(scores.map(({ accuracy }) => accuracy.count)).toEqual([16, 16, 16, 16]);
    expect(counts.at(-1)).toBe(4 * 16);
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

  it("ends after 128 samples if equally good candidates have similar ranges", async () => {
    const counts: number[] = [];
    const guess = await guessPreprocessing(engine, model, pixels(Array.from({ length: 2000 }, (_, at) => at % 2)), {
      tried: [presets.unit, { ...presets.unit, name: "same" }],
      progress: (done) => counts.push(done),
    });
    expect(guess).toMatchObject({ trusted: true, indistinct: [{}] });
    expect(counts.at(-1)).toBe(2 * 128);
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
