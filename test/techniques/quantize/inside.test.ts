/** Layers in subgraphs: branches with shared or separate weights, and bodies of loops. */
import { describe, expect, test } from "vitest";
import { infer } from "../../../src/core/analysis/infer.ts";
import { allLayers, layers } from "../../../src/core/analysis/layers.ts";
import { createEngine } from "../../../src/core/engine/index.ts";
import { allGraphs, storedBytes } from "../../../src/core/graph/graph.ts";
import type { Model } from "../../../src/core/graph/model.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { verify } from "../../../src/core/graph/verify.ts";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { open } from "../../../src/core/onnx/index.ts";
import { fromNumbers, toFloat64 } from "../../../src/core/tensor/convert.ts";
import type { Batch } from "../../../src/core/tensor/types.ts";
import { memory } from "../../../src/data/index.ts";
import { feedsFor } from "../../../src/runtime/run/runner.ts";
import { prune } from "../../../src/techniques/prune/index.ts";
import { type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";

async function run(model: Model, feeds: Batch): Promise<readonly Float64Array[]> {
  const session = await createEngine().load(await open(await encodeToBytes(model)));
  const outputs = await session.run(feedsFor(model, feeds));
  await session.release();
  return model.graph.outputs.map(({ name }) => toFloat64(outputs[name] ?? fromNumbers("float32", [0], [])));
}

/** Returns the minimum signal to noise of all outputs for all feeds, in decibels. */
async function leastSnr(before: Model, after: Model, all: readonly Batch[]): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (const feeds of all) {
    const [expected, actual] = [await run(before, feeds), await run(after, feeds)];
    for (const [index, numbers] of expected.entries()) {
      const other = actual[index] ?? new Float64Array();
      expect(other.length).toBe(numbers.length);
      const signal = numbers.reduce((sum, x) => sum + x * x, 0);
      const noise = numbers.reduce((sum, x, at) => sum + (x - (other[at] ?? 0)) ** 2, 0);
      least = Math.min(least, 10 * Math.log10(signal / noise));
    }
  }
  return least;
}

const bytesOf = ({ graph }: Model): number => storedBytes(graph);
const flag = (value: boolean) => fromNumbers("bool", [1], [value ? 1 : 0]);
const numbers = (...dims: number[]) =>
  fromNumbers(
    "float32",
    dims,
    Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, at) => Math.sin(at + 1)),
  );

const width = 32;
const vocabulary = 48;

/** Blocks of a merged decoder: one branch uses a cache, the other starts without one; both read weights of the main graph. */
function mergedDecoder(blocks: number): Model {
  const branch = (name: string, past: boolean): string => {
    const lines = [`${name}h0 = Gather (embed.weight, ids)`];
    for (let at = 0; at < blocks; at++) {
      const v = (stem: string, index = at): string => `${name}${stem}${index}`;
      lines.push(`${v("q")} = MatMul (${v("h")}, q${at}.weight)`, `${v("k")} = MatMul (${v("h")}, k${at}.weight)`);
      const keys = past ? v("all") : v("k");
      if (past) lines.push(`${keys} = Concat (past${at}, ${v("k")}) {axis=1}`);
      lines.push(
        `${v("present")} = Identity (${keys})`,
        `${v("t")} = Transpose (${keys}) {perm=[0, 2, 1]}`,
        `${v("r")} = MatMul (${v("q")}, ${v("t")})`,
        `${v("s")} = Softmax (${v("r")}) {axis=-1}`,
        `${v("c")} = MatMul (${v("s")}, ${keys})`,
        `${v("o")} = MatMul (${v("c")}, o${at}.weight)`,
        `${v("m")} = Add (${v("o")}, o${at}.bias)`,
        `${v("h", at + 1)} = Add (${v("h")}, ${v("m")})`,
      );
    }
    lines.push(`${name}turned = Transpose (embed.weight) {perm=[1, 0]}`);
    lines.push(`${name}logits = MatMul "lm_head" (${name}h${blocks}, ${name}turned)`);
    const outputs = [`${name}logits`, ...Array.from({ length: blocks }, (_, at) => `${name}present${at}`)];
    return `graph () -> (${outputs.join(", ")}) {\n${lines.map((line) => `    ${line}\n`).join("")}  }`;
  };
  const each = (write: (at: number) => string): string => Array.from({ length: blocks }, (_, at) => write(at)).join("");
  return parseModel(`opset 17
graph (ids: int64[b, s], ${each((at) => `past${at}: float32[b, p, ${width}], `)}use_cache_branch: bool[1]) -> (logits${each((at) => `, present${at}`)}) {
  embed.weight: float32[${vocabulary}, ${width}] = random(seed 1)
${each(
  (at) =>
    `${["q", "k", "o"]
      .map(
        (name, index) => `  ${name}${at}.weight: float32[${width}, ${width}] = random(seed ${10 * at + index + 2})\n`,
      )
      .join("")}  o${at}.bias: float32[${width}] = random(seed ${10 * at + 9})\n`,
)}  logits: float32[b, s, ${vocabulary}]${each((at) => `, present${at}: float32[b, t, ${width}]`)} = If "merged" (use_cache_branch) {then_branch=${branch("then.", true)}, else_branch=${branch("else.", false)}}
}`);
}

