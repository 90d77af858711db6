/** Runs the slowest cases of the law in deep.test.ts. */
import { describe, expect, test } from "vitest";
import { findBlocks } from "../../src/core/analysis/blocks.ts";
import { cost } from "../../src/core/analysis/cost.ts";
import { infer } from "../../src/core/analysis/infer.ts";
import { whyNotStored } from "../../src/core/analysis/stored-root.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { dimsText } from "../../src/core/tensor/dims.ts";
import { definition, doubling, type NodeText, withFunctions } from "../local-functions.ts";
import { branches, deep, expectWalksEnd, loops, unknown } from "./deep-models.ts";

describe("nested subgraphs", () => {
  test.each([
    ["branches of unknown type", unknown],
    ["loops", loops],
  ])("every walk over %s terminates", async (_, nesting) => {
    await expectWalksEnd(nesting);
  });
});

describe("functions that call each other", () => {
  const call = (count: number, functions = doubling(count)): Promise<Model> =>
    withFunctions("graph (x: float32[n, 4]) -> (y) {\n  y = local.f0 (x)\n}", functions);

  test("with data-dependent sizes are visited for each call, up to a limit", async () => {
    const place: NodeText = { op: "NonZero", inputs: ["v"], outputs: ["w"] };
    const places = definition("f0", ["v"], ["w"], [place]);
    const two = await withFunctions(
      "graph (x: float32[n], z: float32[n]) -> (a, b) {\n  a = local.f0 (x)\n  b = local.f0 (z)\n}",
      [places],
    );
    infer(two);
    const [a, b] = two.graph.outputs.map(({ type }) => dimsText(type?.dims));
    expect(a).toMatch(/^\[1, \?/);
    expect(a).not.toBe(b);

    const open = doubling(40).with(39, definition("f39", ["v"], ["w"], [place]));
    const { misses } = infer(await call(40, open));
    expect(misses.map(({ reason }) => reason)).toContain(
      "calls of functions expand to more than the 50,000 nodes that are looked into",
    );
  });
});

describe("long chains of nodes", () => {
  const row = (count: number, line: (n: number) => string, last: string): Model =>
    parseModel(`opset 21, my 1
graph (h0: float32[2, 4]) -> (y) {
  w: float32[4, 4] parameter = random(seed 1)
  ones: float32[4] = ones
${Array.from({ length: count }, (_, n) => `  ${line(n + 1)}`).join("\n")}
  ${last}
}`);

  test("are recognized as two thousand repeated residual blocks", () => {
    const block = (n: number): string => `a${n} = LayerNormalization(h${n - 1}, ones)
  b${n} = MatMul(a${n}, w)
  c${n} = Relu(b${n})
  d${n} = Mul(c${n}, c${n})
  e${n} = Tanh(d${n})
  f${n} = Sigmoid(e${n})
  g${n} = MatMul(f${n}, w)
  h${n} = Add(g${n}, h${n - 1})`;
    const model = row(2000, block, "y = Relu(h2000)");
    expect(findBlocks(model, infer(model)).repeats.map(({ length }) => length)).toEqual([2000]);
  });
});

describe("nested subgraphs", () => {
  test("every walk over nested branches terminates", async () => {
    await expectWalksEnd(branches);
  });
});

describe("long chains of nodes", () => {
  const row = (count: number, line: (n: number) => string, last: string): Model =>
    parseModel(`opset 21, my 1
graph (h0: float32[2, 4]) -> (y) {
  w: float32[4, 4] parameter = random(seed 1)
  ones: float32[4] = ones
${Array.from({ length: count }, (_, n) => `  ${line(n + 1)}`).join("\n")}
  ${last}
}`);

  test("are walked without recursion", () => {
    const model = row(20_000, (n) => `h${n} = Tanh(h${n - 1})`, "y = MatMul(h20000, w)");
    const inference = infer(model);
    expect(findBlocks(model, inference).blocks.map(({ nodes }) => nodes.length)).toEqual([1]);
    const [last] = model.graph.nodesBackwards();
    expect(last?.inputs[0] === undefined ? undefined : whyNotStored(last.inputs[0])?.reason).toContain("at run time");
  });

  test("are visited once per node if each node reads its predecessor twice", () => {
    const model = row(deep, (n) => `h${n} = Add(h${n - 1}, h${n - 1})`, `y = my.Odd(h${deep})`);
    expect(cost(model, infer(model)).macs).toBe(deep * 0);
  });
});
