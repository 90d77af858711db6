import { describe, expect, it } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import { parseModel } from "../../core/graph/text.ts";
import { sequenceNames, timedFeeds, timedShapes } from "./timed-inputs.ts";

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

it.each([
  ["tokens and their mask", "ids: int64[batch, length], mask: int64[batch, length]", ["length"]],
  ["a cache beside them", "ids: int64[n, s], past: float32[n, 2, p, 8], mask: int64[n, total]", ["s", "total"]],
  ["images and a whole number", "x: float32[n, 3, height, width], rate: int64[]", []],
  ["tokens of a fixed number", "ids: int64[batch, 128]", []],
])("sequenceNames finds token dimensions: %s", (_, inputs, names) => {
  expect([...sequenceNames(model(`(${inputs}) -> (y) {\n  y = Identity(${inputs.split(":")[0]})\n}\n`))]).toEqual(
    names,
  );
});
