/**
 * Law: the types, dimensions and known contents that an operator definition infers equal those of ONNX Runtime, for numbers and for named dimensions.
 * A run does not change the buffers of its inputs (`run`).
 */
import { describe, expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { emitInto } from "../../src/core/graph/emit.ts";
import { type Container, isContainer, type Value, type ValueType } from "../../src/core/graph/graph-elements.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { verify } from "../../src/core/graph/verify.ts";
import { toNumbers } from "../../src/core/tensor/convert.ts";
import type { Batch, Dense } from "../../src/core/tensor/types.ts";
import type { Example } from "../core/ops/define.examples.ts";
import { examples } from "./examples.ts";
import {
  examplesFor,
  feedsOf,
  fixedModel,
  lastNode,
  numberOf,
  outputsOf,
  reasonOf,
  run,
  symbolicModel,
} from "./harness.ts";

interface Found {
  readonly name: string;
  readonly type: string;
  readonly dims: readonly number[] | undefined;
}

/** Returns the inferred type of each output, with numbers for named dimensions. */
function inferred(model: Model, example: Example): { readonly outputs: readonly Found[]; readonly reasons: string[] } {
  const inference = infer(model);
  const outputs = lastNode(model).outputs.flatMap((value): Found[] => {
    if (value === undefined) return [];
    const dims = value.type?.dims?.map((dim) => numberOf(dim, example.sizes));
    return [{ name: value.name, type: value.type?.type ?? "unknown", dims }];
  });
  return { outputs, reasons: inference.misses.map((miss) => miss.reason) };
}

function returned(batch: Batch, model: Model): readonly Found[] {
  return model.graph.outputs.map(({ name }) => ({ name, type: batch[name]?.type ?? "none", dims: batch[name]?.dims }));
}

/** Returns the inferred contents, with numbers for named dimensions, and the actual ones. */
function contents(model: Model, example: Example, batch: Batch): { claimed: number[]; got: number[] }[] {
  const inference = infer(model);
  return model.graph.outputs.flatMap((value) => {
    const elements = inference.operand(value)?.elements;
    const result = batch[value.name];
    if (elements === undefined || result === undefined) return [];
    return [{ claimed: elements.map((element) => numberOf(element, example.sizes)), got: toNumbers(result) }];
  });
}

describe("inferred types equal returned ones", () => {
  test.each(examplesFor("types"))("%s", async (_, example) => {
    const model = fixedModel(example);
    const results = await outputsOf(example);
    const expected = returned(results, model);
    expect(inferred(model.clone(), example)).toEqual({ outputs: expected, reasons: [] });
    expect(inferred(symbolicModel(example), example)).toEqual({ outputs: expected, reasons: [] });
    for (const source of [model, symbolicModel(example)]) {
      for (const { claimed, got } of contents(source, example, results)) expect(claimed).toEqual(got);
    }
    // Shapes that are computed only from stored values are known.
    const shapes =
      model.graph.feeds.length === 0 && expected.every(({ type, dims }) => type === "int64" && dims?.length === 1);
    if (shapes) expect(contents(model, example, results)).toHaveLength(expected.length);
  });
});

describe("a valid node that a definition does not support is refused with the expected reason", () => {
  const refused = examples.filter((example) => example.misses.read !== undefined);
  test.each(refused.map((example) => [example.title, example] as const))("%s", async (_, example) => {
    const model = fixedModel(example);
    // ONNX Runtime has no kernels for operator versions before opset 7.
    if (example.opset >= 7) await run(model, feedsOf(model, example));
    expect(reasonOf(infer(model).at(lastNode(model)))).toContain(example.misses.read);
  });
});

describe("a node without a CPU kernel has the types that its example states", () => {
  const unrun = examples.filter((example) => example.except.run !== undefined);
  test.each(unrun.map((example) => [example.title, example] as const))("%s", async (_, example) => {
    const model = fixedModel(example);
    const stated = lastNode(model).outputs.flatMap((value): Found[] => {
      const { type, dims } = value?.type ?? {};
      return value === undefined
        ? []
        : [{ name: value.name, type: `${type}`, dims: dims?.map((dim) => numberOf(dim, example.sizes)) }];
    });
    expect(verify(model)).toEqual([]);
    for (const source of [model, symbolicModel(example)]) {
      for (const value of lastNode(source).outputs) if (value !== undefined) value.type = undefined;
      expect(inferred(source, example)).toEqual({ outputs: stated, reasons: [] });
    }
    await expect(run(model, feedsOf(model, example))).rejects.toThrow(/^ONNX Runtime (rejected|failed)/);
  });
});

describe("inference claims no data-dependent values, and all claims are correct", () => {
  const open = examples.filter((example) => example.except.types !== undefined);
  test.each(open.map((example) => [example.title, example] as const))("%s", async (_, example) => {
    const model = fixedModel(example);
    const expected = returned(await outputsOf(example), model);
    for (const source of [model, symbolicModel(example)]) {
      const { outputs } = inferred(source, example);
      const claimed = outputs.map(({ dims }, index) =>
        dims?.map((dim, axis) => whatCameOut(dim, expected[index], axis)),
      );
      expect(outputs.map(({ name, type }) => ({ name, type }))).toEqual(
        expected.map(({ name, type }) => ({ name, type })),
      );
      expect(claimed.map((dims, index) => dims ?? expected[index]?.dims)).toEqual(expected.map(({ dims }) => dims));
      const unknown = outputs.filter(({ dims }) => dims === undefined || dims.some(Number.isNaN));
      expect(unknown.length).toBeGreaterThan(0);
    }
  });
});

describe("sequences have the inferred elements", () => {
  const sequences = examples.filter((example) => example.except.sequence !== undefined);
  test.each(sequences.map((example) => [example.title, example] as const))("%s", async (_, example) => {
    for (const source of [fixedModel(example), symbolicModel(example)]) {
      const inference = infer(source);
      expect(inference.misses).toEqual([]);
      const [value] = lastNode(source).outputs;
      const container = value === undefined ? undefined : inference.operand(value)?.container;
      if (value === undefined || container === undefined) throw new Error("it is a tensor");
      const { elements, outputs, length } = takenApart(source, value, container);
      const results = await run(source, feedsOf(source, example));
      if (length !== undefined) expect(toNumbers(results[length] as Dense)).toEqual([elements.length]);
      elements.forEach(({ type, dims }, index) => {
        const { type: gotType, dims: gotDims = [] } = results[outputs[index] ?? ""] ?? {};
        expect(type).toBe(gotType);
        const claimed = dims?.map((dim) => numberOf(dim, example.sizes));
        expect(claimed?.map((dim, axis) => (Number.isNaN(dim) ? gotDims[axis] : dim))).toEqual(gotDims);
      });
    }
  });
});

/** Makes the elements of a sequence the outputs of the model. Returns the inferred types of the elements. */
function takenApart(
  model: Model,
  value: Value,
  container: Container,
): { readonly elements: readonly ValueType[]; readonly outputs: readonly string[]; readonly length?: string } {
  const emit = emitInto(model);
  if (container.kind !== "sequence") throw new Error(`is a ${container.kind}`);
  // For a sequence of unknown length, only the first element is checked.
  const items = container.items ?? [container.of];
  const parts = items.map((_, index) =>
    emit.SequenceAt([value, emit.constant({ type: "int64", dims: [], data: BigInt64Array.of(BigInt(index)) })]),
  );
  const length = emit.SequenceLength([value]);
  model.graph.setOutputs([...parts, length]);
  const elements = items.map((item) => {
    if (isContainer(item)) throw new Error("a sequence of sequences");
    return item;
  });
  return {
    elements,
    outputs: parts.map(({ name }) => name),
    ...(container.items === undefined ? {} : { length: length.name }),
  };
}

test("inputs of unknown rank cause no error and keep the outputs' element types", () => {
  for (const example of examples) {
    const expected = inferred(symbolicModel(example), example).outputs;
    const model = symbolicModel(example);
    for (const value of model.graph.feeds)
      if (value.type !== undefined) value.type = { type: value.type.type, dims: undefined };
    for (const [index, { type }] of inferred(model, example).outputs.entries())
      if (type !== "unknown") expect(type, example.title).toBe(expected[index]?.type);
  }
});

/** Returns the inferred size, or the actual one if only a run determines it. */
function whatCameOut(dim: number, found: Found | undefined, axis: number): number | undefined {
  return Number.isNaN(dim) ? found?.dims?.[axis] : dim;
}
