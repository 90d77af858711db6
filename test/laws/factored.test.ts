/**
 * Law: a layer written as two, of which one has the whole weight and the other the identity, computes what it did; either way round. Whatever
 * else the operator does (turning the data, factors, the bias) it then does once.
 */
import { expect, test } from "vitest";
import { infer } from "../../src/analysis/infer.ts";
import { Miss } from "../../src/errors.ts";
import { emitInto } from "../../src/graph/emit.ts";
import type { Model } from "../../src/graph/model.ts";
import { substitute } from "../../src/graph/replace.ts";
import { verify } from "../../src/graph/verify.ts";
import type { Example } from "../../src/ops/define.examples.ts";
import type { WeightRole } from "../../src/ops/index.ts";
import { fromNumbers } from "../../src/tensor/convert.ts";
import { inMemory } from "../../src/tensor/dense.ts";
import { fixedDims } from "../../src/tensor/dims.ts";
import { difference, examplesFor, feedsOf, fixedModel, lastNode, run } from "./harness.ts";

function roleOf(model: Model): WeightRole | undefined {
  const bound = infer(model).at(lastNode(model));
  const roles = bound instanceof Miss ? bound : bound.weights();
  return roles instanceof Miss ? undefined : roles[0];
}

/** The model with its layer as two: the identity is `down`, or `up`. */
function inTwo(model: Model, identity: "down" | "up"): Model {
  const node = lastNode(model);
  const role = roleOf(model);
  const weight = role === undefined ? undefined : node.inputs[role.input];
  const size = fixedDims(weight?.type?.dims)?.[identity === "up" ? (role?.out ?? 0) : (role?.in ?? 0)];
  const [output] = node.outputs;
  if (role?.factored === undefined || weight?.tensor === undefined || output === undefined || size === undefined)
    throw new Error("the example is no layer with a stored matrix");
  const ones = Array.from({ length: size * size }, (_, index) => (index % (size + 1) === 0 ? 1 : 0));
  const eye = model.graph.addTensor("eye", inMemory(fromNumbers("float32", [size, size], ones)));
  const factors = identity === "up" ? { down: weight, up: eye } : { down: eye, up: weight };
  const y = role.factored(emitInto(model, { before: node }), node.inputs, { ...factors, name: "layer" });
  y.type = output.type;
  substitute(output, y);
  return model;
}

const factorable = (example: Example): boolean => roleOf(fixedModel(example))?.factored !== undefined;

test.each(examplesFor("types", factorable))("%s", async (_, example) => {
  const feeds = feedsOf(fixedModel(example), example);
  const [expected] = Object.values(await run(fixedModel(example), feeds));
  for (const identity of ["down", "up"] as const) {
    const model = inTwo(fixedModel(example), identity);
    expect(verify(model)).toEqual([]);
    const [actual] = Object.values(await run(model, feeds));
    if (expected === undefined || actual === undefined) throw new Error("the example has no output");
    expect(difference(actual, expected), `the identity is ${identity}`).toBeLessThan(1e-5);
  }
});