const decoderFeeds = (blocks: number): readonly Batch[] =>
  [true, false].map((past) => ({
    ids: fromNumbers("int64", [2, 3], [5, 17, 0, 47, 3, 3]),
    use_cache_branch: flag(past),
    ...Object.fromEntries(Array.from({ length: blocks }, (_, at) => [`past${at}`, numbers(2, past ? 4 : 0, width)])),
  }));

describe("a merged decoder, whose branches share all weights", () => {
  const names = ["embed", "q0", "k0", "o0", "q1", "k1", "o1"];

  test("has each layer in both branches, with one name", () => {
    const model = mergedDecoder(2);
    const inference = infer(model);
    expect(layers(model, inference)).toEqual([]);
    const layerLabels = new Set(
      allLayers(model, inference).map(({ name, node }) => `${name} of ${node.outputs[0]?.name.slice(0, 4)}`),
    );
    expect([...layerLabels]).toEqual(["then", "else"].flatMap((branch) => names.map((name) => `${name} of ${branch}`)));
  });

  const schemes: readonly (readonly [QuantizeOptions, number, number])[] = [
    [{ scheme: "weights" }, 30, 3.2],
    [{ scheme: "weights", weights: "uint8", perChannel: false }, 25, 3.6],
    [{ scheme: "weights", bits: 4 }, 15, 4.5],
    [{ scheme: "weights", bits: 4, rounder: "mse", zeroPoints: true }, 15, 4.5],
    [{ scheme: "weights", bits: 4, onnxOnly: true }, 15, 3.4],
    [{ scheme: "weights", weights: "palette", bits: 6 }, 15, 2],
    [{ scheme: "dynamic" }, 25, 3.2],
    [{ scheme: "float16" }, 60, 1.9],
    [{ dtype: "fp16" }, 45, 1.9],
    [{ dtype: "q4f16" }, 15, 5],
  ];
  test.each(schemes)("stores each weight once: %j", async (options, decibels, smaller) => {
    const original = mergedDecoder(2);
    const model = original.clone();
    const { misses } = await quantize(model, options);
    expect(misses.filter(({ at }) => at !== undefined && names.includes(at))).toEqual([]);
    expect(verify(model)).toEqual([]);
    const [main, ...inner] = [...allGraphs(model.graph)];
    expect(inner).toHaveLength(2);
    for (const graph of inner)
      for (const { tensor } of graph.values()) expect(tensor?.bytes ?? 0).toBeLessThanOrEqual(4 * width);
    expect(main?.value("q0.weight_quantized") === undefined).toBe(
      JSON.stringify(options).includes("16") && options.dtype !== "q4f16",
    );
    expect(bytesOf(original) / bytesOf(model)).toBeGreaterThan(smaller);
    expect(await leastSnr(original, model, decoderFeeds(2))).toBeGreaterThan(decibels);
  });

  test("quantizes only the selected layers", async () => {
    const original = mergedDecoder(1);
    const model = original.clone();
    const { changes } = await quantize(model, { scheme: "dynamic", layers: "q0" });
    expect(changes.map(({ at }) => at)).toEqual(["q0", "q0"]);
    expect(model.graph.value("k0.weight")?.tensor?.type).toBe("float32");
    await expect(quantize(original, { scheme: "weights", layers: "nothing" })).rejects.toThrow(
      'No layer is called "nothing"',
    );
  });
});

