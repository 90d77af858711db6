/** Tests elements that a Gather selects from a flat tensor in storage order, as PyTorch exports `as_strided`. */
import { expect, test } from "vitest";
import { channelGroups, removable } from "../../src/core/analysis/channels.ts";
import { infer } from "../../src/core/analysis/infer.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { compareOutputs } from "../../src/judge/compare/equivalence.ts";
import { fuseNodes } from "../../src/rewrite/clean-up/fuse-nodes.ts";
import { simplify } from "../../src/rewrite/clean-up/simplify.ts";

const engine = createEngine();

/** Builds a strided view of [batch, 3, 1]: indices are batch · `step` + channel · 1 + `offset`. */
const view = (step: number, offset = 0, channels = "0, 1, 2") => `opset 21
graph (x: float32[batch, 2]) -> (y: float32[batch, 3, 1]) {
  w: float32[2, 3] = random(seed 1)
  zero: int64[] = 0
  one: int64[] = 1
  all: int64[1] = [-1]
  step: int64[] = ${step}
  places: int64[1, 3, 1] = [${channels}]
  offset: int64[1, 1, 1] = [${offset}]
  behind: int64[2] = [1, 2]
  last: int64[1] = [2]
  m = MatMul(x, w)
  h = Unsqueeze(m, last)
  flat = Reshape(h, all)
  shape = Shape(x)
  batch = Gather(shape, zero)
  rows = Range(zero, batch, one)
  scaled = Mul(rows, step)
  column = Unsqueeze(scaled, behind)
  sums = Add(column, places)
  at = Add(sums, offset)
  picked = Gather(flat, at)
  y = Relu(picked)
}
`;

test("fuseNodes replaces a strided view by the tensor, so that channels can be traced", async () => {
  const model = parseModel(view(3));
  const original = model.clone();
  const { changes } = await fuseNodes(model, {}, { engine });
  expect(changes.map(({ what }) => what)).toContain("elements are selected in storage order");
  await simplify(model, {}, { engine });
  expect([...model.graph.nodes()].map(({ op }) => op)).not.toContain("Gather");
  const same = await compareOutputs(engine, original, model, {});
  expect(typeof same === "string" ? same : same.difference).toBe(0);
  const [group] = channelGroups(model, infer(model));
  expect(group?.refused.get(0)?.reason).toBe("they are an output of the model");
  expect(group && removable(group)).toEqual([]);
});

test.each([
  ["overlapping rows", view(2)],
  ["a skipped first element", view(3, 1)],
  ["reordered channels", view(3, 0, "0, 2, 1")],
])("fuseNodes keeps other views: %s", async (_, text) => {
  const model = parseModel(text);
  const { changes } = await fuseNodes(model, {}, { engine });
  expect(changes.map(({ what }) => what)).not.toContain("elements are selected in storage order");
});
