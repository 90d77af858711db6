/**
 * Law: the primitives that a node is lowered to compute the node's outputs, for numbers and for named dimensions, with as many
 * multiply-accumulates as the operator definition states. Emitted nodes require opset 18 or later, so a model is raised first.
 */
import { describe, expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { Miss, PithError } from "../../src/core/errors.ts";
import { emitInto } from "../../src/core/graph/emit.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { verify } from "../../src/core/graph/verify.ts";
import type { Dense } from "../../src/core/tensor/types.ts";
import { raiseOpset } from "../../src/rewrite/edit/raise-opset.ts";
import type { Example } from "../core/ops/define.examples.ts";
import { examples } from "./examples.ts";
import {
  difference,
  examplesFor,
  feedsOf,
  fixedModel,
  lastNode,
  loweredModel,
  numberOf,
  operatorOf,
  outputsOf,
  run,
  symbolicModel,
} from "./harness.ts";

const opset = 18;

/** Returns the model in an opset that primitives support; undefined if it cannot be raised. */
function raised(model: Model): Model | undefined {
  try {
    raiseOpset(model, opset);
    return model;
  } catch (error) {
    if (error instanceof PithError && error.code === "E_UNSUPPORTED") return undefined;
    throw error;
  }
}

function lowered(model: Model): Model | undefined {
  const node = lastNode(model);
  const target = raised(model);
  // Raising already replaces operators that the newer opset lacks by primitives.
  if (target === undefined || ![...target.graph.nodes()].includes(node)) return target;
  return loweredModel(target);
}

function macsOf(model: Model, example: Example): number {
  const inference = infer(model);
  let sum = 0;
  for (const node of model.graph.nodes()) {
    const bound = inference.at(node);
    const cost = bound instanceof Miss ? bound : bound.cost();
    if (cost instanceof Miss) throw new Error(`${node.op}: ${cost.reason}`);
    sum += numberOf(cost.macs, example.sizes);
  }
  return sum;
}

/** Returns the reason why a node is not lowered although its operator lowers others. */
function refusal(model: Model): string | undefined {
  const target = raised(model);
  if (target === undefined) return "is not carried to a newer opset";
  const inference = infer(target);
  const node = lastNode(target);
  const bound = inference.at(node);
  const emit = emitInto(target, { before: node, onNode: inference.visit });
  const answer = bound instanceof Miss ? bound : bound.lower(emit, node.inputs);
  return answer instanceof Miss ? answer.reason : undefined;
}

const lowers = (example: Example): boolean => !(operatorOf(example).facets.lower instanceof Miss);

describe("a lowered node computes the same outputs", () => {
  test.each(examplesFor("lower", lowers))("%s", async (_, example) => {
    const model = fixedModel(example);
    const foretold = example.misses.lower;
    const primitives = lowered(fixedModel(example));
    if (foretold !== undefined || primitives === undefined) {
      // An operator that lowers only some of its forms, and has no gradient for the others, lists the others as exceptions in its examples.
      expect(refusal(fixedModel(example))).toContain(foretold ?? "");
      if (operatorOf(example).facets.gradient instanceof Miss) expect(foretold, "foretold").toBeDefined();
      return;
    }
    expect(verify(primitives)).toEqual([]);
    const [expected, actual] = [await outputsOf(example), await run(primitives, feedsOf(model, example))];
    for (const [index, { name }] of model.graph.outputs.entries()) {
      const outputName = primitives.graph.outputs[index]?.name ?? "";
      expect(actual[outputName]?.dims, name).toEqual(expected[name]?.dims);
      expect(actual[outputName]?.type, name).toEqual(expected[name]?.type);
      const half = expected[name]?.type.endsWith("float16") === true;
      expect(difference(actual[outputName] as Dense, expected[name] as Dense), name).toBeLessThan(half ? 2e-3 : 2e-6);
    }
    // Elementwise operators have no multiply-accumulates. If an operator claims some, its primitives have as many.
    if (example.except.cost === undefined) expect(macsOf(model, example)).toBe(macsOf(primitives, example));
  });
});

describe("a node lowered with named dimensions computes the same outputs", () => {
  const named = (example: Example): boolean =>
    lowers(example) &&
    symbolicModel(example).graph.inputs.some(({ type }) => type?.dims?.some((dim) => typeof dim !== "number"));
  test.each(examplesFor("lower", named))("%s", async (_, example) => {
    const model = symbolicModel(example);
    const primitives = lowered(symbolicModel(example));
    if (primitives === undefined) return;
    const [expected, actual] = [await outputsOf(example), await run(primitives, feedsOf(model, example))];
    for (const [index, { name }] of model.graph.outputs.entries()) {
      const outputName = primitives.graph.outputs[index]?.name ?? "";
      const half = expected[name]?.type.endsWith("float16") === true;
      expect(difference(actual[outputName] as Dense, expected[name] as Dense), name).toBeLessThan(half ? 2e-3 : 2e-6);
    }
  });
});

describe("an operator without a kernel runs as primitives, with the stated types", () => {
  const newest = 23;
  const unrun = examples.filter((example) => example.except.run !== undefined && example.misses.read === undefined);
  test.each(unrun.filter(lowers).map((example) => [example.title, example] as const))("%s", async (_, example) => {
    const model = fixedModel(example);
    // ONNX Runtime may not support the opset of the operator, but it supports the older one of the primitives.
    model.header.opsets.set("", Math.min(example.opset, newest));
    const stated = model.graph.outputs.map(({ type }) => ({
      type: type?.type,
      dims: type?.dims?.map((dim) => numberOf(dim, example.sizes)),
    }));
    const primitives = loweredModel(model);
    if (primitives === undefined) return;
    expect(verify(primitives)).toEqual([]);
    const results = await run(primitives, feedsOf(primitives, example));
    const returned = primitives.graph.outputs.map(({ name }) => {
      const { type, dims } = results[name] as Dense;
      return { type, dims };
    });
    expect(returned).toEqual(stated);
  });
});
