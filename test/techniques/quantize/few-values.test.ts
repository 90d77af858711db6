/** Tests constants with few values that are not the weight of a layer: they are stored exactly, in few bits. */
import { expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { reopened, run } from "./networks.ts";

const size = 64;

/** A layer, and a constant that the model reads separately. */
const network = (constant: readonly number[], opset = 17) => `opset ${opset}
graph (x: float32[rows, ${size}]) -> (z: float32[${size}, ${size}], y: float32[rows, ${size}]) {
  fc.weight: float32[${size}, ${size}] parameter = random(seed 1)
  table: float32[${size}, ${size}] = ${JSON.stringify(Array.from({ length: size }, (_, row) => constant.slice(row * size, (row + 1) * size)))}
  y = MatMul "fc" (x, fc.weight)
  shown = Abs(table)
  z = Mul(table, shown)
}
`;
const constantOf = (values: readonly number[]) =>
  Array.from({ length: size * size }, (_, at) => values[(7 * at) % values.length] ?? 0);

test.each([
  [2, 1],
  [3, 2],
  [16, 4],
  [200, 8],
])("stores a constant with %i values in indices of %i bits", async (count, bits) => {
  const values = Array.from({ length: count }, (_, at) => 1e9 * Math.sin(at));
  const model = parseModel(network(constantOf(values)));
  const before = await run(model, { x: float32([1, size], new Float32Array(size)) });
  const { changes } = await quantize(model, { scheme: "weights" });
  expect(changes.find(({ at }) => at === "table")?.what).toBe(
    `${count} different values, stored exactly in ${bits} bit${bits === 1 ? "" : "s"}`,
  );
  const again = await reopened(model);
  const codes = [...again.graph.values()].find(({ name }) => name === "table_codes");
  expect(codes?.tensor?.bytes).toBe((size * size * bits) / 8);
  const after = await run(again, { x: float32([1, size], new Float32Array(size)) });
  expect(after).toEqual(before);
});

test("distinguishes 0 and −0", async () => {
  const model = parseModel(network(constantOf([0, 1])));
  const table = model.graph.value("table");
  if (table === undefined) expect.fail();
  const data = Float32Array.from(constantOf([0, 1]), (value, at) => (at === 0 ? -0 : value));
  table.tensor = inMemory(float32([size, size], data));
  await quantize(model, { scheme: "weights" });
  expect(model.graph.value("table_values")?.tensor?.dims).toEqual([3]);
});

test.each([
  ["more than 256 values", network(constantOf(Array.from({ length: 300 }, (_, at) => at)))],
  ["operators of an old opset", network(constantOf([0, 1]), 12)],
])("does not change a constant with %s", async (_, text) => {
  const model = parseModel(text);
  const { changes } = await quantize(model, { scheme: "dynamic" });
  expect(changes.map(({ at }) => at)).toEqual(["fc"]);
});

test("does not change the weight of a layer that is kept in float", async () => {
  const model = parseModel(network(constantOf([0, 1])).replace("Abs(table)", 'MatMul "second" (y, table)'));
  const { changes } = await quantize(model, { scheme: "weights", except: ["second"] });
  expect(changes.map(({ at }) => at)).toEqual(["fc"]);
});