test.each([{ scheme: "weights", bits: 4 }, { scheme: "dynamic" }, { dtype: "fp16" }] satisfies QuantizeOptions[])(
  "keeps the names of branch outputs that equal those of the If: %j",
  async (options) => {
    const text = `opset 17
graph (x: float32[n, 32], flag: bool[1]) -> (logits: float32[n, 32]) {
  w: float32[32, 32] = random(seed 1)
  v: float32[32, 32] = random(seed 2)
  logits = If (flag) {then_branch=graph () -> (logits) {
    logits = MatMul "left" (x, w)
  }, else_branch=graph () -> (logits) {
    logits = MatMul "right" (x, v)
  }}
}`;
    const model = parseModel(text);
    const { changes } = await quantize(model, options);
    expect(changes.map(({ at }) => at)).toEqual(expect.arrayContaining(["left", "right"]));
    expect(verify(model)).toEqual([]);
    expect([...allGraphs(model.graph)].map(({ outputs }) => outputs[0]?.name)).toEqual(["logits", "logits", "logits"]);
    const feeds = [true, false].map((value) => ({ x: numbers(3, 32), flag: flag(value) }));
    expect(await leastSnr(parseModel(text), model, feeds)).toBeGreaterThan(15);
  },
);

const twins = (): Model =>
  parseModel(`opset 17
graph (x: float32[n, 16], flag: bool[1]) -> (y: float32[n, 16]) {
  y = If "choice" (flag) {then_branch=graph () -> (a) {
    w: float32[16, 16] = random(seed 1)
    a = MatMul "fc" (x, w)
  }, else_branch=graph () -> (b) {
    w: float32[16, 16] = random(seed 2)
    b = MatMul "fc" (x, w)
  }}
}`);

test("quantizes branches with different weights of the same name", async () => {
  for (const scheme of ["weights", "dynamic"] as const) {
    const original = twins();
    expect(allLayers(original, infer(original)).map(({ name }) => name)).toEqual(["fc", "fc_2"]);
    const model = original.clone();
    const { changes } = await quantize(model, { scheme });
    expect(changes.map(({ at }) => at)).toEqual(["fc", "fc_2"]);
    expect(verify(model)).toEqual([]);
    expect(bytesOf(model)).toBeLessThan(bytesOf(original) / 2);
    const feeds = [true, false].map((value) => ({ x: numbers(3, 16), flag: flag(value) }));
    expect(await leastSnr(original, model, feeds)).toBeGreaterThan(30);
  }
});

test("stores a weight that branches copy once, in the outer graph", async () => {
  const branch = (name: string, seed: number): string => `graph () -> (${name}) {
    w: float32[16, 16] = random(seed 1)
    own: float32[16, 16] = random(seed ${seed})
    bias: float32[16] = ones
    ${name}h = MatMul "fc" (x, w)
    ${name}g = MatMul (${name}h, own)
    ${name} = Add (${name}g, bias)
  }`;
  const original = parseModel(`opset 17
graph (x: float32[n, 16], flag: bool[1]) -> (y: float32[n, 16]) {
  y = If "choice" (flag) {then_branch=${branch("a", 2)}, else_branch=${branch("b", 3)}}
}`);
  for (const options of [
    { scheme: "weights" },
    { scheme: "dynamic" },
    { scheme: "weights", bits: 4, block: 16 },
  ] as const) {
    const model = original.clone();
    const { changes } = await quantize(model, options);
    expect(changes.map(({ at }) => at).filter((at) => at === "w" || at === "fc")).toHaveLength(2);
    expect(verify(model)).toEqual([]);
    const codes = [...allGraphs(model.graph)].map((graph) =>
      [...graph.values()].flatMap(({ name, tensor }) =>
        tensor?.type.includes("int8") && tensor.bytes > 64 ? [name] : [],
      ),
    );
    // Small tensors, and weights that only one branch contains, are stored in their branch.
    expect(codes).toEqual([["w_quantized"], ["own_quantized"], ["own_quantized_1"]]);
    const feeds = [true, false].map((value) => ({ x: numbers(3, 16), flag: flag(value) }));
    expect(await leastSnr(original, model, feeds)).toBeGreaterThan(15);
  }
});

test("stores a weight once that the main graph and a branch read", async () => {
  const original = parseModel(`opset 17
graph (x: float32[n, 16], flag: bool[1]) -> (z: float32[n, 16]) {
  fc.weight: float32[16, 16] = random(seed 1)
  y = If "choice" (flag) {then_branch=graph () -> (a) { a = MatMul (x, fc.weight) }, else_branch=graph () -> (b) { b = Relu (x) }}
  h = MatMul (x, fc.weight)
  z = Add (y, h)
}`);
  for (const options of [
    { scheme: "weights" },
    { scheme: "weights", bits: 4, block: 16 },
    { scheme: "dynamic" },
  ] as const) {
    const model = original.clone();
    const { changes, misses } = await quantize(model, options);
    expect([changes.map(({ at }) => at), misses]).toEqual([["fc", "fc"], []]);
    expect(verify(model)).toEqual([]);
    expect([...model.graph.values()].filter(({ name }) => name.startsWith("fc.weight_quantized"))).toHaveLength(1);
    const feeds = [true, false].map((value) => ({ x: numbers(3, 16), flag: flag(value) }));
    expect(await leastSnr(original, model, feeds)).toBeGreaterThan(15);
  }
});

