/** Activation ranges that differ by orders of magnitude from those of later results: static quantization stays near float. */
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { float32 } from "../../../src/core/tensor/dense.ts";
import type { Dense } from "../../../src/core/tensor/types.ts";
import { memory } from "../../../src/data/index.ts";
import { fakeQuantize, type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { numbersFor, operators, run } from "./networks.ts";

const scaled = (dims: readonly number[], factor: number, seed = 7): Dense<"float32"> => {
  const dense = numbersFor(dims, seed);
  return float32(
    dense.dims,
    Array.from(dense.data, (value) => value * factor),
  );
};

/** Returns the largest error relative to the largest output or `size`, without and with optimizations. */
async function errorOf(
  text: string,
  feeds: Readonly<Record<string, Dense>>,
  size?: number,
): Promise<readonly number[]> {
  const model = parseModel(text);
  const expected = await run(model, feeds);
  await quantize(model, { scheme: "static", data: memory("calibration", feeds) });
  expect(operators(model)).toContain("QuantizeLinear");
  const largest = size ?? expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const errors: number[] = [];
  for (const optimize of [false, true]) {
    const got = await run(model, feeds, { optimize });
    errors.push(
      got.reduce((most, value, index) => Math.max(most, Math.abs(value - (expected[index] ?? 0))), 0) / largest,
    );
  }
  return errors;
}

test.each([
  [
    "softmax",
    `opset 13
graph (x: float32[n, 8]) -> (y: float32[n, 10]) {
  w: float32[8, 10] = random(seed 1)
  h = Gemm "layer" (x, w)
  y = Softmax (h) {axis=-1}
}`,
    { x: scaled([64, 8], 0.01) },
  ],
  [
    "attention",
    `opset 13
graph (x: float32[n, 12, 8]) -> (y: float32[n, 12, 8]) {
  wq: float32[8, 8] = random(seed 1)
  wk: float32[8, 8] = random(seed 2)
  wv: float32[8, 8] = random(seed 3)
  wo: float32[8, 8] = random(seed 4)
  q = MatMul "q" (x, wq)
  k = MatMul "k" (x, wk)
  v = MatMul "v" (x, wv)
  kt = Transpose (k) {perm=[0, 2, 1]}
  s = MatMul (q, kt)
  p = Softmax (s) {axis=-1}
  a = MatMul (p, v)
  y = MatMul "o" (a, wo)
}`,
    { x: scaled([4, 12, 8], 0.1) },
  ],
  ...[1e-3, 1e-6, 1e-9, 1e-12].flatMap((small): [string, string, Record<string, Dense>][] => [
    [
      `sum with a term of ${small}`,
      `opset 13
graph (x: float32[n, 8], u: float32[n, 8]) -> (y: float32[n, 8]) {
  w: float32[8, 8] = random(seed 1)
  h = MatMul "layer" (x, w)
  y = Add (h, u)
}`,
      { x: scaled([4, 8], 1), u: scaled([4, 8], small, 3) },
    ],
    [
      `difference of equal values up to ${small}`,
      `opset 13
graph (x: float32[n, 8], u: float32[n, 8]) -> (y: float32[n, 8]) {
  w: float32[8, 8] = random(seed 1)
  h = MatMul "layer" (x, w)
  s: float32[] = ${small}
  t = Mul (h, s)
  y = Add (t, u)
}`,
      { x: scaled([4, 8], 1), u: scaled([4, 8], small, 3) },
    ],
    [
      `product with a factor of ${small}`,
      `opset 13
graph (x: float32[n, 8], u: float32[n, 8]) -> (y: float32[n, 8]) {
  w: float32[8, 8] = random(seed 1)
  h = MatMul "layer" (x, w)
  y = Mul (h, u)
}`,
      { x: scaled([4, 8], 1), u: scaled([4, 8], small, 3) },
    ],
    [
      `concatenation with values of ${small}`,
      `opset 13
graph (x: float32[n, 8], u: float32[n, 8]) -> (y: float32[n, 16]) {
  w: float32[8, 8] = random(seed 1)
  h = MatMul "layer" (x, w)
  y = Concat (h, u) {axis=-1}
}`,
      { x: scaled([4, 8], 1), u: scaled([4, 8], small, 3) },
    ],
  ]),
])("static quantization stays near float: %s", async (_, text, feeds) => {
  for (const error of await errorOf(text, feeds)) expect(error).toBeLessThan(0.06);
});

test("the mean of centered values is 0 up to the step of the averaged values", async () => {
  const text = `opset 13
graph (x: float32[n, 4, 6, 6]) -> (y: float32[n, 4, 1, 1]) {
  w: float32[4, 4, 1, 1] = random(seed 1)
  one: float32[4] = ones
  zero: float32[4] = zeros
  v: float32[4, 4, 1, 1] = random(seed 3)
  h = Conv "first" (x, w)
  c = InstanceNormalization (h, one, zero)
  d = Conv "second" (c, v)
  y = GlobalAveragePool (d)
}`;
  for (const error of await errorOf(text, { x: scaled([2, 4, 6, 6], 3) }, 1)) expect(error).toBeLessThan(0.01);
});

/** Returns the skipped layers of static quantization, and its largest error relative to `size` among outputs below `size`. */
async function leftInFloat(
  text: string,
  feeds: Readonly<Record<string, Dense>>,
  size = 100,
): Promise<{ readonly reasons: readonly string[]; readonly error: number; readonly integers: number }> {
  const model = parseModel(text);
  const expected = await run(model, feeds);
  const { misses } = await quantize(model, { scheme: "static", data: memory("calibration", feeds) });
  let error = 0;
  for (const optimize of [false, true]) {
    const got = await run(model, feeds, { optimize });
    for (const [index, value] of expected.entries()) {
      if (Math.abs(value) < size) error = Math.max(error, Math.abs((got[index] ?? Number.NaN) - value));
      else if (got[index] !== value) expect((got[index] ?? Number.NaN) / value).toBeCloseTo(1, 5);
    }
  }
  const integers = operators(model).filter((op) => op === "QuantizeLinear").length;
  return { reasons: misses.map(({ at, reason }) => `${at}: ${reason}`), error: error / size, integers };
}

const two = (end: string, outputs = "y: float32[n, 12]", inputs = "x: float32[n, 8]"): string => `opset 17
graph (${inputs}) -> (${outputs}) {
  w1: float32[8, 16] = random(seed 1)
  w2: float32[16, 12] = random(seed 2)
  h = MatMul "first" (x, w1)
  a = Relu (h)
${end}
}`;

/** Returns a vector of 12 random values, some of which are `filled`. */
const vector = (filled: number, count: number): string =>
  JSON.stringify(Array.from({ length: 12 }, (_, index) => (index < count ? "F" : index / 8 - 1)))
    .replaceAll('"F"', String(filled).replace("Infinity", "inf"))
    .replaceAll(",", ", ");

describe("the warning about activations that integers do not resolve", () => {
  const sums = `opset 17
graph (x: float32[n, 8], u: float32[n, 8]) -> (y: float32[n, 8]) {
  w: float32[8, 8] = random(seed 1)
  v: float32[8, 8] = random(seed 2)
  z: float32[8, 8] = random(seed 3)
  a = MatMul "first" (x, w)
  b = MatMul "second" (u, v)
  s = Add "sum" (a, b)
  y = MatMul "third" (s, z)
}`;
  const collectWarnings = async (options: QuantizeOptions, text = sums, outlier = 3e4): Promise<string[]> => {
    const [x, u] = [scaled([4096, 8], 1), scaled([4096, 8], 1, 2)];
    u.data[0] = outlier;
    const texts: string[] = [];
    const log = ({ id, text }: { readonly id: string; readonly text: string }) =>
      void (id === "unresolved" && texts.push(text));
    await quantize(
      parseModel(text),
      { scheme: "static", data: memory("x", { x, u }), samples: 4096, ...options },
      { log },
    );
    return texts;
  };

  test("is logged once, with their number, an example, the cost, and possible changes", async () => {
    const [line, ...extraLines] = await collectWarnings({ equalize: false });
    expect(extraLines).toEqual([]);
    expect(line).toMatch(
      /^\d activations? in float: their range is too wide .* \("\w+" from -\S+ to 30000.*\)\. This costs speed, not accuracy\./,
    );
    expect(line).toContain("omit `equalize: false`");
    expect(line).toContain('`ranges: "percentile"`');
    expect(await collectWarnings({})).toEqual([expect.not.stringContaining("equalize")]);
  });

  test("states no number of bits, because activations have 8 or 16", async () => {
    const [line] = await collectWarnings({ activations: "uint16" }, sums, 3e7);
    expect(line).toContain("their range is too wide to resolve most values");
  });

  test("is not logged without outliers", async () => {
    expect(await collectWarnings({}, sums, 1)).toEqual([]);
  });
});

describe("static quantization keeps in float", () => {
  const x = scaled([32, 8], 1);

  test.each([
    [1, -1e4],
    [6, -1e9],
    [11, -1e9],
    [11, -3e38],
  ])("%i of 12 scores masked by %d", async (masked, fill) => {
    const mask = Array.from({ length: 32 * 12 }, (_, index) => ((index * 5) % 12 < masked ? 1 : 0));
    const text = two(
      `  s = MatMul "second" (a, w2)
  big: float32[] = ${fill}
  b = Mul (m, big)
  y = Add "mask" (s, b)`,
      undefined,
      "x: float32[n, 8], m: float32[n, 12]",
    );
    const { reasons, error, integers } = await leftInFloat(text, { x, m: float32([32, 12], mask) });
    expect(error).toBeLessThan(0.01);
    expect(integers).toBe(3);
    expect(reasons).toEqual([expect.stringMatching(/Add "mask": "y" ranges from -\S+ to .*8 bits would not resolve/)]);
  });

  test.each([-1e9, Number.NEGATIVE_INFINITY])(
    "scores with a stored mask of %d, but not the product after their softmax",
    async (fill) => {
      const text = two(`  mask: float32[12] = ${vector(fill, 5)}
  s = MatMul "second" (a, w2)
  t = Add "mask" (s, mask)
  p = Softmax (t) {axis=-1}
  v: float32[12, 12] = random(seed 3)
  y = MatMul "third" (p, v)`);
      const { reasons, error } = await leftInFloat(text, { x }, 3);
      expect(error).toBeLessThan(0.1);
      expect(reasons.some((reason) => reason.startsWith('Add "mask": '))).toBe(true);
      expect(reasons.some((reason) => reason.startsWith("third"))).toBe(false);
    },
  );

  test("a layer with -Infinity in its bias, but not the layers before it", async () => {
    const text = two(`  b: float32[12] = ${vector(Number.NEGATIVE_INFINITY, 2)}
  y = Gemm "second" (a, w2, b)`);
    const { reasons, error, integers } = await leftInFloat(text, { x });
    expect(error).toBeLessThan(0.01);
    expect(integers).toBe(2);
    expect(reasons).toEqual([expect.stringMatching(/^second: "b" contains infinite values/)]);
  });

  test("the output of a product with -1e9 in its bias, but not the product", async () => {
    const text = two(`  b: float32[12] = ${vector(-1e9, 2)}
  y = Gemm "second" (a, w2, b)`);
    const { reasons, error, integers } = await leftInFloat(text, { x });
    expect(error).toBeLessThan(0.01);
    expect(integers).toBe(2);
    expect(reasons).toEqual([]);
  });

  test("a residual sum with a channel of a thousand times larger range, between integer products", async () => {
    const channel = (size: number): string =>
      JSON.stringify(Array.from({ length: 16 }, (_, index) => (index === 3 ? size : 1)));
    const text = two(`  up: float32[16] = ${channel(1000)}
  down: float32[16] = ${channel(0.001)}
  w3: float32[16, 16] = random(seed 4)
  w4: float32[16, 16] = random(seed 5)
  m = MatMul "third" (a, w3)
  r = Mul (m, up)
  n = MatMul "fourth" (a, w4)
  s = Add "sum" (n, r)
  l = Mul (s, down)
  y = MatMul "second" (l, w2)`);
    const { reasons, error, integers } = await leftInFloat(text, { x });
    expect(error).toBeLessThan(0.02);
    expect(integers).toBeGreaterThan(3);
    expect(reasons).toContainEqual(expect.stringMatching(/^Add "sum": .* 8 bits would not resolve/));
  });

  test("a layer with -Infinity in its bias before a Relu", async () => {
    const text = two(`  b: float32[12] = ${vector(Number.NEGATIVE_INFINITY, 2)}
  g = Gemm "second" (a, w2, b)
  y = Relu (g)`);
    const { reasons, error } = await leftInFloat(text, { x });
    expect(error).toBeLessThan(0.01);
    expect(reasons).toEqual(['second: "b" contains infinite values']);
  });

  test("values too small for a float32 scale", async () => {
    const text = two(
      `  tiny: float32[] = 1e-38
  huge: float32[] = 1e38
  t = Mul (u, tiny)
  k = MatMul "small" (t, w1)
  l = Mul (k, huge)
  s = MatMul "second" (a, w2)
  r = MatMul "third" (l, w2)
  y = Add (s, r)`,
      undefined,
      "x: float32[n, 8], u: float32[n, 8]",
    );
    const { reasons, error, integers } = await leftInFloat(text, { x, u: scaled([32, 8], 1, 3) });
    expect(error).toBeLessThan(0.02);
    expect(integers).toBeGreaterThan(4);
    expect(reasons).toEqual([
      expect.stringMatching(/^small: "t" is at most \d\.\de-38: too small for a float32 scale/),
    ]);
  });

  test("a branch with NaN, but not the other branch", async () => {
    const text = two(
      `  y = MatMul "second" (a, w2)
  r = Sqrt (x)
  z = MatMul "other" (r, w1)`,
      "y: float32[n, 12], z: float32[n, 16]",
    );
    const { reasons, error } = await leftInFloat(text, { x });
    expect(error).toBeLessThan(0.01);
    expect(reasons).toContain('other: "r" holds NaN');
    expect(reasons.filter((reason) => reason.startsWith("second"))).toEqual([]);
  });

  test("nothing if the input is NaN: it fails and names the data", async () => {
    const broken = memory("broken", { x: float32([2, 8], new Array(16).fill(Number.NaN)) });
    const model = parseModel(two(`  y = MatMul "second" (a, w2)`));
    for (const work of [quantize, fakeQuantize]) {
      await expect(work(model, { scheme: "static", data: broken })).rejects.toMatchObject({
        code: "E_DATA",
        message: expect.stringContaining('"x" holds NaN on this data'),
        hint: expect.stringContaining("preprocessing"),
      });
    }
  });

  test("a cache that was empty in all samples, but not a value without elements", async () => {
    const none = two(`  w0: float32[16, 0] = zeros
  s = MatMul "second" (a, w2)
  e = MatMul "none" (a, w0)
  y = Concat (s, e) {axis=-1}`);
    const first = await leftInFloat(none, { x });
    expect(first.error).toBeLessThan(0.01);
    expect(first.reasons).toEqual(["none: its weight has no elements"]);

    const cache = `opset 17
graph (x: float32[n, 1, 8], past: float32[n, t, 12]) -> (y: float32[]) {
  w: float32[8, 12] = random(seed 1)
  s = MatMul "layer" (x, w)
  j = Concat "join" (past, s) {axis=1}
  y = ReduceSum (j) {keepdims=0}
}`;
    const rows = { x: float32([32, 1, 8], x.data), past: float32([32, 0, 12], []) };
    const second = await leftInFloat(cache, rows);
    expect(second.reasons).toContain('Concat "join": "past" has no elements in any sample, and so no range');
    expect(second.integers).toBe(2);
  });

  test("the same values with fake quantization", async () => {
    const model = parseModel(
      two(`  b: float32[12] = ${vector(Number.NEGATIVE_INFINITY, 2)}
  y = Gemm "second" (a, w2, b)`),
    );
    const { misses } = await fakeQuantize(model, { scheme: "static", data: memory("rows", { x }) });
    expect(misses.map(({ at, reason }) => `${at}: ${reason}`)).toEqual([
      expect.stringMatching(/^second: "b" contains infinite values/),
    ]);
  });
});

test.each([
  ["a long tail", (value: number) => value ** 5],
  ["a mask of two values", (value: number) => (value > 0 ? 0 : -1e9)],
  ["mostly zeros", (value: number) => (value > 2 ? value : 0)],
])("quantizes activations with %s", async (_, shape) => {
  const model = parseModel(`opset 17
graph (x: float32[n, 8]) -> (y: float32[n, 12]) {
  w: float32[8, 12] = random(seed 1)
  y = MatMul "layer" (x, w)
}`);
  const data = memory("rows", { x: float32([64, 8], Array.from(scaled([64, 8], 1).data, shape)) });
  const { changes, misses } = await quantize(model, { scheme: "static", data });
  expect(changes.map(({ at }) => at)).toEqual(["layer"]);
  expect(misses).toEqual([]);
});
