/** The measurement of layer errors is bounded by the samples that both models ran for their evaluation. */
import { expect, test } from "vitest";
import type { Engine } from "../../src/core/engine/engine.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import type { OptionValues } from "../../src/core/pass/pass.ts";
import { completeContext } from "../../src/core/pass/run-pass.ts";
import { memory } from "../../src/data/index.ts";
import { layerTable } from "../../src/judge/fallback/layer-table.ts";
import { runStep } from "../../src/judge/steps/step.ts";
import { quantize } from "../../src/techniques/quantize/index.ts";

/** Returns an engine that counts the matrix products of samples in all runs. */
function countingEngine(engine: Engine) {
  const counts = { products: 0 };
  const load: Engine["load"] = async (model, ...rest) => {
    const session = await engine.load(model, ...rest);
    const products = [...model.graph.nodes()].filter(({ op }) => op === "MatMul").length;
    return {
      ...session,
      release: () => session.release(),
      run: (feeds, ...rest) => {
        counts.products += products * (feeds.x?.dims[0] ?? 0);
        return session.run(feeds, ...rest);
      },
    };
  };
  return { engine: { ...engine, load }, counts };
}

test("errors of layers take at most the runs of the evaluation of both models", async () => {
  const evaluated = 32;
  const model = parseModel(`opset 17
graph (x: float32[batch, 256, 256]) -> (y: float32[batch, 256, 256]) {
  a.weight: float32[256, 256] = random(seed 1)
  b.weight: float32[256, 256] = random(seed 2)
  c.weight: float32[256, 256] = random(seed 3)
  h = MatMul "a" (x, a.weight)
  r = Relu(h)
  i = MatMul "b" (r, b.weight)
  s = Relu(i)
  y = MatMul "c" (s, c.weight)
}`);
  const data = memory("x", {
    x: {
      type: "float32",
      dims: [32, 256, 256],
      data: Float32Array.from({ length: 32 * 256 * 256 }, (_, index) => ((index * 7919) % 1000) / 500 - 1),
    },
  });
  const options: OptionValues = { scheme: "weights", weights: "palette", bits: 3 };
  const { engine, counts } = countingEngine(createEngine());
  const context = completeContext({ engine });
  const run = async (changed: OptionValues) => {
    const copy = model.clone();
    return { model: copy, ...(await runStep(quantize, copy, changed, {}, context)) };
  };
  const requestedOutput = await run(options);
  counts.products = 0;
  const request = { pass: quantize, options, original: model, requestedOutput, run, samples: data, output: undefined };
  const { rows } = await layerTable({ ...request, evaluated }, new Set(["a", "b", "c"]), context);
  expect([...rows.keys()].toSorted()).toEqual(["a", "b", "c"]);
  expect([...rows.values()].some(({ share }) => share === undefined)).toBe(true);
  expect(counts.products).toBeGreaterThan(0);
  expect(counts.products).toBeLessThanOrEqual(2 * evaluated * 3);
});
