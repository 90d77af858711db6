/** The table of layer errors: its cost is bounded by the evaluation, and layers that did not run alone are estimated. */
import { expect, test } from "vitest";
import type { Engine } from "../../src/core/engine/engine.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import { Miss } from "../../src/core/errors.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import type { OptionValues } from "../../src/core/pass/pass.ts";
import { completeContext } from "../../src/core/pass/run-pass.ts";
import { memory } from "../../src/data/index.ts";
import { computeLayerTable, estimateErrors } from "../../src/judge/fallback/layer-table.ts";
import { runStep } from "../../src/judge/steps/step.ts";
import { parseStep } from "../../src/judge/steps/step-options.ts";
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
    return { model: copy, ...(await runStep(await parseStep(quantize, changed), copy, {}, context)) };
  };
  const requestedOutput = await run(options);
  counts.products = 0;
  const request = { pass: quantize, options, original: model, requestedOutput, run, samples: data, output: undefined };
  const { rows } = await estimateErrors({ ...request, evaluated }, new Set(["a", "b", "c"]), context);
  expect([...rows.keys()].toSorted()).toEqual(["a", "b", "c"]);
  expect([...rows.values()].some(({ share }) => share === undefined)).toBe(true);
  expect(counts.products).toBeGreaterThan(0);
  expect(counts.products).toBeLessThanOrEqual(2 * evaluated * 3);
});

test("the error of a layer that did not run alone is estimated from those that did", async () => {
  const names = Array.from({ length: 9 }, (_, index) => `layer${index}`);
  const text = (scale: (index: number) => number): string => `opset 17
graph (x: float32[batch, 2]) -> (${names.map((_, index) => `y${index}`).join(", ")}) {
${names.map((name, index) => `  w${index}: float32[2, 2] = [${[1, 0, 0, 1].map((value) => value * scale(index)).join(", ")}]\n  y${index} = MatMul "${name}" (x, w${index})`).join("\n")}
}`;
  const [original, changed] = [parseModel(text(() => 1)), parseModel(text((index) => 1.1 + index / 100))];
  const data = memory("x", {
    x: { type: "float32", dims: [8, 2], data: Float32Array.from({ length: 16 }, (_, index) => Math.cos(index)) },
  });
  // The lowest limit: eight layers run alone, those with the largest errors.
  const options = { alone: { samples: 8, work: 1 } };
  const table = await computeLayerTable(original, changed, data, options, completeContext({ engine: createEngine() }));
  if (table instanceof Miss) throw new Error(table.reason);
  const [first, ...measuredRows] = table.rows;
  expect(first?.share).toBeUndefined();
  for (const { share, estimate } of measuredRows) expect(estimate).toBe(share);
  expect(first?.estimate).toBeGreaterThan(0);
  expect(first?.estimate).toBeLessThan(measuredRows[0]?.share ?? 0);
});
