/** Laws of the rules of `simplify`: each rule applies to its examples, keeps the outputs, and leaves the nearest other models alone. */
import { describe, expect, test } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import { verify } from "../../src/core/graph/verify.ts";
import { rulesById } from "../../src/core/ops/rules/index.ts";
import { checkEquivalence } from "../../src/judge/compare/equivalence.ts";
import { fuseNodes } from "../../src/rewrite/clean-up/fuse-nodes.ts";
import { simplify } from "../../src/rewrite/clean-up/simplify.ts";
import { parseExample, ruleExamples } from "../core/ops/rules/index.ts";

const engine = createEngine();

describe.each(ruleExamples.map((example) => [example.rule, example] as const))("the rule %s", (id, example) => {
  const { fires, keeps, sizes = {}, tolerance = 1e-6 } = example;
  test.each(Object.entries(fires))("applies to %s and keeps the outputs", async (_, text) => {
    const model = parseExample(text);
    const original = model.clone();
    const { changes } = await fuseNodes(model, { only: [id] }, { engine });
    expect(changes.map(({ rule }) => rule)).toContain(id);
    expect(verify(model)).toEqual([]);
    await simplify(model, {}, { engine });
    expect(model.graph.nodeCount).toBeLessThan(original.graph.nodeCount);
    const sameness = await checkEquivalence(engine, original, model, {
      sizes: new Map(Object.entries(sizes)),
      seed: 1,
    });
    if (typeof sameness === "string") throw new Error(sameness);
    expect(sameness.difference).toBeLessThanOrEqual(tolerance);
  });

  test.each(Object.entries(keeps))("does not apply to %s", async (_, text) => {
    const model = parseExample(text);
    const { changes } = await fuseNodes(model, { only: [id] }, { engine });
    expect(changes).toEqual([]);
  });
});

test("every rule has examples, and every example names a rule", () => {
  expect(ruleExamples.map(({ rule }) => rule).sort()).toEqual([...rulesById.keys()].sort());
});
