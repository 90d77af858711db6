/**
 * Law: a gradient equals central differences for every floating input, in float64 if ONNX Runtime has the kernels, else in float32. If it
 * has both, the two gradients agree.
 *
 * The error of a central difference is about h²·f‴/6 + ε·|f|/h: the best of a few steps leaves 1e-10 in float64 and 1e-4 in float32.
 */
import { describe, expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { Miss, PithError } from "../../src/core/errors.ts";
import { isFloat } from "../../src/core/tensor/convert.ts";
import type { Batch, Dense } from "../../src/core/tensor/types.ts";
import type { Example } from "../core/ops/define.examples.ts";
import { cotangents, feedStored, gradients, worstGap } from "./differences.ts";
import {
  difference,
  examplesFor,
  feedsOf,
  fixedModel,
  lastNode,
  loweredModel,
  operatorOf,
  reasonOf,
  symbolicModel,
  withSession,
} from "./harness.ts";

const precisions = {
  float64: { steps: [1e-4, 1e-5, 1e-3], tolerance: 1e-7 },
  float32: { steps: [1e-2, 3e-2, 3e-3], tolerance: 1e-3 },
} as const;

/** Tolerance between gradients in float32 and in float64, from rounding. */
const rounding = 1e-5;

interface Checked {
  readonly outputs: Batch;
  readonly gradients: Batch;
  readonly worst: number;
}

async function prepare(example: Example, floats: keyof typeof precisions) {
  const model = fixedModel(example, floats);
  const feeds: Batch = { ...feedsOf(model, example), ...(await feedStored(model)) };
  // Differences use the lowered node if there is one, because the kernel of BatchNormalization overwrites its inputs.
  return { model, feeds, plain: loweredModel(model) ?? model };
}

/** Compares gradients with central differences. */
async function check(example: Example, floats: keyof typeof precisions): Promise<Checked | Miss> {
  const { model, feeds, plain } = await prepare(example, floats);
  return withSession(plain, async (session) => {
    const outputs = await session.run(feeds);
    const cotangentBatch = cotangents(plain, outputs, example.title);
    const computed = await gradients(model, feeds, cotangentBatch);
    if (computed instanceof Miss) return computed;
    const worst = await worstGap(session, feeds, cotangentBatch, computed, precisions[floats]);
    return { outputs, gradients: computed, worst };
  });
}

/** Compares gradients in float32 with those in float64, whose outputs have the same dimensions. */
async function compareWithDouble(example: Example, double: Checked): Promise<Pick<Checked, "worst"> | Miss> {
  const { model, feeds, plain } = await prepare(example, "float32");
  infer(plain);
  const computed = await gradients(model, feeds, cotangents(plain, double.outputs, example.title));
  if (computed instanceof Miss) return computed;
  const gaps = Object.entries(double.gradients).map(([name, dense]) => gapBetween(computed[name], dense));
  return { worst: Math.max(0, ...gaps) };
}

const gapBetween = (found: Dense | undefined, right: Dense): number =>
  found === undefined ? Number.POSITIVE_INFINITY : difference(found, right);

/** Returns undefined if ONNX Runtime lacks a kernel in this precision, for the operator or for one in its gradient. */
function undefinedWithoutKernel(error: unknown): undefined {
  if (error instanceof PithError && /Could not find an implementation/.test(error.message)) return undefined;
  throw error;
}

/**
 * Returns whether an example has a gradient. Training requires opset 18 or later, to which models are raised. Integer and string outputs
 * have no gradient.
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
    const { gradient: reason } = example.misses;
    const double = reason === undefined ? await check(example, "float64").catch(undefinedWithoutKernel) : undefined;
    const right = double instanceof Miss ? undefined : double;
    const single = right === undefined ? await check(example, "float32") : await compareWithDouble(example, right);
    expect(reasonOf(single)).toEqual(reason === undefined ? undefined : expect.stringContaining(reason));
    if (single instanceof Miss) return;
    expect(single.worst, "float32").toBeLessThan(right === undefined ? precisions.float32.tolerance : rounding);
    if (right !== undefined) expect(right.worst, "float64").toBeLessThan(precisions.float64.tolerance);
  });
});
