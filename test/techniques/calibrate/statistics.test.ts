/** Layer statistics, written only with exports of the package. */
import { float32, inMemory, Miss } from "pith";
import { type IndexedDataset, memory } from "pith/data";
import { createEngine, type Engine } from "pith/engine";
import {
  type Calibration,
  calibrate,
  gramMatrices,
  infer,
  type Layer,
  layers,
  observe,
  parseModel,
  type Statistic,
} from "pith/extend";
import { afterEach, describe, expect, test } from "vitest";

/** The mean magnitude of each input channel, also over kernel positions, as activation-aware weight quantization uses it. */
const meanMagnitudes: Statistic<readonly number[]> = {
  begin() {
    let rows = 0;
    const sums: number[] = [];
    return {
      add({ taps, matrix }) {
        const { rows: batchRows, columns, data } = matrix();
        data.forEach((value, at) => {
          const channel = Math.floor((at % columns) / taps);
          sums[channel] = (sums[channel] ?? 0) + Math.abs(value) / taps;
        });
        rows += batchRows;
      },
      end: () => sums.map((sum) => sum / rows),
    };
  },
};

const engine = createEngine();
const text = `opset 17
graph (x: float32[n, 2, 3]) -> (y: float32[n, 2, 2]) {
  a.weight: float32[2, 2, 2] = [[[1, 0], [0, 0]], [[0, 0], [0, 1]]]
  b.weight: float32[2, 2] = [[1, 2], [3, 4]]
  h = Conv(x, a.weight)
  y = MatMul(h, b.weight)
}`;
const data = memory("samples", { x: float32([2, 2, 3], [1, -2, 3, 4, 5, -6, 0, 1, 0, -1, 0, 1]) });

let open: Calibration | undefined;
const begin = async (model: ReturnType<typeof parseModel>, rows: IndexedDataset) => {
  open = await calibrate(model, { data: rows }, { engine });
  const layerList = layers(model, infer(model));
  const at = (index: number): Layer => layerList[index] ?? expect.fail(`there is no layer ${index}`);
  return { seen: open, at };
};
afterEach(async () => {
  await open?.release();
  open = undefined;
});

describe("a custom statistic", () => {
  test("receives the inputs of a convolution by channel and kernel position", async () => {
    const { seen, at } = await begin(parseModel(text), data);
    // Each kernel covers two adjacent positions: 1 2, 2 3 and 0 1, 1 0 of the first channel; 4 5, 5 6 and 1 0, 0 1 of the second.
    expect(await seen.collect(at(0), meanMagnitudes)).toEqual([10 / 8, 22 / 8]);
  });

  test("receives the inputs of a product over positions", async () => {
    const { seen, at } = await begin(parseModel(text), data);
    // h is 1 -2 / 5 -6 and 0 1 / 0 1, whose columns are the kernel positions.
    expect(await seen.collect(at(1), meanMagnitudes)).toEqual([6 / 4, 10 / 4]);
  });

  test("receives any values in one pass, along the named axis", async () => {
    const magnitudes = await observe(engine, parseModel(text), data, [{ name: "h", axis: 1 }, "x"], meanMagnitudes);
    expect(Object.fromEntries(magnitudes)).toEqual({ h: [4 / 4, 12 / 4], x: [24 / 12] });
  });
});

test("the Gram matrix of each group of a convolution is the sum over its rows", async () => {
  const grouped = parseModel(`opset 17
graph (x: float32[n, 2, 2]) -> (y: float32[n, 2, 1]) {
  a.weight: float32[2, 1, 2] = ones
  y = Conv(x, a.weight) {group=2}
}`);
  const rows = memory("samples", { x: float32([2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]) });
  const { seen, at } = await begin(grouped, rows);
  const gram = await seen.collect(at(0), gramMatrices);
  if (gram instanceof Miss) throw new Error(gram.reason);
  expect(gram.rows).toBe(2);
  expect(gram.groups.map(({ data }) => [...data])).toEqual([
    [1 + 25, 2 + 30, 2 + 30, 4 + 36],
    [9 + 49, 12 + 56, 12 + 56, 16 + 64],
  ]);
});

