import { describe, expect, test } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import { structureHash } from "../../core/graph/structure-hash.ts";
import { parseModel } from "../../core/graph/text.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { type Dataset, memory } from "../../data/index.ts";
import { channelMoments } from "./column-statistics.ts";
import { observe, observeWithStates, valueRange } from "./observe.ts";

const text = (batch: string) => `opset 17
graph (x: float32[${batch}, 2]) -> (y: float32[${batch}, 2]) {
  w: float32[2, 2] = [[1, 0], [0, -2]]
  h = MatMul(x, w)
  y = Relu(h)
}`;
const rows = float32([5, 2], [1, 1, -3, 2, 0.5, -4, 2, 0, -1, -1]);
const engine = createEngine();

test.each(["batch", "1", "2", "8"])(
  "observes ranges of inputs, intermediate values and outputs with batch dimension %s",
  async (batch) => {
    const model = parseModel(text(batch));
    const before = structureHash(model);
    for (const size of [1, 2, 5]) {
      const ranges = await observe(engine, model, memory("rows", { x: rows }), ["x", "h", "y"], valueRange, {
        batch: size,
      });
      expect(Object.fromEntries(ranges)).toEqual({
        x: { min: -4, max: 2 },
        h: { min: -4, max: 8 },
        y: { min: 0, max: 8 },
      });
    }
    expect(structureHash(model)).toBe(before);
  },
);

test("reads the requested number of samples, in order or shuffled by a seed", async () => {
  const rangeOf = async (samples: number, shuffle?: number) => {
    const options = shuffle === undefined ? { samples } : { samples, shuffle };
    const statistics = await observe(
      engine,
      parseModel(text("batch")),
      memory("rows", { x: rows }),
      ["x"],
      valueRange,
      options,
    );
    return statistics.get("x");
  };
  expect(await rangeOf(2)).toEqual({ min: -3, max: 2 });
  expect(await rangeOf(3)).toEqual({ min: -4, max: 2 });
  expect(await rangeOf(9, 1)).toEqual({ min: -4, max: 2 });
  const ranges = await Promise.all([1, 2, 3, 4, 5, 6].map((seed) => rangeOf(1, seed)));
  expect(new Set(ranges.map((range) => JSON.stringify(range))).size).toBeGreaterThan(1);
});

test.each([1, 2, 5])("computes the same mean, variance and share of zeros for batches of %i", async (batch) => {
  const model = parseModel(text("batch"));
  const moments = await observe(engine, model, memory("rows", { x: rows }), ["x", "y"], channelMoments, { batch });
  // x is 1, 1, −3, 2, 0.5, −4, 2, 0, −1, −1: its mean is −0.25, the mean of its squares 3.725.
  expect(moments.get("x")?.mean[0]).toBeCloseTo(-0.25, 12);
  expect(moments.get("x")?.variance[0]).toBeCloseTo(3.725 - 0.0625, 12);
  expect(moments.get("x")).toMatchObject({ count: 10, zeros: Float64Array.of(0.1) });
  // In y = relu(x₁, −2 x₂), two values of five are zero because of the sign, and two more because an input is zero.
  expect(moments.get("y")).toMatchObject({ count: 10, zeros: Float64Array.of(0.5) });
});

test("reports progress in samples", async () => {
  const reports: (readonly [number, number | undefined])[] = [];
  const progress = (done: number, total?: number) => reports.push([done, total]);
  const data = memory("rows", { x: rows });
  await observe(engine, parseModel(text("batch")), data, ["x"], valueRange, { batch: 2, samples: 4, progress });
  expect(reports).toEqual([
    [2, 4],
    [4, 4],
  ]);
});

test("returns a range of NaN if an element is NaN", async () => {
  const model = parseModel("opset 17\ngraph (x: float32[batch, 2]) -> (y: float32[batch, 2]) {\n  y = Sqrt(x)\n}");
  const data = memory("rows", { x: float32([2, 2], [1, 2, -1, 4]) });
  const range = (await observe(engine, model, data, ["y"], valueRange)).get("y");
  expect(range).toEqual({ min: Number.NaN, max: Number.NaN });
});

