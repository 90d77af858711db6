/**
 * Law: what a node is lowered to computes what the node does, for numbers and for named dimensions, and its multiply-accumulates are as many
 * as the entry says. What is emitted is written for opset 18 or later: a model is raised to it first.
 */
import { describe, expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { Miss, PithError } from "../../src/core/errors.ts";
import { emitInto } from "../../src/core/graph/emit.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { verify } from "../../src/core/graph/verify.ts";
import type { Dense } from "../../src/core/tensor/types.ts";
import { raiseOpset } from "../../src/rewrite/edit/raise-opset.ts";
import type { Example } from "../ops/define.examples.ts";
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
  run,
  symbolicModel,
} from "./harness.ts";

const opset = 18;

/** The model in an operator set that primitives are written for; undefined where it cannot be carried there. */
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
  // What does not exist there any more was written as primitives on the way.
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

/** Why a node is not lowered, where its entry lowers others. */
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

describe("what a node is lowered to computes the same", () => {
  test.each(examplesFor("lower", lowers))("%s", async (_, example) => {
    const model = fixedModel(example);
    const foretold = example.misses.lower;
    const primitives = lowered(fixedModel(example));
    if (foretold !== undefined || primitives === undefined) {
      // Who lowers only some of its forms, and has no gradient for the others, says so by its examples.
      expect(refusal(fixedModel(example))).toContain(foretold ?? "");
      if (operatorOf(example).facets.gradient instanceof Miss) expect(foretold, "foretold").toBeDefined();
      return;
    }
    expect(verify(primitives)).toEqual([]);
    const feeds = feedsOf(model, example);
    const [expected, actual] = [await run(model, feeds), await run(primitives, feeds)];
    for (const [index, { name }] of model.graph.outputs.entries()) {
      const own = primitives.graph.outputs[index]?.name ?? "";
      expect(actual[own]?.dims, name).toEqual(expected[name]?.dims);
      expect(actual[own]?.type, name).toEqual(expected[name]?.type);
      const half = expected[name]?.type.endsWith("float16") === true;
      expect(difference(actual[own] as Dense, expected[name] as Dense), name).toBeLessThan(half ? 2e-3 : 2e-6);
    }
    // Element by element nothing is multiplied and added up: where an entry claims products, its primitives have them.
    if (example.except.cost === undefined) expect(macsOf(model, example)).toBe(macsOf(primitives, example));
  });
});

describe("where dimensions have names, primitives compute the same for the numbers that they stand for", () => {
  const named = (example: Example): boolean =>
    lowers(example) &&
    symbolicModel(example).graph.inputs.some(({ type }) => type?.dims?.some((dim) => typeof dim !== "number"));
  test.each(examplesFor("lower", named))("%s", async (_, example) => {
    const model = symbolicModel(example);
    const primitives = lowered(symbolicModel(example));
    if (primitives === undefined) return;
    const feeds = feedsOf(model, example);
    const [expected, actual] = [await run(model, feeds), await run(primitives, feeds)];
    for (const [index, { name }] of model.graph.outputs.entries()) {
      const own = primitives.graph.outputs[index]?.name ?? "";
      const half = expected[name]?.type.endsWith("float16") === true;
      expect(difference(actual[own] as Dense, expected[name] as Dense), name).toBeLessThan(half ? 2e-3 : 2e-6);
    }
  });
});

describe("what ONNX Runtime has no kernel for runs as primitives, with the types that are stated", () => {
  const newest = 23;
  const unrun = examples.filter((example) => example.except.run !== undefined && example.misses.read === undefined);
  test.each(unrun.filter(lowers).map((example) => [example.title, example] as const))("%s", async (_, example) => {
    const model = fixedModel(example);
    // Its own operator set may be one that ONNX Runtime does not know; the primitives are older.
    model.header.opsets.set("", Math.min(example.opset, newest));
    const stated = model.graph.outputs.map(({ type }) => ({
      type: type?.type,
      dims: type?.dims?.map((dim) => numberOf(dim, example.sizes)),
    }));
    const primitives = loweredModel(model);
    if (primitives === undefined) return;
    expect(verify(primitives)).toEqual([]);
    const results = await run(primitives, feedsOf(primitives, example));
    const found = primitives.graph.outputs.map(({ name }) => {
      const { type, dims } = results[name] as Dense;
      return { type, dims };
    });
    expect(found).toEqual(stated);
  });
});
