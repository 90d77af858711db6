import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { shared } from "../../../test/shared.ts";
import type { Value } from "../graph/graph.ts";
import { parseModel } from "../graph/text.ts";
import { encodeToBytes } from "../onnx/encode.ts";
import { open } from "../onnx/index.ts";
import { buffersAmong } from "./buffers.ts";
import { infer } from "./infer.ts";
import { layers } from "./layers.ts";
import { learnedTensors } from "./learned-tensors.ts";
import { parametersOf } from "./parameters.ts";
import { unsupportedWeights } from "./unsupported-weights.ts";

function found(text: string): readonly string[] {
  const model = parseModel(text);
  return names(parametersOf(model, infer(model)));
}

const names = (values: Iterable<Value>): readonly string[] => [...values].map(({ name }) => name).sort();

describe("parametersOf", () => {
  it("finds channel scales, but not matrix masks, scalars or scales of an input", () => {
    expect(
      found(`opset 21
graph (x: float32[N, T, 4], s: float32[1]) -> (y, z) {
  w: float32[4, 4] = random(seed 1)
  norm: float32[4] = random(seed 2)
  mask: float32[4, 4] = random(seed 3)
  half: float32[1] = 0.5
  codes: float32[4] = random(seed 4)
  h = MatMul (x, w)
  n = Mul (norm, h)
  m = Mul (n, mask)
  y = Mul (m, half)
  z = Mul (s, codes)
}`),
    ).toEqual(["norm", "w"]);
  });

  it("skips input scaling before the first layer, but finds a normalization there", () => {
    const model = (first: string): string => `opset 21
graph (x: float32[N, 3, 4, 4]) -> (y) {
  a: float32[3, 1, 1] = random(seed 1)
  b: float32[3] = random(seed 2)
  c: float32[3] = random(seed 3)
  w: float32[4, 3, 1, 1] = random(seed 4)
  ${first}
  y = Conv (h, w)
}`;
    expect(found(model("g = Mul (x, a)\n h = Add (g, a)"))).toEqual(["w"]);
    expect(found(model("h = BatchNormalization (x, b, c, b, c)"))).toEqual(["b", "c", "w"]);
  });

  it("skips an exporter's ones and zeros if a learned scale and shift follow", () => {
    const model = (scale: string, after: string): string => `opset 18
graph (x: float32[N, 3, 8, 8]) -> (y) {
  w: float32[4, 3, 3, 3] = random(seed 1)
  one: float32[2] = ${scale}
  zero: float32[2] = zeros
  weight: float32[4, 1, 1] = ones
  bias: float32[4, 1, 1] = zeros
  groups: int64[3] = [0, 2, -1]
  h = Conv (x, w) {pads=[1, 1, 1, 1]}
  shape = Shape (h)
  g = Reshape (h, groups)
  n = InstanceNormalization (g, one, zero)
  r = Reshape (n, shape)
  ${after}
}`;
    const affine = "m = Mul (r, weight)\n y = Add (m, bias)";
    expect(found(model("ones", affine))).toEqual(["bias", "w", "weight"]);
    // A learned scale is a parameter, and so is the only scale of a normalization.
    expect(found(model("[1, 2]", affine))).toEqual(["bias", "one", "w", "weight", "zero"]);
    expect(found(model("ones", "y = Relu (r)"))).toEqual(["one", "w", "zero"]);
    // An activation separates the scales, so both are parameters.
    expect(found(model("ones", "a = Sigmoid (r)\n y = Mul (a, weight)"))).toEqual(["one", "w", "weight", "zero"]);
  });

  it("skips averaging weights of ones, unless they are zeros, mixed or have the role", () => {
    const model = (ones: string): string => `opset 18
graph (x: float32[N, 4]) -> (y) {
  w: float32[4, 4] = random(seed 1)
  ones: float32[4, 1] ${ones}
  h = MatMul (x, w)
  q = Mul (h, h)
  y = MatMul (q, ones)
}`;
    expect(found(model("= ones"))).toEqual(["w"]);
    for (const learned of ["= zeros", "parameter = ones", "= [[1], [1], [1], [0.5]]"])
      expect(found(model(learned))).toEqual(["ones", "w"]);
    const blur = (weight: string, groups: number): string => `opset 18
graph (x: float32[N, 2, 8, 8]) -> (y) {
  w: ${weight} = ones
  y = Conv (x, w) {group=${groups}}
}`;
    expect(found(blur("float32[2, 1, 3, 3]", 2))).toEqual([]);
    expect(found(blur("float32[2, 2, 3, 3]", 1))).toEqual(["w"]);
    expect(found(blur("float32[2, 1, 1, 1]", 2))).toEqual(["w"]);
  });

  it("skips position frequencies, stored or expanded to the batch", () => {
    const model = (repeat: string): string => `opset 21
graph (x: float32[N, T, 4], positions: int64[N, T]) -> (y) {
  w: float32[4, 4] = random(seed 1)
  frequencies: float32[1, 4, 1] = random(seed 2)
  one: int64[1] = [1]
  h = MatMul (x, w)
  p = Cast (positions) {to=1}
  q = Unsqueeze (p, one)
  ${repeat}
  a = Transpose (angles) {perm=[0, 2, 1]}
  c = Cos (a)
  y = Mul (h, c)
}`;
    const start = "from: int64[1] = [0]\n to: int64[1] = [1]";
    expect(found(model("angles = MatMul (frequencies, q)"))).toEqual(["w"]);
    expect(
      found(
        model(
          `${start}\n shape = Shape (x) {start=0, end=1}\n dims = Concat (shape, to, to) {axis=0}\n f = Expand (frequencies, dims)\n angles = MatMul (f, q)`,
        ),
      ),
    ).toEqual(["w"]);
  });

  it("finds layers of int64 and uint8 inputs", () => {
    const layer = (type: string, dims: string): string => `opset 21
graph (x: ${type}[N, 4]) -> (y) {
  w: float32${dims} = random(seed 1)
  f = Cast (x) {to=1}
  y = MatMul (f, w)
}`;
    expect(found(layer("int64", "[4, 1]"))).toEqual(["w"]);
    expect(found(layer("uint8", "[4, 2]"))).toEqual(["w"]);
  });

  it("finds a split matrix, a class token and sliced positions", () => {
    expect(
      found(`opset 21
graph (x: float32[N, T, 4]) -> (y) {
  qkv: float32[12, 4] = random(seed 1)
  token: float32[1, 1, 4] = random(seed 2)
  positions: float32[64, 4] = random(seed 3)
  three: int64[3] = [4, 4, 4]
  zero: int64[1] = [0]
  one: int64[1] = [1]
  four: int64[1] = [4]
  q, k, v = Split (qkv, three) {axis=0}
  qt = Transpose (q) {perm=[1, 0]}
  h = MatMul (x, qt)
  n = Shape (x) {start=0, end=1}
  dims = Concat (n, one, four) {axis=0}
  tokens = Expand (token, dims)
  i = Concat (tokens, h) {axis=1}
  t = Shape (i) {start=1, end=2}
  own = Slice (positions, zero, t, zero)
  y = Add (i, own)
}`),
    ).toEqual(["positions", "qkv", "token"]);
  });

  it("finds channel bounds after a layer, but not image sizes or input bounds", () => {
    const bounded = (low: string, high: string, data = "h"): readonly string[] =>
      found(`opset 21
graph (x: float32[N, 4]) -> (y, h) {
  w: float32[4, 4] = random(seed 1)
  low: float32[4] = ${low}
  high: float32[4] = ${high}
  h = MatMul (x, w)
  m = Max (${data}, low)
  y = Min (high, m)
}`);
    expect(bounded("[-0.1, 0, 0.25, -1]", "[1.5, 1.25, 2, 0.5]")).toEqual(["high", "low", "w"]);
    expect(bounded("zeros", "[640, 480, 640, 480]")).toEqual(["w"]);
    expect(bounded("[-inf, 0, -inf, 0]", "[1.5, 1.25, 2, 0.5]")).toEqual(["high", "w"]);
    expect(bounded("[-0.1, 0, 0.25, -1]", "[1.5, 1.25, 2, 0.5]", "x")).toEqual(["w"]);
  });

  it("finds tables that any gather operator reads", () => {
    const text = `opset 21
graph (x: float32[N, 8], i: int64[N, 1]) -> (a, b, c) {
  w1: float32[4, 8] = random(seed 1)
  w2: float32[4, 8] = random(seed 2)
  w3: float32[4, 8] = random(seed 3)
  a = Gather (w1, i)
  b = GatherND (w2, i)
  c = GatherElements (w3, i)
}`;
    expect(found(text)).toEqual(["w1", "w2", "w3"]);
    const model = parseModel(text);
    const inference = infer(model);
    const all = layers(model, inference);
    expect(all.map(({ name, role: { kind }, inputs, outputs }) => [name, kind, inputs, outputs])).toEqual([
      ["a", "lookup", 4, 8],
    ]);
    expect(unsupportedWeights(model, inference, all).map(({ at }) => at)).toEqual([
      'GatherND "b"',
      'GatherElements "c"',
    ]);
  });

  it("follows the roles buffer and parameter", () => {
    const model = parseModel(`opset 21
graph (x: float32[N, 4]) -> (y) {
  w: float32[4, 4] = random(seed 1)
  s: float32[] = 2
  h = MatMul (x, w)
  y = Mul (h, s)
}`);
    const [w, s] = ["w", "s"].map((name) => model.graph.value(name));
    if (w === undefined || s === undefined) throw new Error("values are missing");
    w.role = { kind: "buffer" };
    s.role = { kind: "parameter" };
    expect(names(parametersOf(model, infer(model)))).toEqual(["s"]);
  });
});

