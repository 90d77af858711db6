import { describe, expect, it } from "vitest";
import { parseModel } from "../../core/graph/text.ts";
import { toNumbers } from "../../core/tensor/convert.ts";
import { random } from "../../core/tensor/random.ts";
import type { Dense } from "../../core/tensor/types.ts";
import { randomInputs } from "./random-inputs.ts";
import { guesses, lengthsOf } from "./size-guesses.ts";

const model = (text: string, opsets = "opset 21") => parseModel(`${opsets}\ngraph ${text}`);
const drawInputs = (
  text: string,
  length = 16,
  { opsets, known, seed = 1 }: { opsets?: string; known?: ReadonlyMap<string, number>; seed?: number } = {},
): Readonly<Record<string, Dense>> => {
  const parsed = model(text, opsets);
  const inputs = randomInputs(parsed);
  const [guess] = guesses(parsed, inputs, { known, lengths: lengthsOf([length]), batchSizes: [8] });
  return inputs.draw(guess?.shapes ?? new Map(), random(seed, "test"));
};
const spread = (dense: Dense | undefined) => {
  const numbers = dense === undefined ? [] : toNumbers(dense);
  const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  const deviation = Math.sqrt(numbers.reduce((sum, number) => sum + (number - mean) ** 2, 0) / numbers.length);
  return { least: Math.min(...numbers), greatest: Math.max(...numbers), mean, deviation };
};

