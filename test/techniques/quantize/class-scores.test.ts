/** Class scores whose errors change predictions: constants that all classes share are removed, and probabilities are compared as logarithms. */

import { float32, toNumbers } from "pith";
import { createEngine } from "pith/engine";
import { parseModel } from "pith/extend";
import { expect, test } from "vitest";
import { withClassScores } from "../../../src/techniques/quantize/class-scores.ts";

const scores = [2, -1, 0.5];
const network = (opset: number, form: string, name = "logits") =>
  parseModel(`opset ${opset}
graph (x: float32[n, 3]) -> (${name}: float32[n, 3]) {
  one: float32[3, 3] = [1, 0, 0, 0, 1, 0, 0, 0, 1]
  z = MatMul (x, one)
  ${name} = ${form}
}`);

test.each([
  ["logits", 13, "Identity (z)", scores],
  ["logits", 18, "Identity (z)", scores],
  ["shifted logits", 18, "Identity (z)", scores.map((score) => score + 7)],
  ["probabilities", 13, "Softmax (z) {axis=-1}", scores],
  ["probabilities", 18, "Softmax (z) {axis=-1}", scores],
  ["log-probabilities", 18, "LogSoftmax (z) {axis=-1}", scores],
] as const)("converts %s of opset %i to centered logits", async (_, opset, form, given) => {
  const model = network(opset, form);
  const session = await createEngine().load(withClassScores(model));
  const output = Object.values(await session.run({ x: float32([1, 3], given) }))[0];
  await session.release();
  if (output === undefined) throw new Error("no output");
  toNumbers(output).forEach((value, at) => {
    expect(value).toBeCloseTo((scores[at] ?? 0) - 0.5, 5);
  });
  expect(model.graph.outputs.map(({ name }) => name)).toEqual(["logits"]);
});

test("gives finite logits for probabilities of 0", async () => {
  const session = await createEngine().load(withClassScores(network(18, "Softmax (z) {axis=-1}")));
  const [output] = Object.values(await session.run({ x: float32([1, 3], [200, -200, 0]) }));
  await session.release();
  expect(output === undefined ? [] : toNumbers(output).filter((value) => !Number.isFinite(value))).toEqual([]);
});

test("does not change outputs that are vectors", () => {
  const copy = withClassScores(network(18, "Identity (z)", "embedding"));
  expect(copy.graph.outputs.map(({ name }) => name)).toEqual(["embedding"]);
});
