import { expect, it } from "vitest";
import { float32, type Model } from "#ir";
import { createEngine, type Engine } from "../../core/engine/index.ts";
import { parseModel } from "../../core/graph/text.ts";
import { memory } from "../../data/batches/indexed.ts";
import { take } from "../../data/batches/select.ts";
import { measure } from "../metrics/evaluate.ts";
import { cloneWithKnownOutputs } from "./remembered-outputs.ts";

const text = "opset 17\ngraph (x: float32[n, 3]) -> (y: float32[n, 3]) {\n  y = Softmax(x) {axis=-1}\n}";
const samples = memory("six samples", {
  x: float32(
    [6, 3],
    Float32Array.from({ length: 18 }, (_, index) => index % 7),
  ),
});
const scores = { name: "first score", columns: 1, unit: "", better: "higher", reduce: () => 0 } as const;

/** Returns an engine that records the number of samples of each run, and counts loaded models. */
function countingEngine() {
  const runs: number[] = [];
  let loads = 0;
  const engine = createEngine();
  const counting: Engine = {
    async load(model, options) {
      loads++;
      const session = await engine.load(model, options);
      return {
        ...session,
        run(feeds, fetch) {
          runs.push(feeds.x?.dims[0] ?? 0);
          return session.run(feeds, fetch);
        },
      };
    },
  };
  return { engine: counting, runs, loads: () => loads };
}

async function rowsOf(engine: Engine, model: Model, count: number, batch: number, remembered?: Model) {
  const metric = {
    ...scores,
    rows: ({ y }: Parameters<Parameters<typeof measure>[3][number]["rows"]>[0]) =>
      Float64Array.from({ length: y?.dims[0] ?? 0 }, (_, sample) => Number(y?.data[3 * sample])),
  };
  const [rows] = await measure(engine, [model], take(samples, count), [metric], {
    batch,
    ...(remembered === undefined ? {} : { remembered }),
  });
  return [...(rows?.[0] ?? [])];
}

it("runs a remembered model only on samples whose outputs are not known", async () => {
  const model = parseModel(text);
  const { engine, runs } = countingEngine();
  const expected = await rowsOf(engine, parseModel(text), 6, 4);
  runs.length = 0;
  await rowsOf(engine, model, 3, 4, model);
  expect(await rowsOf(engine, model, 6, 4, model)).toEqual(expected);
  // The first batch of the second measurement has one new sample.
  expect(runs).toEqual([3, 1, 2]);
});

it("does not load a model whose outputs are known", async () => {
  const model = parseModel(text);
  const { engine, loads } = countingEngine();
  const expected = await rowsOf(engine, model, 6, 4, model);
  expect(await rowsOf(engine, model, 5, 4, model)).toEqual(expected.slice(0, 5));
  expect(loads()).toBe(1);
});

it("does not use outputs of another batch size or of the model before a change", async () => {
  const model = parseModel(text);
  const { engine, runs } = countingEngine();
  await rowsOf(engine, model, 6, 4, model);
  await rowsOf(engine, model, 6, 2, model);
  model.graph.touch();
  await rowsOf(engine, model, 6, 4, model);
  expect(runs).toEqual([4, 2, 2, 2, 2, 4, 2]);
});

it("does not use outputs of another engine", async () => {
  const model = parseModel(text);
  const [first, second] = [countingEngine(), countingEngine()];
  await rowsOf(first.engine, model, 3, 4, model);
  await rowsOf(second.engine, model, 3, 4, model);
  expect(second.runs).toEqual([3]);
});

it("distinguishes samples by a label that the model reads", async () => {
  const model = parseModel(
    "opset 17\ngraph (x: float32[n, 1], label: float32[n, 1]) -> (y: float32[n, 1]) {\n  y = Add(x, label)\n}",
  );
  const dataset = memory("equal images", { x: float32([3, 1], [1, 1, 1]), label: float32([3, 1], [0, 5, 7]) });
  const metric = {
    ...scores,
    rows: ({ y }: Parameters<Parameters<typeof measure>[3][number]["rows"]>[0]) =>
      Float64Array.from(y?.data ?? [], Number),
  };
  const [rows] = await measure(createEngine(), [model], dataset, [metric], { batch: 1, remembered: model });
  expect([...(rows?.[0] ?? [])]).toEqual([1, 6, 8]);
});

it("shares known outputs with an unchanged copy, and not with a changed one", async () => {
  const model = parseModel(text);
  const { engine, runs } = countingEngine();
  const expected = await rowsOf(engine, model, 6, 6, model);
  const copy = cloneWithKnownOutputs(model);
  expect(await rowsOf(engine, copy, 6, 6, copy)).toEqual(expected);
  expect(runs).toEqual([6]);
  copy.graph.touch();
  await rowsOf(engine, copy, 6, 6, copy);
  expect(runs).toEqual([6, 6]);
});