describe("integers", () => {
  it("index inside the shortest table", () => {
    const { ids, types, both } =
      drawInputs(`(ids: int64[batch, s], types: int64[batch, s], both: int32[batch]) -> (y: float32[...]) {
  words: float32[100, 4] = random(seed 1)
  one: float32[1, 4] = random(seed 2)
  ten: float32[10, 4] = random(seed 3)
  five: float32[5, 4] = random(seed 4)
  a = Gather(words, ids)
  b = Gather(one, types)
  c = Gather(ten, both)
  d = Gather(five, both)
  e = Add(a, b)
  f = Add(c, d)
  y = Add(e, f)
}`);
    expect(spread(ids)).toMatchObject({ least: expect.any(Number), greatest: expect.any(Number) });
    expect(spread(ids).greatest).toBeLessThan(100);
    expect(spread(ids).deviation).toBeGreaterThan(20);
    expect(spread(types)).toMatchObject({ least: 0, greatest: 0 });
    expect(spread(both).greatest).toBeLessThan(5);
    expect(spread(both).deviation).toBeGreaterThan(0.5);
  });

  it("stay inside the image that boxes are cropped from", () => {
    const { boxes, images } = drawInputs(`(x: float32[2, 3, 20, 30], boxes: float32[9, 4], images: int64[9]) -> (y) {
  y = RoiAlign(x, boxes, images) {output_height=2, output_width=2, spatial_scale=0.5}
}`);
    expect(spread(boxes).least).toBeGreaterThanOrEqual(0);
    expect(spread(boxes).greatest).toBeLessThanOrEqual(40);
    expect(spread(boxes).deviation).toBeGreaterThan(4);
    expect([spread(images).least, spread(images).greatest]).toEqual([0, 1]);
  });

  it.each([
    ["a Cast", "  i = Cast(x) {to=7}\n", [0, 6]],
    ["a Reshape and a Transpose", "  s: int64[2] = [-1, 2]\n  r = Reshape(x, s)\n  i = Transpose(r)\n", [0, 6]],
    ["an offset", "  three: int32[] = 3\n  i = Sub(x, three)\n", [3, 9]],
    ["a factor", "  two: int32[] = 2\n  i = Mul(x, two)\n", [0, 3]],
    ["a Where", "  c: bool[] = true\n  z: int32[] = 0\n  i = Where(c, x, z)\n", [0, 6]],
    [
      "an Expand and a Slice",
      "  s: int64[3] = [3, 8, 4]\n  e = Expand(x, s)\n  f: int64[1] = [0]\n  t: int64[1] = [1]\n  i = Slice(e, f, t)\n",
      [0, 6],
    ],
    ["a Concat", "  z: int32[1, 4] = [0, 1, 2, 3]\n  i = Concat(x, z) {axis=0}\n", [0, 6]],
  ])("are found through %s", (_, between, [low, high]) => {
    const { x } = drawInputs(
      `(x: int32[batch, 4]) -> (y: float32[...]) {\n${between}  t7: float32[7, 2] = random(seed 1)\n  y = Gather(t7, i)\n}`,
    );
    const range = spread(x);
    expect(range).toMatchObject({ least: low, greatest: high });
  });

  it.each([
    ["OneHot", "  d: int64[] = 6\n  v: float32[2] = [0, 1]\n  y = OneHot(x, d, v)\n", [0, 5]],
    ["GatherElements", "  t: float32[9, 4] = random(seed 1)\n  y = GatherElements(t, x)\n", [0, 8]],
    ["GatherND", "  t: float32[3, 4, 5, 6] = random(seed 1)\n  y = GatherND(t, x)\n", [0, 2]],
    [
      "ScatterElements",
      "  t: float32[9, 4] = random(seed 1)\n  u: float32[8, 4] = random(seed 2)\n  y = ScatterElements(t, x, u)\n",
      [0, 8],
    ],
  ])("stay in the range that %s accepts", (_, body, [low, high]) => {
    const { x } = drawInputs(`(x: int64[8, 4]) -> (y: float32[...]) {\n${body}}`);
    expect(spread(x)).toMatchObject({ least: low, greatest: high });
  });

  it("follow a named axis, and are 0 without other information", () => {
    const { at, other } = drawInputs(
      `(x: float32[s, 4], at: int64[batch], other: int64[batch]) -> (y: float32[...], z: int64[...]) {
  y = Gather(x, at)
  z = Abs(other)
}`,
      5,
    );
    expect(spread(at)).toMatchObject({ least: 0, greatest: 4 });
    expect(spread(other)).toMatchObject({ least: 0, greatest: 0 });
  });

  it("are mostly set flags if the graph converts them to floats", () => {
    const { mask } = drawInputs(`(mask: int64[batch, s]) -> (y: float32[...]) {
  one: float32[] = 1
  low: float32[] = -10000
  f = Cast(mask) {to=1}
  o = Sub(one, f)
  y = Mul(o, low)
}`);
    expect(spread(mask)).toMatchObject({ least: 0, greatest: 1 });
    expect(spread(mask).mean).toBeGreaterThan(0.6);
  });

  it.each([
    ["become truth values", "k = Cast(mask) {to=9}"],
    ["are compared with 0", "zero: int64[] = 0\n  k = Greater(mask, zero)"],
    ["are compared with 1", "one: int64[] = 1\n  k = Equal(one, mask)"],
  ])("are mostly set flags if they %s", (_, keeps) => {
    const { mask } = drawInputs(`(mask: int64[batch, s]) -> (y: float32[...]) {
  ${keeps}
  all: float32[] = 0
  none: float32[] = -10000
  y = Where(k, all, none)
}`);
    expect(spread(mask)).toMatchObject({ least: 0, greatest: 1 });
    expect(spread(mask).mean).toBeGreaterThan(0.6);
  });

  it("equal the number that they are compared with", () => {
    const { rate } = drawInputs(`(rate: int64[], x: float32[4]) -> (y: float32[4]) {
  wide: int64[] = 16000
  isWide = Equal(rate, wide)
  none: float32[4] = [0, 0, 0, 0]
  y = Where(isWide, x, none)
}`);
    expect(spread(rate)).toMatchObject({ least: 16000, greatest: 16000 });
  });

  it("equal the lengths that a cache requires", () => {
    const { seqlens, total } = drawInputs(
      `(q: float32[batch, s, 16], k: float32[batch, s, 16], v: float32[batch, s, 16], past_k: float32[batch, 2, past, 8], past_v: float32[batch, 2, past, 8], seqlens: int32[batch], total: int32[]) -> (y: float32[...]) {
  y = com.microsoft.GroupQueryAttention(q, k, v, past_k, past_v, seqlens, total) {num_heads=2, kv_num_heads=2}
}`,
      4,
      { opsets: "opset 21, com.microsoft 1" },
    );
    expect(spread(seqlens)).toMatchObject({ least: 5, greatest: 5 });
    expect(spread(total)).toMatchObject({ least: 6, greatest: 6 });
  });
});

