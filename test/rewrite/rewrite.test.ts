/** Tests passes that rewrite on request: functions of a model as nodes, and fused operators as primitives. */

import { describe, expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel, printModel } from "../../src/core/graph/text.ts";
import { verify } from "../../src/core/graph/verify.ts";
import { toNumbers } from "../../src/core/tensor/convert.ts";
import { float32 } from "../../src/core/tensor/dense.ts";
import { inlineFunctions } from "../../src/rewrite/clean-up/inline-functions.ts";
import { simplify } from "../../src/rewrite/clean-up/simplify.ts";
import { lowerFused } from "../../src/rewrite/edit/lower-fused.ts";
import { definition, withFunctions } from "../local-functions.ts";

const engine = createEngine();
const operators = (model: Model): string[] => [...model.graph.nodes()].map(({ op }) => op);

async function run(model: Model, x: readonly number[]): Promise<readonly number[]> {
  const session = await engine.load(model);
  try {
    const [result] = Object.values(await session.run({ x: float32([x.length], x) }));
    return result === undefined ? [] : toNumbers(result);
  } finally {
    await session.release();
  }
}

const scaled = definition(
  "scaled",
  ["v"],
  ["w"],
  [
    { op: "Constant", inputs: [], outputs: ["c"], refers: ["value_float", "by"] },
    { op: "Mul", inputs: ["v", "c"], outputs: ["w"] },
  ],
  { defaults: { by: 2 } },
);
const twice = definition(
  "twice",
  ["v"],
  ["w"],
  [
    { op: "scaled", domain: "local", inputs: ["v"], outputs: ["t"] },
    { op: "Add", inputs: ["t", "t"], outputs: ["w"] },
  ],
);

const calls = `graph (x: float32[n]) -> (y: float32[n]) {
  a = local.scaled "first" (x) {by=3.0}
  b = local.scaled "second" (a)
  y = local.twice (b)
}`;

describe("inlineFunctions", () => {
  test("expands calls and nested functions, with the attributes of the call or their defaults", async () => {
    const model = await withFunctions(calls, [scaled, twice]);
    const { changes, misses } = await inlineFunctions(model);
    expect(misses).toEqual([]);
    expect(changes.length).toBeGreaterThan(3);
    expect(operators(model)).toEqual(["Constant", "Mul", "Constant", "Mul", "Constant", "Mul", "Add"]);
    expect(verify(model)).toEqual([]);
    expect(model.header.functions).toEqual([]);
    // · 3 · 2 · 2, twice
    expect(await run(model, [1, -2])).toEqual([24, -48]);
  });

  test("is part of simplify, which also removes the import of the function domain", async () => {
    const model = await withFunctions(calls, [scaled, twice]);
    await simplify(model, { skip: ["stored-factors"] }, { engine });
    expect(operators(model)).toEqual(["Mul", "Mul", "Mul", "Add"]);
    expect([...model.opsets]).toEqual([["", 21]]);
    expect(model.graph.outputs.map(({ name }) => name)).toEqual(["y"]);
  });

  test("removes uncalled functions, and keeps those of another opset with a reason", async () => {
    const older = definition("older", ["v"], ["w"], [{ op: "Relu", inputs: ["v"], outputs: ["w"] }], { opset: 13 });
    const model = await withFunctions("graph (x: float32[n]) -> (y: float32[n]) {\n  y = local.older(x)\n}", [
      older,
      twice,
    ]);
    const { misses } = await inlineFunctions(model);
    expect(misses.map(({ reason }) => reason)).toEqual(["the function is written in ai.onnx 13, the model in 21"]);
    expect(operators(model)).toEqual(["older"]);
    expect(model.header.functions.map((bytes) => Buffer.from(bytes))).toEqual([older]);
  });

  test("does not change a model without functions", async () => {
    const model = parseModel("opset 21\ngraph (x: float32[n]) -> (y: float32[n]) {\n  y = Relu(x)\n}");
    expect(await inlineFunctions(model)).toEqual({ changes: [], misses: [] });
  });
});

describe("lowerFused", () => {
  const fused = `opset 21, com.microsoft 1
graph (x: float32[n]) -> (y: float32[...]) {
  w: float32[1, 2] = [3, 4]
  axes: int64[1] = [1]
  column = Unsqueeze(x, axes)
  p = com.microsoft.FusedMatMul(w, column) {transA=1, transB=1, alpha=0.5}
  y = Relu(p)
}`;

  test("writes fused operators as primitives", async () => {
    const model = parseModel(fused);
    const expected = await run(model, [1, 2]);
    const { changes, misses } = await lowerFused(model);
    expect([changes.length, misses]).toEqual([1, []]);
    expect(printModel(model)).not.toContain("FusedMatMul");
    expect(verify(model)).toEqual([]);
    expect(await run(model, [1, 2])).toEqual(expected);
  });

  test("keeps operators that are not requested, and primitives", async () => {
    const model = parseModel(fused);
    expect((await lowerFused(model, { operators: ["com.microsoft.Gelu", "MatMul"] })).changes).toEqual([]);
    expect(operators(model)).toContain("FusedMatMul");
  });

  test("keeps unused nodes if it changes nothing", async () => {
    const model = parseModel(`opset 21
graph (x: float32[n, 3, 5, 5]) -> (y: float32[n, 3, 7, 3]) {
  never: float32[2] = [1, 2]
  zero: int64[1] = [0]
  rest: int64[3] = [3, 7, 3]
  unread = Neg(never)
  shape = Shape(x)
  batch = Gather(shape, zero)
  sizes = Concat(batch, rest) {axis=0}
  y = Resize(x, _, _, sizes) {mode="nearest"}
}`);
    infer(model);
    const before = printModel(model);
    const { changes, misses } = await lowerFused(model, { operators: ["*"] });
    expect([changes, misses.length]).toEqual([[], 1]);
    expect(printModel(model)).toBe(before);
  });
});
