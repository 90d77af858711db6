import { describe, expect, it } from "vitest";
import { infer } from "../../core/analysis/infer.ts";
import { parametersOf } from "../../core/analysis/parameters.ts";
import { createEngine } from "../../core/engine/index.ts";
import { PithError } from "../../core/errors.ts";
import { nodeText } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { straightThrough } from "../../core/graph/role.ts";
import { parseModel } from "../../core/graph/text.ts";
import { verify } from "../../core/graph/verify.ts";
import { float32 } from "../../core/tensor/dense.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { differentiate, type TrainingGraphs } from "./differentiate.ts";

const engine = createEngine();

async function run(model: Model, feeds: Batch): Promise<Batch> {
  const feedNames = new Set(model.graph.feeds.map(({ name }) => name));
  const session = await engine.load(model, { optimize: false });
  const outputs = await session.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => feedNames.has(name))));
  await session.release();
  return outputs;
}

const numbers = (batch: Batch, name: string | undefined) => Array.from((batch[name ?? ""]?.data ?? []) as Float32Array);

const squares = parseModel(`opset 21
graph (x: float32[2, 3]) -> (loss) {
  w: float32[4, 3] = random(seed 1)
  b: float32[4] = random(seed 2)
  h = Gemm (x, w, b) {transB=1}
  s = Mul (h, h)
  loss = ReduceSum (s) {keepdims=0}
}`);

const x = float32([2, 3], [1, -2, 0.5, 3, 0.25, -1]);

const byName = (...names: string[]) => ({ loss: "loss", wrt: (value: { name: string }) => names.includes(value.name) });

async function stored(model: Model): Promise<Batch> {
  const gradientsByName: Record<string, Batch[string]> = {};
  for (const value of model.graph.values())
    if (value.tensor !== undefined) gradientsByName[value.name] = await value.tensor.read();
  return gradientsByName;
}

