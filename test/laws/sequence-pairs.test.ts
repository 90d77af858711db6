/** Tests that simplify replaces a tensor split into a sequence by outputs of one Split. */
import { expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { completeContext } from "../../src/core/pass/run-pass.ts";
import { float32 } from "../../src/core/tensor/dense.ts";
import { simplify } from "../../src/rewrite/clean-up/simplify.ts";
import { run } from "./harness.ts";

const x = float32([2, 4], [1, 2, 3, 4, 5, 6, 7, 8]);

async function simplified(body: string) {
  const model = parseModel(`opset 18\ngraph (x: float32[2, 4]) -> (y) {\n${body}\n}`);
  const before = await run(model, { x });
  await simplify(model, {}, completeContext());
  expect(await run(model, { x })).toEqual(before);
  return [...model.graph.nodes()].map(({ op }) => op);
}

test("simplify replaces torch.chunk by one Split", async () => {
  const body = `  n: int64[] = [2]\n  first: int64[] = [0]\n  last: int64[] = [-1]
  s = SplitToSequence (x, n) {axis=1}\n  a = SequenceAt (s, first)\n  b = SequenceAt (s, last)\n  y = Sub (a, b)`;
  expect(await simplified(body)).toEqual(["Split", "Sub"]);
});

test("simplify keeps the sequence of a SequenceAt with a computed position", async () => {
  const body = `  n: int64[] = [2]\n  zero: float32[] = [0]\n  top = ReduceMax (x) {keepdims=0}\n  one = Greater (top, zero)\n  at = Cast (one) {to=7}
  s = SplitToSequence (x, n) {axis=1}\n  y = SequenceAt (s, at)`;
  expect(await simplified(body)).toContain("SequenceAt");
});
