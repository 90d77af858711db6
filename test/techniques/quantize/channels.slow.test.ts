/**
 * Layers whose channels hold what trained weights hold and random ones do not: nothing, one number, huge and tiny ones. Each scheme keeps its
 * output within the steps of the grid, run as written and optimized.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Model } from "../../../src/core/graph/model.ts";
import { structureHash } from "../../../src/core/graph/structure-hash.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { assertValid } from "../../../src/core/graph/verify.ts";
import { float32, inMemory } from "../../../src/core/tensor/dense.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { memory } from "../../../src/data/index.ts";
import { quantize } from "../../../src/techniques/quantize/index.ts";
import { numbersFor, run } from "./networks.ts";

const channels = 6;
const kinds = {
  normal: (value: number) => value,
  zero: () => 0,
  constant: () => 0.5,
  huge: (value: number) => value * 1e4,
  tiny: (value: number) => value * 1e-30,
  subnormal: (value: number) => value * 1e-39,
};
type Kind = keyof typeof kinds;

/** Output channel k of the layer has values of the k-th kind. */
const forms = {
  conv: {
    text: `opset 13
graph (x: float32[n, 4, 5, 5]) -> (y: float32[n, ${channels}, 3, 3]) {
  w: float32[${channels}, 4, 3, 3] = zeros
  b: float32[${channels}] = zeros
  y = Conv "layer" (x, w, b)
}`,
    x: [3, 4, 5, 5],
    channelOf: (index: number) => Math.floor(index / 36),
  },
  gemm: {
    text: `opset 13
graph (x: float32[n, 8]) -> (y: float32[n, ${channels}]) {
  w: float32[8, ${channels}] = zeros
  b: float32[${channels}] = zeros
  y = Gemm "layer" (x, w, b)
}`,
    x: [3, 8],
    channelOf: (index: number) => index % channels,
  },
  matmul: {
    text: `opset 13
graph (x: float32[n, 8]) -> (y: float32[n, ${channels}]) {
  w: float32[8, ${channels}] = zeros
  y = MatMul "layer" (x, w)
}`,
    x: [3, 8],
    channelOf: (index: number) => index % channels,
  },
};
type Form = keyof typeof forms;

function network(form: Form, of: readonly Kind[], bias: number, seed = 1): Model {
  const model = parseModel(forms[form].text);
  const numbers = random(seed);
  const fill = (name: string, numberOf: (index: number) => number): void => {
    const value = model.graph.value(name);
    if (value?.tensor === undefined) return;
    const { dims } = value.tensor;
    const count = dims.reduce((product, size) => product * size, 1);
    value.tensor = inMemory(
      float32(
        dims,
        Array.from({ length: count }, (_, index) => numberOf(index)),
      ),
    );
  };
  fill("w", (index) => kinds[of[forms[form].channelOf(index)] ?? "normal"](numbers.normal()));
  fill("b", () => bias);
  return model;
}

const settings = [
  { scheme: "weights" },
  { scheme: "weights", perChannel: false },
  { scheme: "weights", weights: "uint8" },
  { scheme: "weights", weights: "uint8", perChannel: false },
  { scheme: "dynamic" },
  { scheme: "dynamic", perChannel: false },
  { scheme: "dynamic", weights: "uint8" },
  { scheme: "dynamic", weights: "int8" },
  { scheme: "static" },
  { scheme: "static", perChannel: false },
  { scheme: "static", weights: "uint8" },
  { scheme: "static", weights: "uint8", perChannel: false },
  { scheme: "static", activations: "int8" },
] as const;

/** Returns the largest error relative to the largest output, with and without optimizations. */
async function errorOf(form: Form, of: readonly Kind[], bias: number, setting: (typeof settings)[number]) {
  const model = network(form, of, bias);
  const original = model.clone();
  const x = numbersFor(forms[form].x);
  await quantize(model, { ...setting, ...(setting.scheme === "static" ? { data: memory("x", { x }) } : {}) });
  assertValid(model);
  const expected = await run(original, { x });
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  let worst = 0;
  for (const optimize of [false, true]) {
    const got = await run(model, { x }, { optimize });
    worst = got.reduce((most, value, index) => Math.max(most, Math.abs(value - (expected[index] ?? 0))), worst);
  }
  return largest === 0 ? worst : worst / largest;
}

// 8 bits for input, weights and output have an error of 1/255 each, relative to a range of which a sum fills about a third.
const bound = 0.05;

describe.each(settings)("$scheme, weights $weights, per channel $perChannel, activations $activations", (setting) => {
  test.each(["conv", "gemm", "matmul"] as const)("%s: a channel of zeros does not affect the others", async (form) => {
    for (const dead of [0, 3])
      expect(
        await errorOf(
          form,
          Array.from({ length: channels }, (_, at): Kind => (at === dead ? "zero" : "normal")),
          0.4,
          setting,
        ),
      ).toBeLessThan(bound);
  });

  test("channels of any kind have small errors", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom<Form>("conv", "gemm", "matmul"),
        fc.array(fc.constantFrom(...(Object.keys(kinds) as Kind[])), { minLength: channels, maxLength: channels }),
        fc.constantFrom(0, 0.4, -20),
        async (form, of, bias) => {
          expect(await errorOf(form, of, bias, setting)).toBeLessThan(bound);
        },
      ),
      { numRuns: 8, seed: 1 },
    );
  });

  test("a layer of zeros outputs its bias", async () => {
    const zeros = Array.from({ length: channels }, (): Kind => "zero");
    for (const form of ["conv", "gemm"] as const) expect(await errorOf(form, zeros, 0.2, setting)).toBeLessThan(0.005);
  });

  test.each(["subnormal", "tiny"] as const)("%s weights keep their bias, or are not quantized", async (kind) => {
    const all = Array.from({ length: channels }, (): Kind => kind);
    expect(await errorOf("gemm", all, 0.2, setting)).toBeLessThan(0.005);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, 1e-39])(
    "a weight with %s is not quantized, with the reason",
    async (number) => {
      const model = network("gemm", [], 0.1);
      const value = model.graph.value("w");
      if (value?.tensor === undefined) throw new Error("no weight");
      value.tensor = inMemory(
        float32(
          value.tensor.dims,
          Array.from({ length: 8 * channels }, (_, index) => (index === 5 || number === 1e-39 ? number : 1)),
        ),
      );
      const before = structureHash(model);
      const { changes, misses } = await quantize(model, {
        ...setting,
        ...(setting.scheme === "static" ? { data: memory("x", { x: numbersFor([3, 8]) }) } : {}),
      });
      expect(changes).toEqual([]);
      expect(misses.map(({ reason }) => reason)).toEqual([expect.stringMatching(/^its weight (holds|is at most) /)]);
      expect(structureHash(model)).toBe(before);
    },
  );
});
