/**
 * Law: a gradient equals central differences, for every floating input, in float64 where ONNX Runtime has the kernels and in float32 besides.
 *
 * The error of a central difference is about h²·f‴/6 + ε·|f|/h: the best of a few steps leaves 1e-10 in float64 and 1e-4 in float32.
 */
import { describe, expect, test } from "vitest";
import { infer } from "../../src/analysis/infer.ts";
import { Miss, PithError } from "../../src/errors.ts";
import type { Example } from "../../src/ops/define.examples.ts";
import { isFloat } from "../../src/tensor/convert.ts";
import type { Batch } from "../../src/tensor/types.ts";
import { bestDifference, cotangents, differences, feedStored, gradients } from "./differences.ts";
import { examplesFor, feedsOf, fixedModel, lastNode, loweredModel, operatorOf, run, symbolicModel } from "./harness.ts";

const precisions = {
  float64: { steps: [1e-3, 1e-4, 1e-5], tolerance: 1e-7 },
  float32: { steps: [3e-2, 1e-2, 3e-3], tolerance: 1e-3 },
} as const;

interface Checked {
  readonly worst: number;
  readonly miss: Miss | undefined;
}

async function check(example: Example, floats: keyof typeof precisions): Promise<Checked> {
  const { steps } = precisions[floats];
  const model = fixedModel(example, floats);
  const feeds: Batch = { ...feedsOf(model, example), ...(await feedStored(model)) };
  // Differences are taken on what the node is lowered to, if it is: the kernel of BatchNormalization writes into what it is fed.
  const plain = loweredModel(model) ?? model;
  const given = cotangents(plain, await run(plain, feeds), example.title);
  const found = await gradients(model, feeds, given);
  if (found instanceof Miss) return { worst: Number.NaN, miss: found };
  const expected = await differences(plain, feeds, given, steps);
  let worst = 0;
  for (const [name, perStep] of expected) {
    const gradient = found[name];
    worst = Math.max(worst, gradient === undefined ? Number.POSITIVE_INFINITY : bestDifference(gradient, perStep));
  }
  return { worst, miss: undefined };
}

/** The precision to be tried is missing in ONNX Runtime, for the operator or for one that its gradient needs. */
function lacksKernel(error: unknown): boolean {
  return error instanceof PithError && /Could not find an implementation/.test(error.message);
}

/**
 * What training writes is written for opset 18 or later: gradients are for models that were raised to it. Integers, and strings, that come
 * out have no gradient.
 */
function trainable(example: Example): boolean {
  const { gradient, lower } = operatorOf(example).facets;
  if ((gradient instanceof Miss && lower instanceof Miss) || example.opset < 18) return false;
  const model = symbolicModel(example);
  infer(model);
  return lastNode(model).outputs.some((output) => output?.type !== undefined && isFloat(output.type.type));
}

describe("gradients equal central differences", () => {
  test.each(examplesFor("gradient", trainable))("%s", async (_, example) => {
    const single = await check(example, "float32");
    expect(single.miss?.reason).toEqual(
      example.misses.gradient === undefined ? undefined : expect.stringContaining(example.misses.gradient),
    );
    if (single.miss !== undefined) return;
    expect(single.worst, "float32").toBeLessThan(precisions.float32.tolerance);
    const double = await check(example, "float64").catch((error: unknown) => {
      if (lacksKernel(error)) return undefined;
      throw error;
    });
    if (double !== undefined) expect(double.worst, "float64").toBeLessThan(precisions.float64.tolerance);
  });
});