test("quantizes layers in a loop body, with weights inside and outside of it", async () => {
  const original = parseModel(`opset 17
graph (x: float32[2, 16], turns: int64[]) -> (y: float32[2, 16]) {
  outer.weight: float32[16, 16] = random(seed 1)
  go: bool[] = [true]
  y = Loop "loop" (turns, go, x) {body=graph (i: int64[], c: bool[], s: float32[2, 16]) -> (d, r) {
    inner.weight: float32[16, 16] = random(seed 2)
    inner.bias: float32[16] = random(seed 3)
    table: float32[4, 16] = random(seed 4)
    row = Gather "embed" (table, i)
    h = Gemm (s, inner.weight, inner.bias)
    o = MatMul (h, outer.weight)
    p = Add (o, row)
    r = Tanh (p)
    d = Identity (c)
  }}
}`);
  for (const options of [
    { scheme: "weights" },
    { scheme: "dynamic" },
    { scheme: "weights", bits: 4, block: 16 },
  ] as const) {
    const model = original.clone();
    const { changes, misses } = await quantize(model, options);
    expect([changes.map(({ at }) => at).sort(), misses]).toEqual([["embed", "inner", "outer"], []]);
    expect(verify(model)).toEqual([]);
    // A single iteration, so that errors do not accumulate.
    const feeds = [{ x: numbers(2, 16), turns: fromNumbers("int64", [], [1]) }];
    expect(await leastSnr(original, model, feeds)).toBeGreaterThan(15);
    await run(model, { x: numbers(2, 16), turns: fromNumbers("int64", [], [3]) });
  }
});

test("static quantization and pruning change no subgraphs, and quantize gives the reason", async () => {
  const model = twins();
  const data = memory("one", { x: numbers(1, 16), flag: flag(true) });
  const statically = await quantize(model, { scheme: "static", data });
  const reason =
    'layers inside subgraphs are not changed: run `simplify set: "flag=…"` first, which inlines the branch that is taken, or use the scheme "dynamic" or "weights", which quantize them';
  expect(statically.changes).toEqual([]);
  expect(statically.misses).toMatchObject([{ at: 'If "choice"', reason }]);
  expect((await prune(model, { amount: 0.5 })).changes).toEqual([]);
});

test("stores gates that several branches reorder once, in 8 bits", async () => {
  const branch = (name: string): string => `graph () -> (${name}y) {
    ${name}start: int64[1] = [0]
    ${name}middle: int64[1] = [32]
    ${name}end: int64[1] = [64]
    ${name}first = Slice (w, ${name}start, ${name}middle)
    ${name}second = Slice (w, ${name}middle, ${name}end)
    ${name}joined = Concat (${name}second, ${name}first) {axis=0}
    ${name}axis: int64[1] = [0]
    ${name}W = Unsqueeze (${name}joined, ${name}axis)
    ${name}out, ${name}y, ${name}c = LSTM "${name}lstm" (x, ${name}W, r) {hidden_size=16}
  }`;
  const original = parseModel(`opset 17
graph (x: float32[s, 2, 8], flag: bool[1]) -> (y: float32[1, 2, 16]) {
  w: float32[64, 8] = random(seed 1)
  r: float32[1, 64, 16] = random(seed 2)
  y = If (flag) {then_branch=${branch("a.")}, else_branch=${branch("b.")}}
}`);
  const model = original.clone();
  const { changes, misses } = await quantize(model, { scheme: "dynamic" });
  expect([changes.map(({ what }) => what), misses]).toEqual([
    new Array(4).fill("weight as int8, a scale per output channel"),
    [],
  ]);
  expect(bytesOf(model)).toBeLessThan(bytesOf(original) / 2.5);
  const feeds = [true, false].map((value) => ({ x: numbers(5, 2, 8), flag: flag(value) }));
  expect(await leastSnr(original, model, feeds)).toBeGreaterThan(25);
});
