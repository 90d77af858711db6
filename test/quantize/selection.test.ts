/** Quantization does not change excepted layers, unsupported layers, and models without layers to quantize. */
import { describe, expect, test } from "vitest";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { assertValid } from "../../src/core/graph/verify.ts";
import { memory } from "../../src/data/index.ts";
import { quantize } from "../../src/techniques/quantize/index.ts";
import { difference, numbersFor, run, stored } from "./networks.ts";

const twoNormalized = (): Model =>
  parseModel(`opset 17
graph (x: float32[batch, 3, 6, 6]) -> (y: float32[batch, 4, 2, 2]) {
  c1.weight: float32[4, 3, 3, 3] = random(seed 1)
  c2.weight: float32[4, 4, 3, 3] = random(seed 2)
  scale: float32[4] = [2, 3, 4, 5]
  shift: float32[4] = [1, 2, 3, 4]
  mean: float32[4] = [0.5, 0.25, 0, 1]
  variance: float32[4] = [1, 2, 3, 4]
  h = Conv "c1" (x, c1.weight)
  n = BatchNormalization "bn1" (h, scale, shift, mean, variance)
  k = Conv "c2" (n, c2.weight)
  y = BatchNormalization "bn2" (k, scale, shift, mean, variance)
}`);

/** Returns the operators before a node's input, along their first inputs. */
function _worked(model: Model, name: string, input: number): readonly string[] {
  const node = [...model.graph.nodes()].find((one) => one.name === name);
  const operatorChain: string[] = [];
  for (let value = node?.inputs[input]; value?.producer !== undefined; value = value.producer.inputs[0])
    operatorChain.unshift(value.producer.op);
  return operatorChain;
}

const _rounded = ["Div", "Round", "Clip", "Mul"];

describe.each(["dynamic", "static"] as const)("%s", (scheme) => {
  const data = memory("calibration", { x: numbersFor([4, 3, 6, 6]) });
  const options = scheme === "static" ? { scheme, data } : { scheme };

  test("does not change the weight, bias or batch normalization of an excluded layer", async () => {
    const model = twoNormalized();
    const weight = await stored(model, "c1.weight");
    const { changes } = await quantize(model, { ...options, except: "c1" });
    assertValid(model);
    expect(changes.map(({ at }) => at)).not.toContain("c1");
    expect(await stored(model, "c1.weight")).toBe(weight);
    const c1 = [...model.graph.nodes()].find(({ name }) => name === "c1");
    expect(c1?.inputs.map((value) => value?.name)).toEqual(["x", "c1.weight"]);
    expect([...model.graph.nodes()].filter(({ op }) => op === "BatchNormalization").map(({ name }) => name)).toEqual([
      "bn1",
    ]);
    const x = numbersFor([4, 3, 6, 6]);
    expect(difference(await run(twoNormalized(), { x }), await run(model, { x }))).toBeLessThan(0.03);
  });
});