describe("floats", () => {
  const layer = "  w: float32[8, 4] = random(seed 1)\n  y = MatMul(n, w)\n}";
  it.each([
    ["as it is", "  n = Identity(x)\n", 0, 1],
    ["times a small number", "  c: float32[] = 0.0001\n  n = Mul(x, c)\n", 0, 1e4],
    [
      "less a mean, over a deviation",
      "  m: float32[] = 50\n  d: float32[] = 5\n  a = Sub(x, m)\n  n = Div(a, d)\n",
      50,
      5,
    ],
  ])("have the range that the first layer expects: x %s", (_, between, mean, deviation) => {
    const { x } = drawInputs(`(x: float32[batch, 8]) -> (y: float32[...]) {\n${between}${layer}`);
    const range = spread(x);
    expect(Math.abs(range.mean - mean) / deviation).toBeLessThan(0.5);
    expect(range.deviation / deviation).toBeCloseTo(1, 0);
  });

  it("have the range that a large bias implies", () => {
    const text = (size: number): string =>
      `(x: float32[batch, 4]) -> (y: float32[...]) {\n  w: float32[4, 1] = [[${size}], [0], [0], [0]]\n  b: float32[1] = [5]\n  y = Gemm(x, w, b)\n}`;
    expect(spread(drawInputs(text(0.1)).x).deviation).toBeGreaterThan(20);
    expect(spread(drawInputs(text(1)).x).deviation).toBeLessThan(2);
  });

  it("have the statistics of a normalization", () => {
    const { x } = drawInputs(`(x: float32[batch, 2, 50]) -> (y: float32[...]) {
  s: float32[2] = [1, 1]
  b: float32[2] = [0, 0]
  m: float32[2] = [100, 100]
  v: float32[2] = [400, 400]
  y = BatchNormalization(x, s, b, m, v)
}`);
    expect(spread(x).mean).toBeCloseTo(100, -1);
    expect(spread(x).deviation).toBeCloseTo(20, -1);
  });

  it("stay between the bounds of a clip", () => {
    const { x } = drawInputs(`(x: float32[batch, 50]) -> (y: float32[...]) {
  a: float32[] = 10
  b: float32[] = 20
  y = Clip(x, a, b)
}`);
    expect(spread(x).mean).toBeCloseTo(15, 0);
  });
});

describe("images", () => {
  /** Returns the variance of means over 4 × 4 blocks, relative to the variance of pixels. It is 1/16 for white noise. */
  const smoothness = (dense: Dense | undefined, side: number): number => {
    const numbers = dense === undefined ? [] : toNumbers(dense).slice(0, side * side);
    const means = Array.from({ length: (side / 4) ** 2 }, (_, block) => {
      const [top, column] = [4 * Math.floor(block / (side / 4)), 4 * (block % (side / 4))];
      const blockValues = Array.from(
        { length: 16 },
        (_, index) => numbers[(top + (index >> 2)) * side + column + (index & 3)] ?? 0,
      );
      return blockValues.reduce((sum, number) => sum + number, 0) / 16;
    });
    const variance = (values: readonly number[]): number => {
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    };
    return variance(means) / variance(numbers);
  };
  const conv = "  w: float32[4, 1, 3, 3] = random(seed 1)\n  y = Conv(n, w)\n}";

  it("are smooth, alternately from 0 to 1 and normalized", () => {
    const { x } = drawInputs(`(x: float32[batch, 1, 32, 32]) -> (y: float32[...]) {\n  n = Identity(x)\n${conv}`);
    expect(smoothness(x, 32)).toBeGreaterThan(0.5);
    expect(spread(x).least).toBeLessThan(-1);
    const first = x === undefined ? [] : toNumbers(x).slice(0, 1024);
    expect(Math.min(...first)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...first)).toBeLessThanOrEqual(1);
  });

  it.each([
    ["divided by 255", "float32", "  c: float32[] = 255\n  n = Div(x, c)\n"],
    ["less 127.5, over 127.5", "float32", "  c: float32[] = 127.5\n  a = Sub(x, c)\n  n = Div(a, c)\n"],
    ["bytes", "uint8", "  a = Cast(x) {to=1}\n  c: float32[] = 255\n  n = Div(a, c)\n"],
  ])("are 0 … 255 if they are %s", (_, type, between) => {
    const { x } = drawInputs(`(x: ${type}[batch, 1, 32, 32]) -> (y: float32[...]) {\n${between}${conv}`);
    expect(smoothness(x, 32)).toBeGreaterThan(0.5);
    expect(spread(x).least).toBeGreaterThanOrEqual(0);
    expect(spread(x).greatest).toBeLessThanOrEqual(255);
    expect(spread(x).deviation).toBeGreaterThan(30);
  });

  it.each([
    ["a bias", "  b: float32[2] = [0.6, -0.6]\n  y = Conv(x, w, b)\n}"],
    [
      "a normalization",
      `  c = Conv(x, w)
  s: float32[2] = [1, 1]
  m: float32[2] = [0, 0]
  v: float32[2] = [0.4, 0.3]
  y = BatchNormalization(c, s, m, m, v)
}`,
    ],
  ])("are 0 … 255 if %s after the first layer requires it", (_, rest) => {
    const weights = (size: number): string => `[${new Array(2).fill(`[[[0, ${size}], [${size}, 0]]]`).join(", ")}]`;
    const image = (size: number): string =>
      `(x: float32[batch, 1, 32, 32]) -> (y: float32[...]) {\n  w: float32[2, 1, 2, 2] = ${weights(size)}\n${rest}`;
    expect(spread(drawInputs(image(0.01)).x).deviation).toBeGreaterThan(30);
    expect(spread(drawInputs(image(0.5)).x).deviation).toBeLessThan(2);
  });

  it("can have channels last and a third side", () => {
    const { x } = drawInputs("(x: float32[batch, 16, 16, 3]) -> (y: float32[...]) {\n  y = Relu(x)\n}");
    const { v } = drawInputs("(v: float32[batch, 1, 16, 16, 16]) -> (y: float32[...]) {\n  y = Relu(v)\n}");
    for (const [dense, step] of [
      [x, 3],
      [v, 1],
    ] as const) {
      const numbers = dense === undefined ? [] : toNumbers(dense).slice(0, 768);
      const { deviation } = spread(dense);
      const steps = numbers.slice(step).map((number, index) => ((number - (numbers[index] ?? 0)) / deviation) ** 2);
      // The mean square of steps would be 2 for white noise.
      expect(steps.reduce((sum, square) => sum + square, 0) / steps.length).toBeLessThan(0.8);
    }
  });
});

