import { expect, it } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { completeContext } from "../../core/pass/run-pass.ts";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { memory } from "../../data/index.ts";
import { findProbability } from "./probability.ts";

it("reads a single output as a probability only if all values are between 0 and 1, and the labels are 0 and 1", async () => {
  const values = Array.from({ length: 40 }, (_, index) => index / 10 - 2);
  const formOf = async (y: string, labels = values.map((value) => Number(value > 0))) => {
    const model = parseModel(`opset 21 graph (x: float32[n, 1]) -> (y: float32[n, 1]) {
      one: float32[] = 1
      m = Neg(x)
      e = Exp(m)
      s = Add(e, one)
      y = ${y}
    }`);
    const data = memory("rows", { x: float32([40, 1], values), label: int64([40], labels) });
    const texts: string[] = [];
    const context = completeContext({ log: ({ text }) => texts.push(text) });
    return [await findProbability(model, undefined, data, context), ...texts];
  };
  expect(await formOf("Reciprocal(s)")).toEqual(["probabilities", expect.stringContaining("on 40 samples")]);
  expect(await formOf("Identity(x)")).toEqual([undefined]);
  expect(await formOf("Reciprocal(s)", Array(40).fill(3))).toEqual([undefined]);
});
