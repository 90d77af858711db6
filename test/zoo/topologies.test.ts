import { describe, expect, test } from "vitest";
import { createEngine } from "../../src/core/engine/index.ts";
import { parseModel, printModel } from "../../src/core/graph/text.ts";
import { verify } from "../../src/core/graph/verify.ts";
import { fromNumbers } from "../../src/core/tensor/convert.ts";
import { elementCount } from "../../src/core/tensor/dims.ts";
import { random } from "../../src/core/tensor/random.ts";
import type { Batch } from "../../src/core/tensor/types.ts";
import { topologies, topology } from "./topologies.ts";

describe.each(topologies)("$name", ({ text, inputs, integers = {} }) => {
  test("has a valid model text", () => {
    expect(printModel(parseModel(printModel(parseModel(text))))).toBe(printModel(parseModel(text)));
    expect(verify(parseModel(text))).toEqual([]);
  });

  test("specifies every input", () => {
    const { graph } = parseModel(text);
    expect(graph.feeds.map((value) => value.name).sort()).toEqual(Object.keys(inputs).sort());
    for (const { name, type } of graph.feeds) {
      expect(type?.dims?.map((dim, axis) => (typeof dim === "number" ? dim : inputs[name]?.[axis]))).toEqual(
        inputs[name],
      );
      expect(type?.type).toBe(name in integers ? "int64" : "float32");
    }
  });

  test("runs in ONNX Runtime, with outputs of the declared dimensions that vary", async () => {
    const model = parseModel(text);
    const session = await createEngine().load(model);
    const outputs = await session.run(feedsOf(inputs, integers));
    await session.release();
    for (const { name, type } of model.graph.outputs) {
      const output = outputs[name];
      const fixed = type?.dims?.map((dim, axis) => (typeof dim === "number" ? dim : output?.dims[axis]));
      expect(output?.dims).toEqual(fixed);
      const values = Array.from(output?.data as Float32Array);
      expect(values.every(Number.isFinite)).toBe(true);
      expect(new Set(values).size).toBeGreaterThan(values.length / 4);
    }
  });
});

function feedsOf(
  inputs: Readonly<Record<string, readonly number[]>>,
  integers: Readonly<Record<string, readonly [from: number, to: number]>>,
): Batch {
  const feeds = Object.entries(inputs).map(([name, dims]) => {
    const numbers = random(1, name);
    const range = integers[name];
    const next = () => (range === undefined ? numbers.normal() : range[0] + numbers.integer(range[1] - range[0]));
    return [
      name,
      fromNumbers(range === undefined ? "float32" : "int64", dims, Array.from({ length: elementCount(dims) }, next)),
    ];
  });
  return Object.fromEntries(feeds);
}

test("every topology has a unique name", () => {
  expect(new Set(topologies.map(({ name }) => name)).size).toBe(topologies.length);
  expect(() => topology("none")).toThrow('"none"');
});
