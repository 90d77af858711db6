import { expect, test } from "vitest";
import { parseModel, printModel } from "../graph/text.ts";
import { layerRows } from "./layers.ts";

const original = `opset 21
graph (x: float32[1, 4]) -> (y) {
  fc1.weight: float32[2, 4] parameter = [[1, 0, 3, 4], [5, 6, 7, 8]]
  fc1.bias: float32[2] parameter = [1, 2]
  fc10.weight: float32[2, 2] parameter = [[1, 2], [3, 4]]
  h = Gemm (x, fc1.weight, fc1.bias) {transB=1}
  y = MatMul (h, fc10.weight)
}`;

test("facts of a layer before and after: operator, weight, parameters, bytes, zeros", async () => {
  const quantized = parseModel(`opset 21
graph (x: float32[1, 4]) -> (y) {
  fc1.weight_quantized: int8[2, 4] = [[1, 0, 3, 4], [5, 0, 0, 8]]
  fc1.scale: float32[] = 0.5
  fc1.bias: float32[2] parameter = [1, 2]
  fc10.weight: float32[2, 2] parameter = [[1, 2], [3, 4]]
  fc1.weight = DequantizeLinear (fc1.weight_quantized, fc1.scale)
  h = Gemm (x, fc1.weight, fc1.bias) {transB=1}
  y = MatMul (h, fc10.weight)
}`);
  const changes = [{ at: "fc1", what: "weights in 8 bits", decidedBy: "global" as const }];
  const [fc1, fc10] = await layerRows(parseModel(original), quantized, changes);
  expect(fc1).toEqual({
    name: "fc1",
    before: { operator: "Gemm", weight: "float32 [2, 4]", parameters: 10, bytes: 40, zeros: 0.125 },
    after: { operator: "Gemm", weight: "int8 [2, 4]", parameters: 10, bytes: 8 + 4 + 8, zeros: 0.375 },
    done: ["weights in 8 bits"],
  });
  expect(fc10?.before).toEqual(fc10?.after);
  expect(fc10?.done).toEqual([]);
});

test("masked entries count as zeros", async () => {
  const masked = parseModel(`opset 21
graph (x: float32[1, 4]) -> (y) {
  fc1.weight_orig: float32[2, 4] parameter = [[1, 0, 3, 4], [5, 6, 7, 8]]
  fc1.weight_mask: float32[2, 4] mask = [[0, 0, 1, 1], [1, 1, 1, 0]]
  fc1.weight = Mul (fc1.weight_orig, fc1.weight_mask)
  y = Gemm (x, fc1.weight) {transB=1}
}`);
  const [row] = await layerRows(parseModel(original), masked);
  expect(row?.after).toMatchObject({ zeros: 0.375, bytes: 64, parameters: 8 });
});

test("a layer that became two is one row, added up; one that is gone has no after", async () => {
  const factorized = parseModel(`opset 21
graph (x: float32[1, 4]) -> (y) {
  fc1.down.weight: float32[4, 1] parameter = [[1], [0], [0], [0]]
  fc1.up.weight: float32[1, 2] parameter = [[1, 1]]
  h = MatMul (x, fc1.down.weight)
  y = MatMul (h, fc1.up.weight)
}`);
  const changes = [
    { at: "fc1", what: "rank 1", decidedBy: "global" as const },
    { at: "fc10.weight", what: "removed", decidedBy: "layer" as const },
    { at: "elsewhere", what: "folded", decidedBy: "global" as const },
  ];
  const rows = await layerRows(parseModel(original), factorized, changes);
  expect(rows.map(({ name }) => name)).toEqual(["fc1", "fc10"]);
  expect(rows[0]?.after).toEqual({
    operator: "MatMul, MatMul",
    weight: "float32 [4, 1] · float32 [1, 2]",
    parameters: 6,
    bytes: 24,
    zeros: 0.5,
  });
  expect(rows[1]).toMatchObject({ after: undefined, done: ["removed"] });
});

test("a layer that is new comes last, and has no before", async () => {
  const [left, right] = [parseModel(original), parseModel(original.replaceAll("fc10", "head"))];
  const rows = await layerRows(left, right);
  expect(rows.map(({ name, before, after }) => [name, before !== undefined, after !== undefined])).toEqual([
    ["fc1", true, true],
    ["fc10", true, false],
    ["head", false, true],
  ]);
});

test("looking at a model does not change it", async () => {
  const model = parseModel(original);
  const before = printModel(model);
  await layerRows(model, model);
  expect(printModel(model)).toBe(before);
});
