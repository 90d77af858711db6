/** Quantization does not change excepted layers, unsupported layers, and models without layers to quantize. */
import { describe, expect, test } from "vitest";
import type { Model } from "../../../src/core/graph/model.ts";
import { structureHash } from "../../../src/core/graph/structure-hash.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { assertValid } from "../../../src/core/graph/verify.ts";
import { memory } from "../../../src/data/index.ts";
import { fakeQuantize, quantize } from "../../../src/techniques/quantize/index.ts";
import { calibration, cnn, difference, mlp, numbersFor, operators, run, stored } from "./networks.ts";

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
function worked(model: Model, name: string, input: number): readonly string[] {
  const node = [...model.graph.nodes()].find((one) => one.name === name);
  const operatorChain: string[] = [];
  for (let value = node?.inputs[input]; value?.producer !== undefined; value = value.producer.inputs[0])
    operatorChain.unshift(value.producer.op);
  return operatorChain;
}

const rounded = ["Div", "Round", "Clip", "Mul"];

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

describe("a model with fake-quantized weights", () => {
  test.each(["weights", "dynamic"] as const)("%s: keeps fake quantization in excluded layers", async (scheme) => {
    const model = mlp();
    await fakeQuantize(model, {});
    const scale = await stored(model, "fc1.weight_scale");
    await quantize(model, { scheme, except: "fc1" });
    assertValid(model);
    expect(worked(model, "fc1", 1)).toEqual(rounded);
    expect(await stored(model, "fc1.weight_scale")).toBe(scale);
    expect(operators(model).filter((op) => op === "Round")).toHaveLength(1);
    expect((await stored(model, "fc2.weight_quantized")).type).toMatch(/int8/);
  });

  test("keeps the fake quantization of a shared weight for the excluded layer", async () => {
    const model = parseModel(`opset 17
graph (x: float32[1, 4]) -> (y: float32[1, 4]) {
  w: float32[4, 4] = random(seed 1)
  h = MatMul "a" (x, w)
  y = MatMul "b" (h, w)
}`);
    await fakeQuantize(model, {});
    const x = numbersFor([1, 4]);
    const expected = await run(model, { x });
    await quantize(model, { scheme: "weights", layers: "a" });
    assertValid(model);
    expect(worked(model, "a", 1)).toEqual(["DequantizeLinear"]);
    expect(worked(model, "b", 1)).toEqual(rounded);
    expect(difference(expected, await run(model, { x }, { optimize: false }))).toBeLessThan(1e-6);
  });

  test("does not change if every layer is skipped", async () => {
    const model = parseModel(`opset 17
graph (x: float32[1, 4]) -> (y: float32[1, 4]) {
  fc1.weight: float32[4, 4] = random(seed 1)
  fc2.weight: float32[4, 4] = [nan, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
  h = MatMul "fc1" (x, fc1.weight)
  y = MatMul "fc2" (h, fc2.weight)
}`);
    await fakeQuantize(model, {});
    for (const scheme of ["weights", "dynamic"] as const) {
      const hash = structureHash(model);
      const { changes, misses } = await quantize(model, { scheme, layers: "fc2" });
      expect(changes).toEqual([]);
      expect(misses.map(({ at }) => at)).toContain("fc2");
      expect(structureHash(model)).toBe(hash);
    }
  });
});

describe("a model with fake-quantized activations", () => {
  const rounding = async (): Promise<Model> => {
    const model = cnn();
    await fakeQuantize(model, { scheme: "static", data: memory("calibration", { x: calibration("cnn") }) });
    return model;
  };

  test("static: keeps fake quantization in excluded layers, with the same outputs", async () => {
    const model = await rounding();
    const x = calibration("cnn");
    const expected = await run(model, { x });
    await quantize(model, { scheme: "static", except: "fc" });
    assertValid(model);
    expect(worked(model, "fc", 1)).toEqual(rounded);
    // Those of the layer's weight and output.
    expect(operators(model).filter((op) => op === "Round")).toHaveLength(2);
    expect(worked(model, "conv2", 1)).toEqual(["DequantizeLinear"]);
    expect(difference(expected, await run(model, { x }))).toBeLessThan(0.02);
  });

  test("weights: keeps fake quantization at an excluded layer, and computes the rest in float", async () => {
    const model = await rounding();
    await quantize(model, { scheme: "weights", except: "fc" });
    assertValid(model);
    expect(worked(model, "fc", 0)).toContain("Round");
    expect(worked(model, "conv2", 0)).not.toContain("Round");
    const all = await rounding();
    await quantize(all, { scheme: "weights" });
    expect(operators(all)).not.toContain("Round");
  });
});