describe("differentiate", () => {
  it("writes a valid graph from parameters to loss and gradients", () => {
    const { step, gradients, frozen } = differentiate(squares, byName("w", "b"));
    expect(verify(step)).toEqual([]);
    expect(frozen).toBeUndefined();
    expect(step.graph.feeds.map(({ name }) => name)).toEqual(["x", "w", "b"]);
    expect(step.graph.outputs.map(({ name }) => name)).toEqual(["loss", gradients.get("w"), gradients.get("b")]);
  });

  it("does not change the model", () => {
    const before = [...squares.graph.values()].map(({ name }) => name);
    differentiate(squares, byName("w"));
    expect([...squares.graph.values()].map(({ name }) => name)).toEqual(before);
    expect(squares.graph.value("w")?.tensor).toBeDefined();
  });

  it("sums over broadcast axes", async () => {
    const { step, gradients } = differentiate(squares, byName("b"));
    const weights = await stored(squares);
    const outputs = await run(step, { x, ...weights });
    const forward = await run(parseModelOutput(squares, "h"), { x });
    const h = numbers(forward, "h");
    numbers(outputs, gradients.get("b")).forEach((value, channel) => {
      expect(value).toBeCloseTo(2 * ((h[channel] ?? 0) + (h[channel + 4] ?? 0)), 4);
    });
  });

  it("adds the contributions of several consumers", async () => {
    const model = parseModel(`opset 21
graph (x: float32[2]) -> (loss) {
  w: float32[2] = [3, 5]
  a = Mul (w, x)
  c = Mul (a, w)
  d = Add (c, w)
  loss = ReduceSum (d) {keepdims=0}
}`);
    const { step, gradients } = differentiate(model, byName("w"));
    const outputs = await run(step, { x: float32([2], [1, 2]), w: float32([2], [3, 5]) });
    expect(numbers(outputs, gradients.get("w"))).toEqual([2 * 3 * 1 + 1, 2 * 5 * 2 + 1]);
  });

  it("passes no gradient to masked entries", async () => {
    const model = parseModel(`opset 21
graph (x: float32[1, 3]) -> (loss) {
  w_orig: float32[3, 2] parameter = random(seed 1)
  w_mask: float32[3, 2] mask = [1, 0, 0, 1, 1, 0]
  w = Mul (w_orig, w_mask)
  h = MatMul (x, w)
  loss = ReduceSum (h) {keepdims=0}
}`);
    const { step, gradients } = differentiate(model, byName("w_orig"));
    const outputs = await run(step, { x: float32([1, 3], [1, 2, 3]), ...(await stored(model)) });
    expect(numbers(outputs, gradients.get("w_orig"))).toEqual([1, 0, 0, 2, 3, 0]);
    expect(step.graph.value("w_mask")?.tensor).toBeDefined();
  });

  it("passes through a rounding only with the straight-through role", async () => {
    const model = parseModel(`opset 21
graph (x: float32[3]) -> (loss) {
  w: float32[3] = [0.2, 1.7, -0.6]
  r = Round (w)
  y = Mul (r, x)
  loss = ReduceSum (y) {keepdims=0}
}`);
    expect(() => differentiate(model, byName("w"))).toThrow(/depends on "w" only through Round "r", which passes no/);
    const rounded = model.graph.value("r");
    if (rounded === undefined) throw new Error("no rounding");
    rounded.role = straightThrough;
    const { step, gradients } = differentiate(model, byName("w"));
    const outputs = await run(step, { x: float32([3], [1, 2, 3]), ...(await stored(model)) });
    expect(numbers(outputs, gradients.get("w"))).toEqual([1, 2, 3]);
  });

  it("lowers operators without a gradient", async () => {
    const model = parseModel(`opset 21, com.microsoft 1
graph (x: float32[2, 3]) -> (loss) {
  w: float32[2, 3] = random(seed 3)
  y = com.microsoft.FusedMatMul (x, w) {transB=1, alpha=0.5}
  loss = ReduceSum (y) {keepdims=0}
}`);
    const { step, gradients } = differentiate(model, byName("w"));
    const outputs = await run(step, { x, ...(await stored(model)) });
    const sums = [0, 1, 2].map((column) => 0.5 * ((x.data[column] ?? 0) + (x.data[column + 3] ?? 0)));
    expect(numbers(outputs, gradients.get("w"))).toEqual([...sums, ...sums]);
  });

  describe("subgraphs", () => {
    // Exporters write EmbeddingBag like this: each step of a Loop reads a row of a table in the outer graph.
    const bags = `opset 21
graph (x: float32[2, 3]) -> (loss) {
  n: int64[] = [2]
  table: float32[5, 3] = random(seed 1)
  w: float32[3, 4] = random(seed 2)
  rows = Loop (n, _) {body=graph (i: int64[], go: bool[]) -> (on, row) {
    on = Identity (go)
    row = Gather (table, i)
  }}
  first = MatMul (x, w)
  h = Mul (x, rows)
  l1 = ReduceSum (h) {keepdims=0}
  l2 = ReduceSum (first) {keepdims=0}
  loss = Add (l1, l2)
}`;

    it("rejects a parameter that a subgraph reads, by name", () => {
      expect(() => differentiate(parseModel(bags), byName("table"))).toThrow(
        /Loop "rows" has no gradient with respect to "table": its subgraph reads that value from the outer graph/,
      );
      expect(() => differentiate(parseModel(bags), byName("w", "table"))).toThrow(/with respect to "table"/);
    });

    it("rejects values that depend on a parameter in nested subgraphs", () => {
      const deep = `opset 21
graph (x: float32[2], flag: bool[]) -> (loss) {
  w: float32[2] = [3, 5]
  doubled = Add (w, w)
  y = If (flag) {then_branch=graph () -> (z) {
    z = If (flag) {then_branch=graph () -> (a) { a = Mul (x, doubled) }, else_branch=graph () -> (b) { b = Neg (x) }}
  }, else_branch=graph () -> (c) { c = Abs (x) }}
  loss = ReduceSum (y) {keepdims=0}
}`;
      expect(() => differentiate(parseModel(deep), byName("w"))).toThrow(
        /If "y" has no gradient with respect to "doubled"/,
      );
    });

    it("rejects a parameter that is stored in a subgraph", () => {
      const branch = `opset 21
graph (x: float32[2], flag: bool[]) -> (loss) {
  v: float32[2] = [1, 2]
  y = If (flag) {then_branch=graph () -> (z) { w: float32[2] = [3, 5]; z = Mul (x, w) }, else_branch=graph () -> (c) { c = Abs (x) }}
  s = Mul (y, v)
  loss = ReduceSum (s) {keepdims=0}
}`;
      expect(() => differentiate(parseModel(branch), byName("v", "w"))).toThrow(
        /"w" is stored in a graph inside If "y": gradients of subgraphs are not supported/,
      );
      expect([...differentiate(parseModel(branch), byName("v")).gradients.keys()]).toEqual(["v"]);
    });

    it("counts parameters of subgraphs", () => {
      const model = parseModel(bags);
      const parameterNames = [...parametersOf(model, infer(model))].map(({ name }) => name);
      expect(parameterNames.sort()).toEqual(["table", "w"]);
    });

    it("trains other parameters and ignores nodes outside the loss", async () => {
      const { step, gradients } = differentiate(parseModel(bags), byName("w"));
      const outputs = await run(step, { x, ...(await stored(parseModel(bags))) });
      const column = [0, 1, 2].map((index) => (x.data[index] ?? 0) + (x.data[index + 3] ?? 0));
      expect(numbers(outputs, gradients.get("w"))).toEqual(column.flatMap((sum) => [sum, sum, sum, sum]));
      const separate = differentiate(parseModel(bags), { ...byName("w", "table"), loss: "l2" });
      expect([...separate.gradients.keys()]).toEqual(["w"]);
    });
  });

  it("treats values computed from dimensions as constant (the scale of attention)", async () => {
    const model = parseModel(`opset 17
graph (x: float32[2, 3]) -> (loss) {
  w: float32[3, 4] = random(seed 1)
  h = MatMul (x, w)
  dims = Shape (h) {start=1, end=2}
  width = Cast (dims) {to=1}
  root = Sqrt (width)
  scaled = Div (h, root)
  loss = ReduceSum (scaled) {keepdims=0}
}`);
    const { step, gradients } = differentiate(model, byName("w"));
    const outputs = await run(step, { x, ...(await stored(model)) });
    const halves = [0, 1, 2].map((index) => ((x.data[index] ?? 0) + (x.data[index + 3] ?? 0)) / 2);
    expect(numbers(outputs, gradients.get("w"))).toEqual(halves.flatMap((sum) => [sum, sum, sum, sum]));
  });

  it("reports parameters behind a rounding as untrained", () => {
    for (const rounded of ["Mul (x, w)", "Mul (w, w)", "Identity (w)"]) {
      const model = parseModel(`opset 17
graph (x: float32[2]) -> (loss) {
  w: float32[2] = [3, 5]
  h = ${rounded}
  codes = Cast (h) {to=7}
  back = Cast (codes) {to=1}
  y = Add (back, x)
  loss = ReduceSum (y) {keepdims=0}
}`);
      expect(() => differentiate(model, byName("w")), rounded).toThrow(
        /depends on "w" only through Cast "back", which passes no gradient on/,
      );
    }
  });

  it("names parameters whose only path is constant almost everywhere", async () => {
    const model = parseModel(`opset 21
graph (x: float32[3]) -> (loss) {
  w: float32[3] = [0.2, -1.7, 0.6]
  gate: float32[3] = [0.5, -2, 3]
  unused: float32[3] = [1, 1, 1]
  idle = Neg (unused)
  sign = Sign (w)
  step = Sign (gate)
  a = Mul (sign, w)
  b = Mul (a, step)
  y = Mul (b, x)
  loss = ReduceSum (y) {keepdims=0}
}`);
    const { step, gradients, stopped } = differentiate(model, {
      loss: "loss",
      wrt: ({ tensor }) => tensor !== undefined,
    });
    const outputs = await run(step, { x: float32([3], [1, 2, 3]), ...(await stored(model)) });
    expect(numbers(outputs, gradients.get("w"))).toEqual([1, 2, 3]);
    expect([...gradients.keys()]).toEqual(["w"]);
    expect([...stopped].map(([name, node]) => `${name}: ${nodeText(node)}`)).toEqual(['gate: Sign "step"']);
  });

  it("passes no gradient through a Boolean mask", async () => {
    const model = parseModel(`opset 21
graph (x: float32[3]) -> (loss) {
  w: float32[3] = [0.2, -1.7, 0.6]
  zero: float32[] = [0]
  positive = Greater (w, zero)
  mask = Cast (positive) {to=1}
  kept = Mul (w, mask)
  y = Mul (kept, x)
  loss = ReduceSum (y) {keepdims=0}
}`);
    const { step, gradients } = differentiate(model, byName("w"));
    const outputs = await run(step, { x: float32([3], [1, 2, 3]), ...(await stored(model)) });
    expect(numbers(outputs, gradients.get("w"))).toEqual([1, 0, 3]);
  });

  it("rejects an operator without a gradient, with name and reason", () => {
    const model = parseModel(`opset 21
graph (x: float32[2, 3]) -> (loss) {
  w: float32[3] = random(seed 1)
  y = Mul (x, w)
  q = DynamicQuantizeLinearLike (y)
  loss = ReduceSum (q) {keepdims=0}
}`);
    expect(() => differentiate(model, byName("w"))).toThrow(PithError);
  });

  it("rejects a loss that is not a scalar or does not exist", () => {
    expect(() => differentiate(squares, { loss: "h", wrt: () => true })).toThrow(/must be a scalar, got \[2, 4\]/);
    expect(() => differentiate(squares, { loss: "lost", wrt: () => true })).toThrow(/no value "lost"/);
  });

  it("rejects a symbolic dimension with the name of the value", () => {
    const open = parseModel(`opset 21
graph (x: float32[batch, 3]) -> (loss) {
  w: float32[3] = random(seed 1)
  y = Mul (x, w)
  loss = ReduceSum (y) {keepdims=0}
}`);
    expect(() => differentiate(open, byName("w"))).toThrow(/"y" are not fixed: \[batch, 3\]/);
  });
});

