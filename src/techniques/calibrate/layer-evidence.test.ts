import { expect, test } from "vitest";
import { numbersFor } from "../../../test/techniques/quantize/networks.ts";
import { parseModel } from "../../core/graph/text.ts";
import { memory } from "../../data/batches/indexed.ts";
import { nearest, quantize } from "../quantize/index.ts";
import type { Solver } from "./solver.ts";
import type { Statistic } from "./statistic.ts";

const rows: Statistic<number> = {
  begin() {
    let [sum, pairs] = [0, 0];
    return {
      add(batch, original) {
        sum += batch.rows;
        pairs += original?.rows ?? 0;
      },
      end: () => sum + pairs / 1000,
    };
  },
};

const network = `opset 17
graph (x: float32[batch, 12]) -> (y: float32[batch, 12]) {
  w: float32[12, 12] = random(seed 1)
  a = MatMul "first" (x, w)
  b = Relu(a)
  c = MatMul "second" (b, w)
  d = Relu(c)
  y = MatMul "third" (d, w)
}`;

test.each([
  { of: "original", options: {}, evidence: [["first", 96]] },
  { of: "changed", options: {}, evidence: [["first", 96]] },
  { of: "both", options: {}, evidence: [["first", 96.096]] },
  { of: "original", options: { except: "second" }, evidence: [["first", 64]] },
  { of: "both", options: { except: "first" }, evidence: [["second", 64.064]] },
] as const)(
  "collects statistics of a shared weight from all layers that read it: $of, $options",
  async ({ of, options, evidence }) => {
    const observed: unknown[] = [];
    const rounder: Solver = {
      id: "counting",
      evidence: rows,
      of,
      scales(weight, grid, context) {
        observed.push([context.layer.name, context.evidence]);
        return nearest.scales(weight, grid);
      },
    };
    const data = memory("x", { x: numbersFor([32, 12]) });
    await quantize(parseModel(network), { scheme: "weights", rounder, data, equalize: false, ...options });
    expect(observed).toEqual(evidence);
  },
);

test.each(["original", "changed"] as const)(
  "computes statistics once for layers that read the same value: %s",
  async (of) => {
    let begun = 0;
    const observed: unknown[] = [];
    const rounder: Solver = {
      id: "counting",
      of,
      evidence: {
        begin() {
          begun++;
          return rows.begin();
        },
      },
      scales(weight, grid, context) {
        observed.push([context.layer.name, context.evidence]);
        return nearest.scales(weight, grid);
      },
    };
    const model = parseModel(`opset 17
graph (x: float32[batch, 12]) -> (y: float32[batch, 12]) {
  query: float32[12, 12] = random(seed 1)
  key: float32[12, 12] = random(seed 2)
  value: float32[12, 12] = random(seed 3)
  a = MatMul "first" (x, query)
  b = MatMul "second" (x, key)
  c = Add(a, b)
  y = MatMul "third" (c, value)
}`);
    const data = memory("x", { x: numbersFor([32, 12]) });
    await quantize(model, { scheme: "weights", rounder, data, equalize: false });
    expect(observed).toEqual(["first", "second", "third"].map((name) => [name, 32]));
    expect(begun).toBe(2);
  },
);
