/** Checks of a result on other runtimes than the native one. */
import { describe, expect, test } from "vitest";
import { createEngine, type Engine } from "../../src/core/engine/index.ts";
import { PithError } from "../../src/core/errors.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { float32, inMemory } from "../../src/core/tensor/dense.ts";
import { random } from "../../src/core/tensor/random.ts";
import { memory } from "../../src/data/index.ts";
import { checkTargets } from "../../src/judge/compare/target-check.ts";
import type { RunTarget, TargetName } from "../../src/runtime/run/run-target.ts";
import { quantize } from "../../src/techniques/quantize/index.ts";

const native = createEngine();
const text = `opset 21
graph (x: float32[batch, 8]) -> (y) {
  first.weight: float32[8, 16] = random(seed 1)
  second.weight: float32[16, 16] = random(seed 2)
  third.weight: float32[16, 4] = random(seed 3)
  a = MatMul(x, first.weight)
  b = Tanh(a)
  c = MatMul(b, second.weight)
  d = Tanh(c)
  y = MatMul(d, third.weight)
}
`;

const target = (name: TargetName, engine: Engine, rest: Partial<RunTarget> = {}): RunTarget => ({
  name,
  where: `${name} somewhere`,
  engine,
  latency: () => Promise.reject(new Error("nothing is timed")),
  ...rest,
});

/** Returns a runtime that computes with changed weights. */
const mistaken = (change: (model: Model) => void): Engine => ({
  load(model, options) {
    const copy = model.clone();
    change(copy);
    return native.load(copy, options);
  },
});

const turned = mistaken((model) => {
  const weight = model.graph.value("second.weight");
  if (weight !== undefined)
    weight.tensor = inMemory(
      float32(
        [16, 16],
        new Float32Array(256).map(() => 0.3),
      ),
    );
});

const options = { seed: 0 };

async function halves(): Promise<readonly [original: Model, result: Model]> {
  const original = parseModel(text);
  const result = original.clone();
  await quantize(result, { scheme: "float16" });
  return [original, result];
}

describe("a result on another runtime", () => {
  test("is right if it equals the original, also in WebAssembly", async () => {
    const result = parseModel(text);
    await quantize(result, { scheme: "dynamic" });
    const targets = [target("node", native), target("wasm", createEngine({ runtime: "wasm" }))];
    const checks = await checkTargets(native, targets, parseModel(text), result, options);
    expect(checks).toMatchObject([
      { target: "node", right: true, found: expect.stringMatching(/^signal to noise \d.* dB on 8 random inputs$/) },
      { target: "wasm", where: "wasm somewhere", right: true },
    ]);
    expect(checks[1]?.isWeak).toBeUndefined();
  });

  test("is wrong if it differs from the original, with the first layer that differs", async () => {
    const model = parseModel(text);
    const checks = await checkTargets(native, [target("webgpu", turned)], model, model.clone(), options);
    expect(checks).toMatchObject([{ target: "webgpu", right: false, layer: "second" }]);
  });

  test("is compared on samples if there are any", async () => {
    const numbers = random(1, "samples");
    const samples = memory("few", {
      x: float32(
        [5, 8],
        Array.from({ length: 40 }, () => numbers.normal()),
      ),
    });
    const model = parseModel(text);
    const targets = [target("wasm", native), target("webgpu", turned)];
    const checks = await checkTargets(native, targets, model, model.clone(), { ...options, samples });
    expect(checks).toMatchObject([
      { right: true, found: "signal to noise ∞ dB on 5 samples" },
      { right: false, layer: "second" },
    ]);
  });

  test("is wrong if it does not load, with the message of the runtime", async () => {
    const refusing: Engine = { load: () => Promise.reject(new PithError("E_ENGINE", "There is no kernel.")) };
    const model = parseModel(text);
    const [check] = await checkTargets(native, [target("webgpu", refusing)], model, model.clone(), options);
    expect(check).toMatchObject({ right: false, found: "The result does not load: There is no kernel" });
  });

  test("is not compared if this machine lacks a type that others have", async () => {
    const [original, result] = await halves();
    const lacks = { type: "float16", why: "this card has none" } as const;
    const checks = await checkTargets(native, [target("webgpu", turned, { lacks })], original, result, options);
    expect(checks).toMatchObject([{ right: undefined, found: "not compared: this card has none" }]);
    // A correct result is reported as right even if the machine lacks the type.
    const right = await checkTargets(native, [target("webgpu", native, { lacks })], original, result, options);
    expect(right).toMatchObject([{ right: true }]);
  });

  test("is not wrong if the native runtime differs from the original as much", async () => {
    const model = parseModel(text);
    const result = model.clone();
    const weight = result.graph.value("third.weight");
    const before = await weight?.tensor?.read();
    if (weight === undefined || before?.type !== "float32") throw new Error("no weight");
    weight.tensor = inMemory(
      float32(
        before.dims,
        before.data.map((value) => Math.sign(value)),
      ),
    );
    const [node, wasm] = await checkTargets(
      native,
      [target("node", native), target("wasm", native)],
      model,
      result,
      options,
    );
    expect(node).toMatchObject({ right: false, layer: "third" });
    expect(wasm).toMatchObject({ right: true });
  });
});