describe("buffersAmong", () => {
  const waves = (interleaved: boolean): number[][] =>
    Array.from({ length: 6 }, (_, t) =>
      Array.from({ length: 8 }, (_, column) => {
        const [i, cosine] = interleaved ? [column >> 1, column % 2 === 1] : [column % 4, column >= 4];
        return (cosine ? Math.cos : Math.sin)(t / 100 ** (i / 4));
      }),
    );
  const tables: Readonly<Record<string, readonly (readonly number[])[]>> = {
    halves: waves(false),
    turns: waves(true),
    cosines: waves(false).map((row) => row.slice(4)),
    sines: waves(false).map((row) => row.slice(0, 4)),
    causal: [
      [0, -1e9, -1e9],
      [0, 0, -1e9],
      [0, 0, 0],
    ],
    zeros: [
      [0, 0],
      [0, 0],
    ],
    ones: [
      [1, 1],
      [1, 1],
    ],
    identity: [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ],
    kept: [
      [1, 0],
      [0, 1],
    ],
    turned: [
      [0, -1],
      [1, 0],
    ],
    large: [
      [-20000, 3],
      [0, 1],
    ],
  };
  const stored = (...chosen: readonly string[]): readonly Value[] => {
    const lines = chosen.map((name) => {
      const rows = tables[name] ?? [];
      return `  ${name}: float32[${rows.length}, ${rows[0]?.length}] = [${rows.map((row) => `[${row.join(", ")}]`).join(", ")}]`;
    });
    const model = parseModel(`opset 21\ngraph (x: float32[N]) -> (x) {\n${lines.join("\n")}\n}`);
    return [...model.graph.values()].filter(({ tensor }) => tensor !== undefined);
  };

  it("finds masks and sinusoids, as halves, interleaved or in two tables", async () => {
    expect(names(await buffersAmong(stored("halves", "turns", "cosines", "sines", "causal")))).toEqual(
      ["halves", "turns", "cosines", "sines", "causal"].sort(),
    );
  });

  it("finds tables stored in a file by all of their values", async () => {
    const long = (row: (position: number) => readonly number[]): string =>
      JSON.stringify(Array.from({ length: 600 }, (_, position) => row(position)));
    const wave = (position: number): number[] => [0.1, 1, 2, 3].map((speed) => Math.sin(speed * position));
    const other = (position: number): number[] => [0.1, 1, 2, 3].map((speed) => Math.cos(speed * position));
    const model = parseModel(`opset 21
graph (x: float32[N]) -> (x) {
  both: float32[600, 8] = ${long((position) => [...wave(position), ...other(position)])}
  sines: float32[600, 4] = ${long(wave)}
  cosines: float32[600, 4] = ${long(other)}
  until: float32[600, 8] = ${long((position) => (position < 599 ? [...wave(position), ...other(position)] : [0, 0, 0, 0, 1, 1, 1, 0.5]))}
  zerosAtFirst: float32[600, 4] = ${long((position) => (position < 500 ? [0, 0, 0, 0] : [1, 2, 3, 4]))}
  shutsAtLast: float32[600, 4] = ${long((position) => (position < 599 ? [0, 0, 0, 0] : [0, 0, 0, -1e9]))}
}`);
    const read = await open(await encodeToBytes(model));
    const values = [...read.graph.values()].filter(({ tensor }) => tensor !== undefined);
    expect(values.every(({ tensor }) => tensor?.small === undefined)).toBe(true);
    expect(names(await buffersAmong(values))).toEqual(["both", "cosines", "shutsAtLast", "sines"]);
  });

  it("finds no single table of a pair, zeros, ones, permutations or mixed large values", async () => {
    expect(
      names(await buffersAmong(stored("cosines", "zeros", "ones", "identity", "kept", "turned", "large"))),
    ).toEqual([]);
  });
});

const folder = shared("data/zoo");
interface Entry {
  readonly trainable: readonly string[];
}
const index =
  folder === undefined ? {} : (JSON.parse(readFileSync(`${folder}/index.json`, "utf8")) as Record<string, Entry>);

describe.skipIf(folder === undefined)("learnedTensors finds exactly the tensors that PyTorch trained", () => {
  it.each(Object.entries(index))("%s", async (name, entry) => {
    const model = await open(`${folder}/${name}.onnx`);
    const expected = entry.trainable.toSorted();
    expect(names((await learnedTensors(model, infer(model))).keys())).toEqual(expected);
  });
});
