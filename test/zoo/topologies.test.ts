import { describe, expect, test } from "vitest";
import { parseModel, printModel } from "../../src/graph/text.ts";
import { topologies, topology } from "./topologies.ts";

describe.each(topologies)("$name", ({ text, inputs, integers = {} }) => {
  test("its text is a model", () => {
    expect(printModel(parseModel(printModel(parseModel(text))))).toBe(printModel(parseModel(text)));
  });

  test("it says how to feed every input", () => {
    const { graph } = parseModel(text);
    expect(graph.feeds.map((value) => value.name).sort()).toEqual(Object.keys(inputs).sort());
    for (const { name, type } of graph.feeds) {
      expect(type?.dims?.map((dim, axis) => (typeof dim === "number" ? dim : inputs[name]?.[axis]))).toEqual(
        inputs[name],
      );
      expect(type?.type).toBe(name in integers ? "int64" : "float32");
    }
  });
});

test("every topology has its name", () => {
  expect(new Set(topologies.map(({ name }) => name)).size).toBe(topologies.length);
  expect(() => topology("none")).toThrow('"none"');
});
