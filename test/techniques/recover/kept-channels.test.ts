/** The predicted dimensions of a value after channel pruning equal those in the pruned model. */
import { expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { matchOriginal } from "../../../src/techniques/calibrate/match-original.ts";
import { keptIndicesOf } from "../../../src/techniques/recover/kept-channels.ts";
import { engine } from "./networks.ts";

test("follows the remaining channels of a layer through sums, norms and concatenation", async () => {
  const text = (a: string, b: string) => `opset 17
graph (x: float32[n, 2]) -> (y: float32[n, 2]) {
  a.weight: float32[${a.split(";").length}, 2] = [${a.replaceAll(";", ", ")}]
  b.weight: float32[${b.split(";").length}, 2] = [${b.replaceAll(";", ", ")}]
  c.weight: float32[2, ${a.split(";").length + b.split(";").length}] = ones
  p = Gemm "a" (x, a.weight) {transB=1}
  q = Relu(p)
  r = Gemm "b" (x, b.weight) {transB=1}
  s = Concat(q, r) {axis=1}
  y = Gemm "c" (s, c.weight) {transB=1}
}`;
  const original = parseModel(text("[1, 2]; [3, 4]; [5, 6]", "[7, 8]; [9, 10]"));
  const changed = parseModel(text("[1, 2]; [5, 6]", "[9, 10]"));
  const keptIndices = await keptIndicesOf(await matchOriginal(changed, original, engine));
  expect(keptIndices.get("q")?.get(1)).toEqual([0, 2]);
  expect(keptIndices.get("s")?.get(1)).toEqual([0, 2, 4]);
  expect(keptIndices.get("y")).toBeUndefined();
});
