/**
 * Law: multiply-accumulates equal a counted execution. If all data and weights are 1 and there is no bias, every product adds 1 to the sum of the
 * outputs. Products with padding count as well, as in the kernel: the padding becomes data of ones.
 */
import { describe, expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { Miss } from "../../src/core/errors.ts";
import type { Attribute, Node } from "../../src/core/graph/graph.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { fromNumbers, toNumbers } from "../../src/core/tensor/convert.ts";
import { inMemory } from "../../src/core/tensor/dense.ts";
import { elementCount, fixedDims } from "../../src/core/tensor/dims.ts";
import type { Batch, Dense } from "../../src/core/tensor/types.ts";
import type { Example } from "../core/ops/define.examples.ts";
import { examplesFor, fixedModel, lastNode, numberOf, numeric, operatorOf, run, symbolicModel } from "./harness.ts";

function integers(node: Node, name: string): readonly number[] | undefined {
  const attribute = node.attributes.get(name);
  return attribute?.kind === "ints" ? attribute.value.map(Number) : undefined;
}

/** Enlarges the data of a convolution by its padding, and removes the padding. */
function withoutPadding(model: Model): void {
  const node = lastNode(model);
  if (!/^(Fused)?Conv(Integer)?$/.test(node.op)) return;
  const [x, w] = node.inputs;
  const [data, weight, out] = [x, w, node.outputs[0]].map((value) => fixedDims(value?.type?.dims) ?? []);
  const reach = (weight ?? []).slice(2).map((size, axis) => {
    const extent = (size - 1) * (integers(node, "dilations")?.[axis] ?? 1) + 1;
    return ((out?.[axis + 2] ?? 1) - 1) * (integers(node, "strides")?.[axis] ?? 1) + extent;
  });
  if (x?.type !== undefined) x.type = { type: x.type.type, dims: [...(data ?? []).slice(0, 2), ...reach] };
  for (const name of ["pads", "auto_pad"]) node.graph.setAttribute(node, name, undefined);
}

const unit: Attribute = { kind: "float", value: 1 };
const none: Attribute = { kind: "float", value: 0 };

/** Returns the sum of all outputs for operands of ones. */
async function counted(example: Example): Promise<number> {
  const model = fixedModel(example);
  infer(model);
  const node = lastNode(model);
  withoutPadding(model);
  // Padding of a transposed convolution crops its output.
  if (node.op === "ConvTranspose")
    for (const name of ["pads", "auto_pad", "output_shape"]) node.graph.setAttribute(node, name, undefined);
  if (node.attributes.has("alpha")) node.graph.setAttribute(node, "alpha", unit);
  if (node.attributes.has("beta")) node.graph.setAttribute(node, "beta", none);
  const fed: Record<string, Dense> = {};
  // Sums of ones are not negative, so Relu does not change them.
  if (node.attributes.has("activation")) node.graph.setAttribute(node, "activation", { kind: "string", value: "Relu" });
  node.graph.setAttribute(node, "activation_params", undefined);
  node.inputs.forEach((value, input) => {
    if (value?.type === undefined) return;
    const dims = fixedDims(value.type.dims) ?? [];
    const ones = fromNumbers(
      numeric(value.type.type),
      dims,
      new Float64Array(elementCount(dims)).fill(input < 2 ? 1 : 0),
    );
    if (value.tensor === undefined) fed[value.name] = ones;
    else value.tensor = inMemory(ones);
  });
  for (const output of model.graph.outputs) output.type = undefined;
  const results: Batch = await run(model, fed);
  return Object.values(results).reduce(
    (sum, dense) => sum + toNumbers(dense).reduce((part, value) => part + value, 0),
    0,
  );
}

function claimed(model: Model, example: Example): number {
  const bound = infer(model).at(lastNode(model));
  const cost = bound instanceof Miss ? bound : bound.cost();
  if (cost instanceof Miss) throw new Error(`${example.title}: ${cost.reason}`);
  return numberOf(cost.macs, example.sizes);
}

const multiplies = (example: Example): boolean => {
  const node = lastNode(symbolicModel(example));
  return /^(Conv|ConvInteger|ConvTranspose|MatMul|MatMulInteger|Gemm|Fused\w+|Einsum)$/.test(node.op);
};

describe("multiply-accumulates equal a counted execution", () => {
  test.each(examplesFor("cost", multiplies))("%s", async (_, example) => {
    const count = await counted(example);
    expect(claimed(fixedModel(example), example)).toBe(count);
    expect(claimed(symbolicModel(example), example)).toBe(count);
  });

  // Lowered operators cost what their primitives cost, which lower.test.ts checks.
  test("all other primitive operators cost 0", () => {
    const primitive = (example: Example): boolean => operatorOf(example).facets.lower instanceof Miss;
    const nonProducts = examplesFor("cost", (example) => !multiplies(example) && primitive(example));
    expect(
      nonProducts.filter(([, example]) => claimed(fixedModel(example), example) !== 0).map(([title]) => title),
    ).toEqual([]);
  });
});