describe("observe", () => {
  const observeValue = (data: Dataset, name = "h", signal?: AbortSignal) =>
    observe(engine, parseModel(text("batch")), data, [name], valueRange, signal === undefined ? {} : { signal });

  test("rejects an unknown value by name", async () => {
    await expect(observeValue(memory("rows", { x: rows }), "z")).rejects.toMatchObject({
      code: "E_NAME",
      message: expect.stringContaining('"z"'),
    });
  });

  test("rejects data without samples", async () => {
    await expect(observeValue(memory("none", { x: float32([0, 2], []) }))).rejects.toMatchObject({ code: "E_DATA" });
  });

  test("stops on the signal", async () => {
    await expect(observeValue(memory("rows", { x: rows }), "h", AbortSignal.abort())).rejects.toMatchObject({
      code: "E_STOPPED",
    });
  });
});

describe("observe on a model with states", () => {
  const stateful = parseModel(`opset 17
graph (x: float32[1, 2], h: float32[1, 2]) -> (y: float32[1, 2], hn: float32[1, 2]) {
  s = Add(x, h)
  hn = Identity(s)
  c: float32[] = 10
  y = Mul(s, c)
}`);

  test("passes states from sample to sample while other values are observed", async () => {
    const data = memory("rows", { x: float32([3, 2], [1, 0, 2, 0, -1, 4]) });
    // The values of s for the three samples are (1, 0), (3, 0) and (2, 4).
    const ranges = await observe(engine, stateful, data, ["s", "h", "y"], valueRange);
    expect(Object.fromEntries(ranges)).toEqual({
      s: { min: 0, max: 4 },
      h: { min: 0, max: 3 },
      y: { min: 0, max: 40 },
    });
    const moments = await observe(engine, stateful, data, ["s"], channelMoments);
    expect(moments.get("s")?.count).toBe(6);
    expect(moments.get("s")?.mean[0]).toBeCloseTo(10 / 6, 12);
  });

  test("takes the size of a state from its layer if its dimensions have unrelated names", async () => {
    const model = parseModel(`opset 17
graph (x: float32[steps, batch, 4], h0: float32[1, hb, hidden], c0: float32[d, cb, ch]) -> (y: float32[steps, 1, batch, 3], hn: float32[...], cn: float32[...]) {
  w: float32[1, 12, 4] = random(seed 1)
  r: float32[1, 12, 3] = random(seed 2)
  b: float32[1, 24] = random(seed 3)
  y, hn, cn = LSTM(x, w, r, b, _, h0, c0) {hidden_size=3}
}`);
    const data = memory("rows", { x: float32([2, 1, 4], [1, 2, -3, 4, 5, 6, 7, 8]) });
    const moments = await observe(engine, model, data, ["y"], channelMoments);
    expect(moments.get("y")?.count).toBe(6);
  });

  const cache = (outputs: string) => `opset 17
graph (x: float32[n, 1, 2], past: float32[n, t, 2]) -> (${outputs}) {
  present = Concat(past, x) {axis=1}
  y = ReduceSum(present)
}`;
  const empty = memory("rows", { x: float32([2, 1, 2], [1, 2, -3, 4]), past: float32([2, 0, 2], []) });

  test("gives an initially empty cache the range of its later values", async () => {
    const model = parseModel(cache("y: float32[], present: float32[n, m, 2]"));
    const ranges = await observeWithStates(engine, model, empty, ["past", "present"], valueRange, {});
    expect(ranges.get("past")).toEqual({ min: -3, max: 4 });
    expect(ranges.get("present")).toEqual({ min: -3, max: 4 });
    expect([...ranges.keys()]).toEqual(["past", "present"]);
  });

  test("returns an infinite range for an empty input that no output updates", async () => {
    const ranges = await observeWithStates(engine, parseModel(cache("y: float32[]")), empty, ["past"], valueRange, {});
    expect(ranges.get("past")).toEqual({ min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY });
  });
});