test("computes large products in the runtime, and stops on the signal between them", async () => {
  const columns = 128;
  const wide = parseModel(`opset 17
graph (x: float32[n, ${columns}]) -> (y: float32[n, 2]) {
  a.weight: float32[${columns}, 2] = ones
  y = MatMul(x, a.weight)
}`);
  const numbers = Array.from({ length: 16 * columns }, (_, at) => (at % 7) - 3);
  const [layer = expect.fail("there is no layer")] = layers(wide, infer(wide));
  const loaded: string[][] = [];
  const watched: Engine = {
    load(model, options) {
      loaded.push(model.graph.inputs.map(({ name }) => name));
      return engine.load(model, options);
    },
  };
  const stop = new AbortController();
  const rows = memory("samples", { x: float32([16, columns], numbers) });
  open = await calibrate(wide, { data: rows }, { engine: watched, signal: stop.signal });
  const gram = await open.collect(layer, gramMatrices);
  if (gram instanceof Miss) throw new Error(gram.reason);
  // The layer reads the data directly, so no run is needed for its inputs.
  expect(loaded).toEqual([["a", "b"]]);
  const productOf = (one: number, other: number): number => {
    let sum = 0;
    for (let row = 0; row < numbers.length; row += columns)
      sum += (numbers[row + one] ?? 0) * (numbers[row + other] ?? 0);
    return sum;
  };
  expect([...(gram.groups[0]?.data ?? [])]).toEqual(
    Array.from({ length: columns ** 2 }, (_, at) => productOf(Math.floor(at / columns), at % columns)),
  );
  const stopping: Statistic<void> = {
    begin: (multiply) => ({
      async add(batch) {
        stop.abort();
        await multiply?.(batch.matrix(), batch.matrix());
      },
      end: () => {},
    }),
  };
  await expect(open.collect(layer, stopping)).rejects.toMatchObject({ code: "E_STOPPED" });
});

test("passes the outputs of changed layers to the next layer", async () => {
  const model = parseModel(text);
  const { seen, at } = await begin(model, data);
  await seen.collect(at(0), meanMagnitudes);
  at(0).weight.tensor = inMemory(float32([2, 2, 2], [2, 0, 0, 0, 0, 0, 0, 2]));
  expect(await seen.collect(at(1), meanMagnitudes)).toEqual([12 / 4, 20 / 4]);
});

describe("statistics are not available", () => {
  test("for the gates of a recurrent layer, with the reason", async () => {
    const recurrent = parseModel(`opset 17
graph (x: float32[4, n, 2]) -> (y: float32[4, 1, n, 3]) {
  w: float32[1, 12, 2] = random(seed 1)
  r: float32[1, 12, 3] = random(seed 2)
  y = LSTM(x, w, r) {hidden_size=3}
}`);
    const steps = memory("steps", { x: float32([4, 1, 2], [1, 2, 3, 4, 5, 6, 7, 8]) });
    const { seen, at } = await begin(recurrent, steps);
    const miss = await seen.collect(at(0), meanMagnitudes);
    expect(miss).toMatchObject({ reason: "its weight is [1, 12, 2], not a matrix" });
  });

  test("for an axis that a value does not have, and without samples", async () => {
    const model = parseModel(text);
    await expect(observe(engine, model, data, [{ name: "h", axis: 3 }], meanMagnitudes)).rejects.toMatchObject({
      code: "E_OPTION",
      message: expect.stringContaining("has no axis 3"),
    });
    const none = memory("none", { x: float32([0, 2, 3], []) });
    await expect(calibrate(model, { data: none }, { engine })).rejects.toMatchObject({ code: "E_DATA" });
  });
});
