/** Tests properties of attention that laws over single examples do not cover. */
import { describe, expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { fromNumbers, toFloat64 } from "../../src/core/tensor/convert.ts";
import type { Dense } from "../../src/core/tensor/types.ts";
import { difference, loweredModel, run } from "./harness.ts";

const numbers = (dims: readonly number[], step: number): Dense =>
  fromNumbers(
    "float32",
    dims,
    Array.from({ length: dims.reduce((count, size) => count * size, 1) }, (_, at) => Math.sin(at * step)),
  );
const operands = { q: numbers([1, 2, 4, 3], 1.3), k: numbers([1, 2, 5, 3], 0.7), v: numbers([1, 2, 5, 2], 2.1) };
const inputs = "q: float32[1, 2, 4, 3], k: float32[1, 2, 5, 3], v: float32[1, 2, 5, 2]";

/** Runs the kernel with a mask. @param sees whether a query attends to a key. */
async function masked(sees: (query: number, key: number) => boolean): Promise<Dense> {
  const model = parseModel(`opset 24
graph (${inputs}, m: bool[4, 5]) -> (y: float32[1, 2, 4, 2]) {
  y = Attention(q, k, v, m)
}`);
  const mask = Array.from({ length: 20 }, (_, at) => Number(sees(Math.floor(at / 5), at % 5)));
  const results = await run(model, { ...operands, m: fromNumbers("bool", [4, 5], mask) });
  return results.y as Dense;
}

/** Runs attention as primitives, because ONNX Runtime has no kernel for windows. */
async function primitive(settings: string): Promise<Dense> {
  const model = parseModel(`opset 25
graph (${inputs}) -> (y: float32[1, 2, 4, 2]) {
  y = Attention(q, k, v) {${settings}}
}`);
  const lowered = loweredModel(model);
  if (lowered === undefined) throw new Error("is not lowered");
  lowered.header.opsets.set("", 23);
  const results = await run(lowered, operands);
  return results[lowered.graph.outputs[0]?.name ?? ""] as Dense;
}

describe("an attention window", () => {
  const cases: readonly (readonly [string, (query: number, key: number) => boolean])[] = [
    ["left_window_size=1", (query, key) => key >= query - 1],
    ["right_window_size=0", (query, key) => key <= query],
    ["left_window_size=1, right_window_size=2", (query, key) => key >= query - 1 && key <= query + 2],
    ["left_window_size=0, is_causal=1", (query, key) => key === query],
  ];
  test.each(cases)("%s equals a mask", async (settings, sees) => {
    expect(difference(await primitive(settings), await masked(sees))).toBeLessThan(1e-6);
  });

  test("returns 0 if it is empty", async () => {
    const none = await masked((query) => query !== 2);
    expect([...toFloat64(none)].filter((value) => value === 0)).toHaveLength(4);
  });
});
