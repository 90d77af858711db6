/**
 * Law: a layer written as a chain of layers, one with its weight and the others with the identity, computes the same outputs. The chain applies
 * everything else that the operator does (transposing the data, strides, padding, factors, the bias) only once.
 */
import { expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { weightElements, weightShape } from "../../src/core/analysis/weight-matrix.ts";
import { Miss } from "../../src/core/errors.ts";
import { emitInto } from "../../src/core/graph/emit.ts";
import type { Value } from "../../src/core/graph/graph.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { substitute } from "../../src/core/graph/replace.ts";
import { verify } from "../../src/core/graph/verify.ts";
import { identity } from "../../src/core/math/matrix.ts";
import type { WeightRole } from "../../src/core/ops/entry.ts";
import { fromNumbers } from "../../src/core/tensor/convert.ts";
import { inMemory } from "../../src/core/tensor/dense.ts";
import type { Example } from "../core/ops/define.examples.ts";
import { difference, examplesFor, feedsOf, fixedModel, lastNode, outputsOf, run } from "./harness.ts";

function roleOf(model: Model): WeightRole | undefined {
  const bound = infer(model).at(lastNode(model));
  const roles = bound instanceof Miss ? bound : bound.weights();
  return roles instanceof Miss ? undefined : roles[0];
}

/** Returns the model with its layer as a chain of three, of which the one at index `place` has its weight. */
function inThree(model: Model, place: number): Model {
  const node = lastNode(model);
  const role = roleOf(model);
  const inference = infer(model);
  const packed = role?.packed?.matrix(emitInto(model, { before: node, onNode: inference.visit }), node.inputs);
  const weight = packed ?? (role === undefined ? undefined : node.inputs[role.input]);
  const [output] = node.outputs;
  if (role?.chain === undefined || weight === undefined || weight instanceof Miss || output === undefined)
    throw new Error("the example is no layer that can be a chain");
  const dims = role.packed === undefined ? (weight.tensor?.dims ?? []) : [role.packed.outputs, role.packed.inputs];
  const { groups, outputs, inputs } = weightShape(role, dims);
  const eye = (size: number): Value => {
    const laid = dims.map((_, axis) => (axis === role.out || axis === role.in ? size * (axis === 0 ? groups : 1) : 1));
    const numbers = weightElements(role, laid, Array(groups).fill(identity(size)));
    return model.graph.addTensor("eye", inMemory(fromNumbers("float32", laid, numbers)));
  };
  const parts = [0, 1, 2].map((at) => ({
    name: `part${at}`,
    weight: at === place ? weight : eye(at < place ? inputs : outputs),
    window: at === place ? dims.map((_, axis) => axis) : [],
  }));
  const y = role.chain(emitInto(model, { before: node }), node.inputs, parts);
  y.type = output.type;
  substitute(output, y);
  return model;
}

/** Returns whether an example can be a chain: packed layers only with float32 data, because the parts of a packed weight have the type of the data. */
function writesChains(example: Example): boolean {
  const model = fixedModel(example);
  const role = roleOf(model);
  const data = role?.packed === undefined ? undefined : lastNode(model).inputs[role.data];
  return role?.chain !== undefined && (data?.type?.type ?? "float32") === "float32";
}

test.each(examplesFor("types", writesChains))("%s", async (_, example) => {
  const feeds = feedsOf(fixedModel(example), example);
  const [expected] = Object.values(await outputsOf(example));
  for (const place of [0, 1, 2]) {
    const model = inThree(fixedModel(example), place);
    expect(verify(model)).toEqual([]);
    const [actual] = Object.values(await run(model, feeds));
    if (expected === undefined || actual === undefined) throw new Error("the example has no output");
    expect(difference(actual, expected), `the weight is that of part ${place}`).toBeLessThan(1e-5);
  }
});
