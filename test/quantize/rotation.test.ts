/** Rotated residual streams: networks compute the same, and outlier channels have less quantization error. */
import { describe, expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { random } from "../../src/core/tensor/random.ts";
import { memory } from "../../src/data/index.ts";
import { rewriteOnRead } from "../../src/rewrite/edit/migrate.ts";
import {
  multiplyAlong,
  orthogonalFactors,
  rotate,
  rotationStreams,
  type Stream,
} from "../../src/techniques/quantize/equalize/rotate.ts";
import { type QuantizeOptions, quantize } from "../../src/techniques/quantize/index.ts";
import { difference, run } from "./networks.ts";

describe("factors of an orthogonal matrix", () => {
  const rows = (size: number) => {
    const factors = orthogonalFactors(size, random(1, "q"));
    const unit = new Float64Array(size * size);
    for (let at = 0; at < size; at++) unit[at * size + at] = 1;
    multiplyAlong(unit, [size, size], 1, factors);
    return unit;
  };

  test.each([1, 3, 4, 5, 8, 16, 24, 48, 60, 64, 128])("of size %i satisfy Q Qᵀ = I and Q 1 = 1", (size) => {
    const q = rows(size);
    const entry = (row: number, column: number) => q[row * size + column] ?? Number.NaN;
    for (let row = 0; row < size; row++) {
      const places = [...q.keys()].slice(0, size);
      expect(places.reduce((sum, at) => sum + entry(row, at), 0)).toBeCloseTo(1, 12);
      for (let other = 0; other <= row; other++)
        expect(places.reduce((sum, at) => sum + entry(row, at) * entry(other, at), 0)).toBeCloseTo(
          row === other ? 1 : 0,
          12,
        );
    }
  });

  test("of a power of 4 are a Hadamard matrix, with all entries ±1 / √n", () => {
    for (const number of rows(64)) expect(Math.abs(number)).toBe(1 / 8);
  });

  test("of a permuted axis give the permuted result", () => {
    const factors = orthogonalFactors(4, random(1, "q"));
    const [plain, shuffled] = [Float64Array.of(1, 2, 3, 4), Float64Array.of(4, 2, 1, 3)];
    multiplyAlong(plain, [4], 0, factors);
    multiplyAlong(shuffled, [4], 0, factors, [2, 1, 3, 0]);
    expect([2, 1, 3, 0].map((place) => shuffled[place])).toEqual([...plain]);
  });
});

/**
 * A block of a transformer: a table and a layer write a stream, with a normalization before each layer that reads it. Channel 5 reaches `far` times as far as others; the
 * layers that read it take that back by the scale of the normalization.
 */
function stream(norm: string, { far = 1, scale = 1, begin = "Identity" } = {}): string {
  const channels = (of: (at: number) => number): string =>
    `[${Array.from({ length: 32 }, (_, at) => of(at)).join(", ")}]`;
  return `opset 23
graph (ids: int64[batch, 6]) -> (y) {
  table: float32[40, 32] = random(seed 1)
  gamma: float32[32] = ${channels((at) => (at === 5 ? scale / far : 0.5 + at / 32))}
  beta: float32[32] = random(seed 6, from -0.2 to 0.2)
  up.weight: float32[32, 48] = random(seed 2)
  down.weight: float32[48, 32] = random(seed 3)
  down.bias: float32[32] = random(seed 7)
  last: float32[32] = random(seed 8, from 0.5 to 1.5)
  head.weight: float32[32, 10] = random(seed 4)
  e = Gather "table" (table, ids)
  x = ${begin} (e)
  n = ${norm}
  u = MatMul "up" (n, up.weight)
  a = Sigmoid (u)
  d = MatMul "down" (a, down.weight)
  b = Add (d, down.bias)
  r = Add (x, b)
  m = RMSNormalization (r, last) {axis=-1}
  y = MatMul "head" (m, head.weight)
}`;
}

const norms = {
  RMSNormalization: "RMSNormalization (x, gamma) {axis=-1}",
  LayerNormalization: "LayerNormalization (x, gamma, beta) {axis=-1}",
  SimplifiedLayerNormalization: "SimplifiedLayerNormalization (x, gamma) {axis=-1}",
};
const ids = {
  type: "int64",
  dims: [50, 6],
  data: BigInt64Array.from({ length: 300 }, (_, at) => BigInt((at * 17 + (at >> 3)) % 40)),
} as const;

const answers = (model: Model): Promise<Float64Array> => run(model, { ids });
const streamOf = (model: Model): Stream => {
  const [stream, ...more] = rotationStreams(model, infer(model));
  if (stream === undefined || more.length > 0) throw new Error("There is not one stream.");
  return stream;
};

describe("a residual stream", () => {
  test.each(Object.entries(norms))("before %s is rotated without changing the outputs", async (_, norm) => {
    const model = parseModel(stream(norm));
    const before = await answers(model);
    const { units, scales, slices } = streamOf(model);
    expect([units, [...scales.keys()].map(({ name }) => name), slices.map(({ value }) => value.name).sort()]).toEqual([
      32,
      ["gamma", "last"],
      [...(norm.includes("beta") ? ["beta"] : []), "down.bias", "down.weight", "head.weight", "table", "up.weight"],
    ]);
    const table = await model.graph.value("table")?.tensor?.read();
    expect(await rotate(model, streamOf(model), 0)).toBeUndefined();
    expect(await model.graph.value("table")?.tensor?.read()).not.toEqual(table);
    expect(difference(before, await answers(model))).toBeLessThan(1e-5);
  });

  test("is not rotated if its normalization scales a channel by 0 or less", async () => {
    for (const scale of [0, -1]) {
      const model = parseModel(stream(norms.RMSNormalization, { scale }));
      const before = await answers(model);
      expect(await rotate(model, streamOf(model), 0)).toMatchObject({ reason: "not all of its scales are above 0" });
      expect(await answers(model)).toEqual(before);
    }
  });
});

describe("static quantization", () => {
  const settings = { scheme: "static", data: memory("ids", { ids }), biasCorrection: "none" } as const;
  /** @param far factor of channel 5 in the table. */
  const error = async (text: string, far: number, options: Partial<QuantizeOptions>) => {
    const model = parseModel(text);
    const table = model.graph.value("table");
    if (table?.tensor === undefined) throw new Error("There is no table.");
    table.tensor = await rewriteOnRead(table.tensor, (numbers) => {
      for (let at = 5; at < numbers.length; at += 32) numbers[at] = (numbers[at] ?? 0) * far;
    });
    const before = await answers(model);
    const { changes } = await quantize(model, { ...settings, ...options });
    return {
      error: difference(before, await answers(model)),
      rotated: changes.filter(({ what }) => what.includes("rotated")),
    };
  };
  test("rotates a stream with an outlier channel, with less error", async () => {
    const outlier = stream(norms.RMSNormalization, { far: 20 });
    const [plain, rotated] = [await error(outlier, 20, { equalize: false }), await error(outlier, 20, {})];
    expect(rotated.rotated).toHaveLength(1);
    expect(rotated.error).toBeLessThan(0.75 * plain.error);
  });

  test("keeps a stream in float if an outlier channel makes the steps of 8 bits too large for others", async () => {
    const { error: far } = await error(stream(norms.RMSNormalization, { far: 100 }), 100, { equalize: false });
    expect(far).toBeLessThan(0.03);
  });

  test("does not rotate a stream that an activation function reads", async () => {
    const text = stream(norms.RMSNormalization, { begin: "Sigmoid" });
    expect((await error(text, 1, {})).rotated).toEqual([]);
    const model = parseModel(text);
    const before = await answers(model);
    await rotate(model, streamOf(model), 0);
    expect(difference(before, await answers(model))).toBeGreaterThan(1e-4);
  });
});