function parseModelOutput(model: Model, output: string): Model {
  const copy = model.clone();
  const value = copy.graph.value(output);
  if (value !== undefined) copy.graph.setOutputs([value]);
  return copy;
}

describe("the part that no parameter influences", () => {
  const model = parseModel(`opset 21
graph (x: float32[2, 3]) -> (loss) {
  backbone.weight: float32[5, 3] = random(seed 1)
  head.weight: float32[2, 5] = random(seed 2)
  f = Gemm (x, backbone.weight) {transB=1}
  r = Relu (f)
  h = Gemm (r, head.weight) {transB=1}
  s = Mul (h, h)
  loss = ReduceSum (s) {keepdims=0}
}`);
  const split = (): TrainingGraphs => differentiate(model, byName("head.weight"));

  it("becomes a separate graph with stored weights", () => {
    const { frozen, step } = split();
    expect(frozen?.graph.outputs.map(({ name }) => name)).toEqual(["r"]);
    expect(frozen?.graph.value("backbone.weight")?.tensor).toBeDefined();
    expect(step.graph.feeds.map(({ name }) => name)).toEqual(["head.weight", "r"]);
    expect(step.graph.value("backbone.weight")).toBeUndefined();
    expect([verify(step), frozen === undefined ? [] : verify(frozen)]).toEqual([[], []]);
  });

  it("yields the same loss and gradient as the joint graph", async () => {
    const { frozen, step, gradients } = split();
    const joint = differentiate(model, byName("head.weight", "backbone.weight"));
    const weights = await stored(model);
    const features = frozen === undefined ? {} : await run(frozen, { x });
    const cut = await run(step, { ...features, ...weights });
    const jointResults = await run(joint.step, { x, ...weights });
    expect(numbers(cut, "loss")[0]).toBeCloseTo(numbers(jointResults, "loss")[0] ?? Number.NaN, 4);
    numbers(cut, gradients.get("head.weight")).forEach((value, index) => {
      expect(value).toBeCloseTo(numbers(jointResults, joint.gradients.get("head.weight"))[index] ?? Number.NaN, 4);
    });
  });

  it("stays in the step if it has no matrix products", () => {
    const flat = parseModel(`opset 21
graph (x: float32[2, 3, 1]) -> (loss) {
  w: float32[3, 2] = random(seed 1)
  f = Flatten (x)
  h = MatMul (f, w)
  loss = ReduceSum (h) {keepdims=0}
}`);
    expect(differentiate(flat, byName("w")).frozen).toBeUndefined();
  });
});
