/**
 * Law: what a walk costs grows with what a file holds, not with a power of how deep its graphs are nested, how often its functions call each
 * other, or how many nodes stand in a row. Each model here would keep a walk that visits something twice at every level busy for ever.
 */
import { describe, expect, test } from "vitest";
import { blocks } from "../../src/analysis/blocks.ts";
import { cost } from "../../src/analysis/cost.ts";
import { infer } from "../../src/analysis/infer.ts";
import { allLayers } from "../../src/analysis/layers.ts";
import { whyNotStored } from "../../src/analysis/stored-root.ts";
import { createEngine } from "../../src/engine/index.ts";
import { Miss, PithError } from "../../src/errors.ts";
import { factorize } from "../../src/factorize/index.ts";
import { structureHash } from "../../src/graph/hash.ts";
import type { Model } from "../../src/graph/model.ts";
import { snapshot } from "../../src/graph/snapshot.ts";
import { parseModel, printModel } from "../../src/graph/text.ts";
import { verify } from "../../src/graph/verify.ts";
import { encodeToBytes, open } from "../../src/onnx/index.ts";
import { addOperators, defineOp } from "../../src/ops/index.ts";
import { inlineFunctions } from "../../src/passes/inline-functions.ts";
import { simplify } from "../../src/passes/simplify.ts";
import { prune } from "../../src/prune/index.ts";
import { quantize } from "../../src/quantize/index.ts";
import { inspect, plotPage } from "../../src/report/index.ts";
import { dimsText } from "../../src/tensor/dims.ts";
import { differentiate } from "../../src/train/differentiate.ts";
import { definition, doubling, type NodeText, withFunctions } from "../local-functions.ts";

/** What stands before the graph inside at each level, from `h<level - 1>`, and the node that holds the graph. */
interface Nesting {
  readonly before: (level: number) => string;
  readonly node: (level: number, inside: string) => string;
}

const branches: Nesting = {
  before: (n) => `w${n}: float32[4, 4] parameter = random(seed ${n})\n h${n} = MatMul "fc${n}" (h${n - 1}, w${n})`,
  node: (n, inside) =>
    `z${n} = If(flag) {then_branch=graph () -> (o${n}) { ${inside}\n o${n} = Identity(z${n + 1}) },
 else_branch=graph () -> (e${n}) { e${n} = Neg(h${n}) }}`,
};

/** Nothing is known of what they give, or of what they cost. */
const unknown: Nesting = {
  ...branches,
  before: (n) => `u${n} = my.Odd(h${n - 1})\n h${n} = Tanh(u${n})`,
};

/** Each counts up from 0, which is no longer known after its first turn. */
const loops: Nesting = {
  before: (n) => `h${n} = Tanh(h${n - 1})\n j${n}: int64[] = 0`,
  node: (n, inside) =>
    `z${n}, last${n} = Loop(turns, _, h${n}, j${n}) {body=graph (i${n}: int64[], c${n}: bool[], s${n}: float32[batch, 4],
 n${n}: int64[]) -> (k${n}, o${n}, m${n}) { k${n} = Identity(c${n})
 one${n}: int64[] = 1
 m${n} = Add(n${n}, one${n})
 ${inside}
 p${n} = my.Counted(s${n})
 o${n} = Add(z${n + 1}, p${n}) }}`,
};

/** Each goes through three tensors of different sizes. */
const maps: Nesting = {
  before: (n) => `h${n} = Tanh(h${n - 1})`,
  node: (n, inside) =>
    `q${n} = SequenceMap(parts) {body=graph (s${n}: float32[...]) -> (o${n}) { ${inside}
 o${n} = my.Counted(s${n}) }}\n z${n} = Identity(h${n})`,
};

function nested({ before, node }: Nesting, depth: number): Model {
  const level = (n: number): string =>
    n > depth ? `z${n} = my.Counted(h${n - 1})` : `${before(n)}\n ${node(n, level(n + 1))}`;
  return parseModel(`opset 21, my 1
graph (h0: float32[batch, 4], flag: bool[], turns: int64[], a: float32[1], b: float32[2], c: float32[3]) -> (y: float32[batch, 4]) {
  parts = SequenceConstruct(a, b, c)
  first: float32[4, 8] parameter = random(seed 1)
  second: float32[8, 4] parameter = random(seed 2)
  ${level(1)}
  t = MatMul "first" (z1, first)
  y = MatMul "second" (t, second)
}`);
}

/** How often the entry of \`my.Counted\` is asked for types. */
function visits(nesting: Nesting, depth: number): number {
  let count = 0;
  const model = nested(nesting, depth);
  const counted = defineOp({
    domain: "my",
    name: "Counted",
    infer: (_, { inputs: [x] }) => {
      count++;
      return [x];
    },
    axes: new Miss("stays whole"),
    lower: (_, emit, [x]) => [emit.Identity([x])],
  });
  addOperators(model, counted);
  infer(model);
  return count;
}

const deep = 40;

