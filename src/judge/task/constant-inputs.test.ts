import { expect, test } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { setInputs } from "../../rewrite/clean-up/set-inputs.ts";
import { toConstantTensors } from "./constant-inputs.ts";

const text = `opset 21
graph (x: float32[n, 2], rate: float32[]) -> (y: float32[n, 2]) {
  y = Mul(x, rate)
}`;

test("a value can be set again after it replaced the input, and another value is an error", async () => {
  const model = parseModel(text);
  expect([...toConstantTensors(model, { rate: 3 }).keys()]).toEqual(["rate"]);
  await setInputs(model, { set: { rate: 3 } });
  expect(toConstantTensors(model, { rate: 3 }).size).toBe(0);
  expect(() => toConstantTensors(model, { rate: 4 })).toThrow('The model has no input "rate" to set.');
  expect(() => toConstantTensors(model, { speed: 3 })).toThrow('The model has no input "speed" to set.');
});