describe("named sizes", () => {
  it("have the sizes that the input and the layer determine for states", () => {
    const text = `(x: float32[steps, batch, 8], h0: float32[dirs, hb, hidden], c0: float32[1, cb, ch]) -> (y: float32[...]) {
  w: float32[1, 64, 8] = random(seed 1)
  r: float32[1, 64, 16] = random(seed 2)
  b: float32[1, 128] = random(seed 3)
  y = LSTM(x, w, r, b, _, h0, c0) {hidden_size=16}
}`;
    const { h0, c0 } = drawInputs(text, 576);
    expect(h0?.dims).toEqual([1, 8, 16]);
    expect(c0?.dims).toEqual([1, 8, 16]);
    expect(drawInputs(text, 576, { known: new Map([["batch", 3]]) }).h0?.dims).toEqual([1, 3, 16]);
  });

  it.each([
    [
      "Concat",
      "(a: float32[n, 3], b: float32[m, 5]) -> (y: float32[...]) {\n  y = Concat(a, b) {axis=1}\n}",
      [
        [8, 3],
        [8, 5],
      ],
    ],
    [
      "MatMul of a stored weight",
      "(a: float32[n, k], b: float32[j]) -> (y: float32[...]) {\n  w: float32[6, 2] = random(seed 1)\n  m = MatMul(a, w)\n  y = Add(m, b)\n}",
      [[8, 6], [2]],
    ],
    [
      "a total of what is past and what is new",
      "(a: float32[n, past], b: float32[n, s], c: float32[n, all]) -> (y: float32[...]) {\n  t = Concat(a, b) {axis=1}\n  y = Mul(t, c)\n}",
      [
        [8, 2],
        [8, 4],
        [8, 6],
      ],
    ],
  ])("have the values that %s requires", (_, text, dims) => {
    expect(Object.values(drawInputs(text, 4)).map((dense) => dense.dims)).toEqual(dims);
  });
});

it("draws inputs by the seed", () => {
  const imageModel = "(x: float32[n, 3, 8, 8]) -> (y: float32[...]) {\n  y = Relu(x)\n}";
  expect(drawInputs(imageModel)).toEqual(drawInputs(imageModel));
  expect(drawInputs(imageModel, 16, { seed: 2 })).not.toEqual(drawInputs(imageModel));
});

it.each([
  ["texts", "x: string[n]"],
  ["unknown ranks", "x: float32[...]"],
])("reports that %s cannot be drawn", (_, input) => {
  expect(randomInputs(model(`(${input}) -> (y) {\n  y = Identity(x)\n}`)).undrawable).toBe("x");
});
