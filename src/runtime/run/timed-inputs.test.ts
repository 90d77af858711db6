import { describe, expect, it } from "vitest";
import { cachedDecoder, mergedDecoder } from "../../../test/language-model.ts";
import { createEngine, type Engine } from "../../core/engine/index.ts";
import { parseModel } from "../../core/graph/text.ts";
import { float32 } from "../../core/tensor/dense.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { memory } from "../../data/batches/indexed.ts";
import { relativeTime } from "./relative-time.ts";
import { inputTexts, timedFeeds, timedInputs, timedShapes } from "./timed-inputs.ts";

const model = (text: string) => parseModel(`opset 21\ngraph ${text}`);
const shapesOf = async (texts: readonly string[], sizes: Readonly<Record<string, number>> = {}) =>
  timedShapes(createEngine(), texts.map(model), { sizes: new Map(Object.entries(sizes)), seed: 1 });
const body = "-> (y: float32[...]) {\n  y = Relu(x)\n}";

describe("timedShapes", () => {
  it.each([
    ["sequences of 128", `(x: float32[batch, sequence, 4]) ${body}`, [1, 128, 4]],
    ["images of 224 by 224", `(x: float32[n, 3, height, width]) ${body}`, [1, 3, 224, 224]],
    ["one sample, where the first dimension has no name", `(x: float32["?x.0", "?x.1"]) ${body}`, [1, 128]],
    ["what is fixed as it is", `(x: float32[2, 5]) ${body}`, [2, 5]],
  ])("are %s", async (_, text, dims) => {
    expect(await shapesOf([text])).toEqual([{ x: dims }]);
  });

  it("uses one sample for states, too", async () => {
    const stateful = `(x: float32["?x.0", "?x.1"], state: float32[2, "?state.1", 8]) -> (y: float32[...], stateN: float32[2, "?stateN.1", 8]) {\n  y = Relu(x)\n  stateN = Relu(state)\n}`;
    expect(await shapesOf([stateful])).toEqual([{ x: [1, 128], state: [2, 1, 8] }]);
  });

  /** A model with embeddings for at most 64 positions. */
  const positions = `(x: float32[batch, s, 8]) -> (y: float32[...]) {
  table: float32[1, 64, 8] = random(seed 1)
  shape = Shape(x) {start=1, end=2}
  zero: int64[1] = [0]
  one: int64[1] = [1]
  own = Slice(table, zero, shape, one)
  y = Add(x, own)
}`;

  it("selects smaller sizes for all models if the first one fails", async () => {
    const [shapes, other] = await shapesOf([positions, `(x: float32[b, t, 8]) ${body}`]);
    expect(shapes).toEqual({ x: [1, 16, 8] });
    expect(other).toEqual(shapes);
  });

  it("uses the given sizes", async () => {
    expect(await shapesOf([positions], { s: 40, batch: 3 })).toEqual([{ x: [3, 40, 8] }]);
    expect(await shapesOf([positions, `(x: float32[1, 40, 8]) ${body}`], { s: 40 })).toEqual([
      { x: [1, 40, 8] },
      { x: [1, 40, 8] },
    ]);
    await expect(shapesOf([positions], { length: 7 })).rejects.toMatchObject({ code: "E_NAME" });
  });

  it("fails with a hint if no size runs or an input cannot be drawn", async () => {
    const never = "(x: float32[n, s]) -> (y: float32[...]) {\n  d: int64[1] = [1031]\n  y = Reshape(x, d)\n}";
    await expect(shapesOf([never])).rejects.toMatchObject({ code: "E_ENGINE", hint: expect.stringContaining("`dim`") });
    await expect(shapesOf([`(x: float32[...]) ${body}`])).rejects.toMatchObject({ code: "E_UNSUPPORTED" });
  });
});

it("draws the same numbers for the same seed", () => {
  const vectorModel = model(`(x: float32[n, 4]) ${body}`);
  expect(timedFeeds(vectorModel, { x: [1, 4] }, 1)).toEqual(timedFeeds(vectorModel, { x: [1, 4] }, 1));
  expect(timedFeeds(vectorModel, { x: [1, 4] }, 2)).not.toEqual(timedFeeds(vectorModel, { x: [1, 4] }, 1));
});

describe("timedInputs", () => {
  const engine = createEngine();
  const samples = memory("vectors", {
    x: float32(
      [3, 4],
      Float32Array.from({ length: 12 }, (_, index) => index),
    ),
  });

  it("returns the first sample for each model", async () => {
    const models = [model(`(x: float32[n, 4]) ${body}`), model(`(x: float32[1, 4]) ${body}`)];
    const { feeds, source } = await timedInputs(engine, models, { samples });
    expect(source).toBe("vectors");
    for (const { x } of feeds) expect(x).toEqual(float32([1, 4], [0, 1, 2, 3]));
    expect((await timedInputs(engine, models)).source).toBeUndefined();
  });

  it("returns a text of the model and an empty cache for a decoder, unless sizes are given", async () => {
    const { feeds, source } = await timedInputs(engine, [mergedDecoder()]);
    expect({ source, feeds: feeds.map(inputTexts) }).toEqual({
      source: "text that the model generated",
      feeds: [
        { input_ids: "int64[1, 64]", "past_key_values.0.key": "float32[1, 0, 8]", use_cache_branch: "bool[1] = 0" },
      ],
    });
    const sizes = new Map([["seq", 5]]);
    expect((await timedInputs(engine, [cachedDecoder()], { sizes })).source).toBeUndefined();
  });
});

it("times two models on the first sample of the data", async () => {
  const recorded: Batch[] = [];
  const engine = createEngine();
  const watching: Engine = {
    ...engine,
    load: async (...parameters) => {
      const session = await engine.load(...parameters);
      const run: typeof session.run = (feeds, fetched) => {
        recorded.push(feeds);
        return session.run(feeds, fetched);
      };
      return { ...session, run };
    },
  };
  const samples = memory("vectors", { x: float32([2, 4], Float32Array.of(5, 6, 7, 8, 1, 2, 3, 4)) });
  const [before, after] = [model(`(x: float32[n, 4]) ${body}`), model(`(x: float32[n, 4]) ${body}`)];
  await relativeTime(before, after, { engine: watching, seed: 0, signal: new AbortController().signal }, samples);
  expect(new Set(recorded.map(({ x }) => String(x?.data)))).toEqual(new Set(["5,6,7,8"]));
});
