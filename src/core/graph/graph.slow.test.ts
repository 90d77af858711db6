/** Sorting of a long graph. */
import { describe, expect, test } from "vitest";
import { Graph } from "./graph.ts";

describe("sort", () => {
  test("sorts a chain of 100,000 nodes", () => {
    const graph = new Graph();
    const values = Array.from({ length: 100_001 }, (_, index) => graph.addValue(`v${index}`));
    for (let index = values.length - 2; index >= 0; index--) {
      graph.addNode({ op: "Relu", inputs: [values[index]], outputs: [`v${index + 1}`] });
    }
    graph.sort();
    expect([...graph.nodes()][0]?.inputs[0]?.name).toBe("v0");
  });
});
