/** Law: if an operator definition states that factors pass through, scaling one operand of each product scales the outputs by the same factor. */
import { expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { Miss } from "../../src/core/errors.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { fromNumbers, isFloat, toFloat64 } from "../../src/core/tensor/convert.ts";
import { inMemory } from "../../src/core/tensor/dense.ts";
import type { Batch, Dense } from "../../src/core/tensor/types.ts";
import type { Example } from "../core/ops/define.examples.ts";
import { difference, examplesFor, feedsOf, fixedModel, lastNode, outputsOf, run } from "./harness.ts";

const factor = 1.75;

function productsOf(example: Example): readonly (readonly number[])[] | undefined {
  const model = fixedModel(example);
  const node = lastNode(model);
  const bound = infer(model).at(node);
  const scaling = bound instanceof Miss ? undefined : bound.homogeneous();
  return scaling?.products.filter((product) => product.every((input) => node.inputs[input] !== undefined));
}

/** Yields every set of operands that contains exactly one operand of each product. */
function* carriers(products: readonly (readonly number[])[]): Generator<ReadonlySet<number>, void, undefined> {
  const all = [...new Set(products.flat())];
  for (let bits = 1; bits < 2 ** all.length; bits++) {
    const some = new Set(all.filter((_, at) => (bits >> at) % 2 === 1));
    if (products.every((product) => product.filter((input) => some.has(input)).length === 1)) yield some;
  }
}

const cases = examplesFor("file").flatMap(([title, example]) => {
  const products = productsOf(example);
  const isSmall = products !== undefined && new Set(products.flat()).size <= 6;
  return isSmall ? [...carriers(products)].map((some) => [title, [...some], example] as const) : [];
});

const times = (dense: Dense, by: number): Dense =>
  isFloat(dense.type)
    ? fromNumbers(
        dense.type,
        dense.dims,
        toFloat64(dense).map((value) => value * by),
      )
    : dense;

async function runScaled(model: Model, feeds: Batch, inputs: readonly number[]): Promise<Batch> {
  const node = lastNode(model);
  const values = new Set(inputs.map((input) => node.inputs[input]));
  const scaledFeeds = { ...feeds };
  for (const value of values) {
    if (value?.tensor !== undefined) value.tensor = inMemory(times(await value.tensor.read(), factor));
    else if (value !== undefined && feeds[value.name] !== undefined)
      scaledFeeds[value.name] = times(feeds[value.name] as Dense, factor);
    else throw new Error("an operand is computed");
  }
  return run(model, scaledFeeds);
}

test.each(cases)("%s: %j", async (_, inputs, example) => {
  const model = fixedModel(example);
  const node = lastNode(model);
  const operands = inputs.map((input) => node.inputs[input]);
  // Operands that share a value, or come from another node, cannot be scaled separately.
  if (operands.some((value) => value?.producer !== undefined || value?.uses.size !== 1)) return;
  if (operands.some((value) => value?.type !== undefined && !isFloat(value.type.type))) return;
  const feeds = feedsOf(model, example);
  const before = await outputsOf(example);
  const after = await runScaled(model, feeds, inputs);
  // Additional outputs such as statistics do not change.
  const [products] = productsOf(example) ?? [];
  const outputs = products?.join() === "0" ? node.outputs : node.outputs.slice(0, 1);
  for (const output of outputs) {
    const dense = output && before[output.name];
    if (dense === undefined || !isFloat(dense.type)) continue;
    expect(difference(after[output?.name ?? ""] ?? dense, times(dense, factor)), output?.name).toBeLessThan(1e-3);
  }
});
