import { describe, expect, test } from "vitest";
import { value } from "../../../test/find.ts";
import { topologies } from "../../../test/zoo/topologies.ts";
import { infer } from "../analysis/infer.ts";
import { createEngine } from "../engine/index.ts";
import { float32 } from "../tensor/dense.ts";
import { elementCount } from "../tensor/dims.ts";
import { random } from "../tensor/random.ts";
import type { Batch } from "../tensor/types.ts";
import { extract } from "./extract.ts";
import { subgraphs } from "./graph.ts";
import type { Model } from "./model.ts";
import { structureHash } from "./structure-hash.ts";
import { parseModel, printModel } from "./text.ts";
import { verify } from "./verify.ts";

const engine = createEngine();

async function run(model: Model, feeds: Batch): Promise<Batch> {
  const inputNames = model.graph.feeds.map(({ name }) => name);
  const session = await engine.load(model, { optimize: false });
  try {
    return await session.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => inputNames.includes(name))));
  } finally {
    await session.release();
  }
}

const source = `opset 21
graph (x: float32[2], y: float32[2]) -> (z: float32[2]) {
  w: float32[2] parameter = [1, 2]
  unread: float32[2] = [3, 4]
  a = Mul "first" (x, w)
  b = Neg(a)
  c = Add(b, y)
  z = Exp(c)
}
`;

describe("extract", () => {
  test("returns the nodes between two values, with their other inputs, as a model", () => {
    const model = parseModel(source);
    infer(model);
    const before = structureHash(model);
    const part = extract(model, [value(model, "c")], [value(model, "a")]);
    expect(part.graph.inputs.map(({ name }) => name)).toEqual(["a", "y"]);
    expect(part.graph.outputs.map(({ name }) => name)).toEqual(["c"]);
    expect(Array.from(part.graph.nodes(), ({ op }) => op)).toEqual(["Neg", "Add"]);
    expect([...part.graph.values()].map(({ name }) => name).sort()).toEqual(["a", "b", "c", "y"]);
    expect(verify(part)).toEqual([]);
    expect(structureHash(model)).toBe(before);
  });

  test("keeps roles, node names and tensors", () => {
    const model = parseModel(source);
    const part = extract(model, [value(model, "a")]);
    expect(value(part, "w").role).toEqual({ kind: "parameter" });
    expect(value(part, "w").tensor).toBe(value(model, "w").tensor);
    expect(value(part, "a").producer?.name).toBe("first");
    expect(part.graph.inputs.map(({ name }) => name)).toEqual(["x"]);
  });

  test("feeds a weight that is requested as an input", () => {
    const model = parseModel(source);
    const part = extract(model, [value(model, "a")], [value(model, "w")]);
    expect(part.graph.feeds.map(({ name }) => name)).toEqual(["w", "x"]);
  });

  test("reads a given output as a feed, even if its node also produces another output", () => {
    const model = parseModel(`opset 21
graph (x: float32[4], k: int64[1]) -> (y) {
  v, i = TopK(x, k)
  d = Cast(i) {to=1}
  y = Add(v, d)
}
`);
    const part = extract(model, [value(model, "y")], [value(model, "v")]);
    expect(part.graph.feeds.map(({ name }) => name)).toEqual(["v", "x", "k"]);
    expect(value(part, "y").producer?.inputs[0]).toBe(value(part, "v"));
    expect(verify(part)).toEqual([]);
  });

  const branching = `opset 21
graph (x: float32[2], flag: bool[]) -> (y) {
  w: float32[2] = [1, 2]
  a = Relu(x)
  y = If(flag) {then_branch=graph () -> (t) { c: float32[2] = [5, 6]
    s = Add(c, w)
    t = Add(a, s) }, else_branch=graph () -> (e) { e = Exp(x) }}
}
`;

  test("includes subgraphs and the outer values that they read", () => {
    const model = parseModel(branching);
    const part = extract(model, [value(model, "y")], [value(model, "a")]);
    expect(part.graph.feeds.map(({ name }) => name)).toEqual(["a", "x", "flag"]);
    expect(Array.from(part.graph.nodes(), ({ op }) => op)).toEqual(["If"]);
    expect(verify(part)).toEqual([]);
    expect(printModel(model)).toBe(printModel(parseModel(branching)));
  });

  test("extracts a value of a subgraph unless it depends on an input of the subgraph", () => {
    const model = parseModel(branching);
    const [branch] = subgraphs(value(model, "y").producer ?? fail());
    const part = extract(model, [branch?.value("s") ?? fail()]);
    expect(part.graph.feeds).toEqual([]);
    expect(Array.from(part.graph.nodes(), ({ op }) => op)).toEqual(["Add"]);
    expect(verify(part)).toEqual([]);

    const loop = parseModel(`opset 21
graph (n: int64[], yes: bool[], x: float32[2]) -> (y) {
  y = Loop(n, yes, x) {body=graph (i: int64[], c: bool[], h: float32[2]) -> (c, g) { g = Relu(h) }}
}
`);
    const [body] = subgraphs(value(loop, "y").producer ?? fail());
    const inner = body?.value("g") ?? fail();
    expect(() => extract(loop, [inner])).toThrow(expect.objectContaining({ code: "E_MODEL" }));
    const fed = extract(loop, [inner], [body?.value("h") ?? fail()]);
    expect(fed.graph.feeds.map(({ name }) => name)).toEqual(["h"]);
  });

  test.each(topologies.filter(({ integers }) => integers === undefined))(
    "splits $name into two halves that compute the same outputs as the model",
    async ({ text, inputs }) => {
      const model = parseModel(text);
      infer(model);
      const numbers = random(1, "inputs");
      const feeds: Batch = Object.fromEntries(
        Object.entries(inputs).map(([name, dims]) => [
          name,
          float32(
            dims,
            Float32Array.from({ length: elementCount(dims) }, () => numbers.normal()),
          ),
        ]),
      );
      const nodes = [...model.graph.nodes()];
      const [middle] = nodes[Math.floor(nodes.length / 2)]?.outputs ?? [];
      if (middle === undefined) throw new Error("the node has no output");
      const first = extract(model, [middle]);
      const second = extract(model, model.graph.outputs, [middle]);
      for (const part of [first, second]) expect(verify(part)).toEqual([]);
      const between = await run(first, feeds);
      expect(await run(second, { ...feeds, ...between })).toEqual(await run(model, feeds));
    },
  );
});

function fail(): never {
  throw new Error("the model lacks it");
}

test("extract makes a parameter of a tensor tied to one outside of the part", () => {
  const model = parseModel(`opset 21
graph (x: float32[1, 2]) -> (z) {
  a: float32[2, 2] = [1, 2, 3, 4]
  b: float32[2, 2] tied(a, transposed) = [1, 3, 2, 4]
  y: float32[1, 2] = MatMul(x, a)
  z: float32[1, 2] = MatMul(y, b)
}`);
  const part = extract(model, [value(model, "z")], [value(model, "y")]);
  expect(verify(part)).toEqual([]);
  expect(value(part, "b").role).toEqual({ kind: "parameter" });
  const complete = extract(model, [value(model, "z")]);
  expect(value(complete, "b").role).toEqual({ kind: "tied", name: "a", transposed: true });
});
