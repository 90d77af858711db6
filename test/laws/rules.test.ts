/** Laws of the rules of `simplify`: each rule applies to its examples, keeps the outputs, and leaves the nearest other models alone. */
import { describe, expect, test } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { verify } from "../../src/core/graph/verify.ts";
import { rulesById } from "../../src/core/ops/rules/index.ts";
import { compareOutputs } from "../../src/judge/compare/equivalence.ts";
import { fuseNodes } from "../../src/rewrite/clean-up/fuse-nodes.ts";
import { simplify } from "../../src/rewrite/clean-up/simplify.ts";
import { activations } from "../rules/activations.ts";
import { arithmetic } from "../rules/arithmetic.ts";
import { bounds } from "../rules/bounds.ts";
import type { RuleExample } from "../rules/example.ts";
import { layouts } from "../rules/layout.ts";
import { normalizations } from "../rules/normalizations.ts";
import { operands } from "../rules/operands.ts";
import { operators } from "../rules/operators.ts";
import { products } from "../rules/products.ts";
import { selections } from "../rules/selections.ts";

const engine = createEngine();
const examples: readonly RuleExample[] = [
  ...activations,
  ...normalizations,
  ...arithmetic,
  ...bounds,
  ...operators,
  ...products,
  ...layouts,
  ...selections,
  ...operands,
];

const parse = (text: string): Model => parseModel(/^opset/.test(text.trim()) ? text : `opset 21\n${text}`);

describe.each(examples.map((example) => [example.rule, example] as const))("the rule %s", (id, example) => {
  const { fires, keeps, sizes = {}, tolerance = 1e-6 } = example;
  test.each(Object.entries(fires))("applies to %s and keeps the outputs", async (_, text) => {
    const model = parse(text);
    const original = model.clone();
    const { changes } = await fuseNodes(model, { only: [id] }, { engine });
    expect(changes.map(({ rule }) => rule)).toContain(id);
    expect(verify(model)).toEqual([]);
    await simplify(model, {}, { engine });
    expect(model.graph.nodeCount).toBeLessThan(original.graph.nodeCount);
    const sameness = await compareOutputs(engine, original, model, { sizes: new Map(Object.entries(sizes)), seed: 1 });
    if (typeof sameness === "string") throw new Error(sameness);
    expect(sameness.difference).toBeLessThanOrEqual(tolerance);
  });

  test.each(Object.entries(keeps))("does not apply to %s", async (_, text) => {
    const model = parse(text);
    const { changes } = await fuseNodes(model, { only: [id] }, { engine });
    expect(changes).toEqual([]);
  });
});

test("every example names a rule", () => {
  expect(examples.map(({ rule }) => rule).filter((id) => !rulesById.has(id))).toEqual([]);
});
