/** The dtypes of transformers.js are equal to the schemes that they represent. */
import { expect, test } from "vitest";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import { type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { mlp, operators } from "./networks.ts";

async function bytes(options: QuantizeOptions): Promise<Uint8Array> {
  const model = mlp();
  await quantize(model, options);
  return encodeToBytes(model);
}

test.each([
  ["q8", { scheme: "dynamic" }],
  ["int8", { scheme: "dynamic", weights: "int8" }],
  ["uint8", { scheme: "dynamic", weights: "uint8" }],
  ["q4", { scheme: "weights", bits: 4, block: 32 }],
] as const)("dtype %s equals its scheme", async (dtype, scheme) => {
  expect(await bytes({ dtype })).toEqual(await bytes(scheme));
});

test("q4f16 has the blocks of q4, and float16 for all other values", async () => {
  const model = mlp();
  const { changes } = await quantize(model, { dtype: "q4f16", except: "fc1" });
  expect(operators(model)).toContain("MatMulNBits");
  expect(changes.map(({ at, bits }) => [at, bits])).toEqual([
    ["fc2", 4],
    ["fc2", undefined],
    ['Relu "a"', undefined],
  ]);
  const outcome = await quantize(mlp(), { dtype: "q4f16", rounder: "mse", overrides: { fc1: { bits: 2 } } });
  expect(outcome.changes.map(({ bits }) => bits)).toContain(2);
});

test("accepts options that a dtype leaves open, and rejects contradictions", async () => {
  expect(await bytes({ dtype: "q4", rounder: "mse" })).not.toEqual(await bytes({ dtype: "q4" }));
  for (const [options, message] of [
    [{ dtype: "q4", bits: 2 }, /`bits` is 4 in the dtype "q4", got 2/],
    [{ dtype: "q4", bits: 8 }, /`bits` is 4 in the dtype "q4", got 8/],
    [{ dtype: "q8", bits: 4 }, /`bits` is 7/],
    [{ dtype: "q4", block: 64 }, /`block` is 32/],
    [{ dtype: "uint8", weights: "int8" }, /`weights` is uint8/],
    [{ dtype: "fp16", bits: 4 }, /`bits` is not free/],
    [{}, /exactly one of `scheme` and `dtype`/],
    [{ dtype: "q4", scheme: "weights" }, /exactly one of `scheme` and `dtype`/],
  ] as const)
    await expect(quantize(mlp(), options)).rejects.toMatchObject({
      code: "E_OPTION",
      message: expect.stringMatching(message),
    });
});