describe("graphs inside graphs", () => {
  test("branches are looked into once, whatever lies around them", () => {
    expect(visits(branches, deep)).toBe(1);
  });

  test("turns of loops inside loops add up", () => {
    // A loop at level n takes a turn for each of those around it, and one more.
    expect(visits(loops, deep)).toBeLessThan(2 * deep * deep);
  });

  test("a body that holds graphs is looked into once for all elements of a sequence", () => {
    expect(visits(maps, deep)).toBeLessThan(3 * deep);
  });

  test.each([
    ["branches", branches],
    ["branches of which nothing is known", unknown],
    ["loops", loops],
    ["maps", maps],
  ])("every walk over %s ends", async (_, nesting) => {
    const read = async (): Promise<Model> => open(await encodeToBytes(nested(nesting, deep)));
    const model = await read();
    const inference = infer(model);
    cost(model, inference);
    expect(verify(model)).toEqual([]);
    expect(allLayers(model, inference).length).toBeGreaterThan(1);
    expect(printModel(model.clone())).toBe(printModel(model));
    const before = structureHash(model);
    const restore = snapshot(model);
    await simplify(model);
    restore();
    expect(structureHash(model)).toBe(before);
    await inspect(model);
    await plotPage(model, inference, { name: "deep.onnx" });
    await prune(await read(), { amount: 0.5 });
    await prune(await read(), { amount: 0.5, structured: true });
    for (const scheme of ["weights", "dynamic", "float16"] as const) await quantize(await read(), { scheme });
    await quantize(await read(), { scheme: "float16", arithmetic: "float16" });
    await factorize(await read(), { rank: 1 });
    const trained = new Set(["first", "second"]);
    const differentiable = await read();
    try {
      differentiate(differentiable, { loss: "y", wrt: ({ name }) => trained.has(name) });
    } catch (error) {
      expect(error).toBeInstanceOf(PithError);
    }
  });
});

describe("functions that call each other", () => {
  const call = (count: number, functions = doubling(count)): Promise<Model> =>
    withFunctions("graph (x: float32[n, 4]) -> (y) {\n  y = local.f0 (x)\n}", functions);

  test("are looked into once for calls that agree", async () => {
    const model = await call(40);
    const inference = infer(model);
    expect(dimsText(model.graph.outputs[0]?.type?.dims)).toBe("[n, 4]");
    expect(inference.misses).toEqual([]);
    expect((await inspect(model)).operators).toEqual({ "local.f0": 1 });
  });

  test("are not expanded to more nodes than can be held, and say how many that is", async () => {
    const model = await call(40);
    const before = structureHash(model);
    const expected = "expand to 1.1e12 nodes, at most 250,000 are possible";
    const { changes, misses } = await inlineFunctions(model);
    expect(changes).toEqual([]);
    expect(misses).toEqual([new Miss(`its functions ${expected}`, "the functions of the model")]);
    expect(structureHash(model)).toBe(before);
    await expect(createEngine().load(model)).rejects.toMatchObject({
      code: "E_UNSUPPORTED",
      message: expect.stringContaining(expected),
    });
    const [node] = model.graph.nodes();
    const bound = node === undefined ? undefined : infer(model).at(node);
    expect(bound).toMatchObject({ reason: expect.stringContaining("the function expands to 1.1e12 nodes") });
  });

  test("are expanded where that is possible", async () => {
    const model = await call(8);
    await inlineFunctions(model);
    expect(model.graph.nodeCount).toBe(256);
    expect(verify(model)).toEqual([]);
  });

  test("whose sizes only the data decide are looked into for each call, up to a limit", async () => {
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

  test("in a circle are refused", async () => {
    const circle = await call(1, [
      definition("f0", ["v"], ["w"], [{ op: "f0", domain: "local", inputs: ["v"], outputs: ["w"] }]),
    ]);
    expect((await inlineFunctions(circle)).misses[0]?.reason).toContain("expand without end: a function calls itself");
    await expect(createEngine().load(circle)).rejects.toMatchObject({ code: "E_UNSUPPORTED" });
  });
});

describe("many nodes in a row", () => {
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
    expect(blocks(model, inference).blocks.map(({ nodes }) => nodes.length)).toEqual([1]);
    const [last] = model.graph.nodesBackwards();
    expect(last?.inputs[0] === undefined ? undefined : whyNotStored(last.inputs[0])?.reason).toContain("at run time");
  });

  test("each of which reads the one before twice are looked at once", () => {
    const model = row(deep, (n) => `h${n} = Add(h${n - 1}, h${n - 1})`, `y = my.Odd(h${deep})`);
    expect(cost(model, infer(model)).macs).toBe(deep * 0);
  });

  test("of two thousand residual blocks are found to repeat", () => {
    const block = (n: number): string => `a${n} = LayerNormalization(h${n - 1}, ones)
  b${n} = MatMul(a${n}, w)
  c${n} = Relu(b${n})
  d${n} = Mul(c${n}, c${n})
  e${n} = Tanh(d${n})
  f${n} = Sigmoid(e${n})
  g${n} = MatMul(f${n}, w)
  h${n} = Add(g${n}, h${n - 1})`;
    const model = row(2000, block, "y = Relu(h2000)");
    expect(blocks(model, infer(model)).repeats.map(({ length }) => length)).toEqual([2000]);
  });
});
