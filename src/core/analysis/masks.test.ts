import { describe, expect, test } from "vitest";
import { parseModel } from "../graph/text.ts";
import { infer } from "./infer.ts";
import { layers } from "./layers.ts";
import { allMaskings, maskingOf, nameBeforeMasking } from "./masks.ts";
import { parametersOf } from "./parameters.ts";
import { checkStored, weightNeeds } from "./weight-needs.ts";

const model = parseModel(`opset 17
graph (x: float32[1, 2]) -> (y: float32[1, 2]) {
  latent: float32[2, 2] parameter = [1, 2, 3, 4]
  kept: float32[2, 2] mask = [1, 0, 1, 1]
  factors: float32[2, 2] buffer = [1, 2, 3, 4]
  free: float32[2, 2] parameter = [1, 2, 3, 4]
  copy: float32[2, 2] tied(free) = [1, 2, 3, 4]
  codes: int8[2, 2] = [1, 2, 3, 4]
  coarse: bfloat16[2, 2] = [1, 2, 3, 4]
  ones: float32[2, 1] = [1, 1]
  fc1.weight = Mul(kept, latent)
  scaled = Mul(free, factors)
  a = MatMul "first" (x, fc1.weight)
  b = MatMul "second" (a, scaled)
  sum = MatMul (b, ones)
  mean = Div (b, sum)
  y = MatMul "third" (mean, copy)
}`);
const value = (name: string) => {
  const named = model.graph.value(name);
  if (named === undefined) throw new Error(name);
  return named;
};

describe("a mask", () => {
  test("is recognized by its role, whatever the names and the operand order", () => {
    expect(maskingOf(value("latent"))).toMatchObject({ mask: { name: "kept" }, product: { name: "fc1.weight" } });
    expect(maskingOf(value("free"))).toBeUndefined();
    expect(allMaskings(model.graph).map(({ parameter }) => parameter.name)).toEqual(["latent"]);
  });

  test("keeps the product's name as the layer name", () => {
    expect(nameBeforeMasking(value("latent"))).toBe("fc1.weight");
    expect(layers(model, infer(model)).map(({ name }) => name)).toEqual(["fc1", "second", "sum", "third"]);
  });
});

test.each([
  ["latent", undefined],
  ["codes", "its weight is quantized already"],
  ["copy", 'its weight is tied to "free"'],
  ["free", 'its weight is tied to "copy"'],
  ["a", "its weight is not stored in the main graph"],
  ["coarse", "its weight is bfloat16, not float32 or float64 or float16"],
  ["ones", "its weight contains constants, which are not trained"],
])("checks whether %s can be pruned", (name, reason) => {
  const learned = parametersOf(model, infer(model));
  expect(checkStored(value(name), { ...weightNeeds.prune, learned })?.reason).toBe(reason);
});
