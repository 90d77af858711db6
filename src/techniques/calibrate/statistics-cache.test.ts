import { expect, test } from "vitest";
import { createEngine } from "../../core/engine/index.ts";
import { parseModel } from "../../core/graph/text.ts";
import { fromNumbers } from "../../core/tensor/convert.ts";
import { inMemory, zeros } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { columnRange } from "./column-statistics.ts";
import { measureOnce, observeOnce } from "./statistics-cache.ts";

const model = parseModel(`opset 21
graph (x: float32[batch, 2]) -> (y) {
  w: float32[2] = [1, 2]
  y = Mul(x, w)
}`);

function meter() {
  const measured: (readonly string[])[] = [];
  const measure = async (missing: readonly string[]) => {
    measured.push(missing);
    return new Map(missing.map((name) => [name, `${name} ${measured.length}`]));
  };
  return { measured, measure };
}

test("measures only values that were not measured on the same model, samples and setting", async () => {
  const data = memory("rows", { x: zeros("float32", [4, 2]) });
  const { measured, measure } = meter();
  await measureOnce(model, data, "range", ["x", "y"], measure);
  const secondResult = await measureOnce(model.clone(), data, "range", ["w", "y"], measure);
  expect([...secondResult]).toEqual([
    ["w", "w 2"],
    ["y", "y 1"],
  ]);
  const changed = model.clone();
  const weight = changed.graph.value("w");
  if (weight !== undefined) weight.tensor = inMemory(fromNumbers("float32", [2], [1, 3]));
  await measureOnce(changed, data, "range", ["y"], measure);
  await measureOnce(model, data, "moments", ["y"], measure);
  await measureOnce(model, memory("rows", { x: zeros("float32", [4, 2]) }), "range", ["y"], measure);
  expect(measured).toEqual([["x", "y"], ["w"], ["y"], ["y"], ["y"]]);
});

test("measures again on each call if the data is a stream", async () => {
  const rows = memory("rows", { x: zeros("float32", [4, 2]) });
  const stream = {
    name: "stream",
    count: undefined,
    batches: (options: Parameters<typeof rows.batches>[0]) => rows.batches(options),
  };
  const { measured, measure } = meter();
  for (let index = 0; index < 2; index++) await measureOnce(model, stream, "range", ["y"], measure);
  expect(measured).toEqual([["y"], ["y"]]);
});

test("a value that was measured along one axis is measured again along another", async () => {
  const square = parseModel(`opset 21
graph (x: float32[batch, 2, 2]) -> (y) {
  y = Identity(x)
}`);
  const data = memory("rows", { x: fromNumbers("float32", [1, 2, 2], [1, 2, 3, 4]) });
  const maximaAlong = async (axis: number) => {
    const samples = { dataset: data, setting: "range" };
    const ranges = await observeOnce(createEngine(), square, samples, [{ name: "y", axis }], columnRange, {});
    return [...(ranges.get("y")?.max ?? [])];
  };
  expect([await maximaAlong(1), await maximaAlong(2), await maximaAlong(1)]).toEqual([
    [2, 4],
    [3, 4],
    [2, 4],
  ]);
});
