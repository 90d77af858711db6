/**
 * Law: a gradient equals central differences, for every floating input, in float64 where ONNX Runtime has the kernels, in float32 elsewhere;
 * and where it has both, the two agree.
 *
 * The error of a central difference is about h²·f‴/6 + ε·|f|/h: the best of a few steps leaves 1e-10 in float64 and 1e-4 in float32.
 */
import { describe, expect, test } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { Miss, PithError } from "../../src/core/errors.ts";
import { isFloat } from "../../src/core/tensor/convert.ts";
import type { Batch, Dense } from "../../src/core/tensor/types.ts";
import type { Example } from "../ops/define.examples.ts";
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

/** What rounding leaves between gradients in float32 and the same in float64. */
const rounding = 1e-5;

interface Checked {
  readonly gradients: Batch;
  readonly worst: number;
}

/** Gradients in one precision, held against those that are known to be right, against central differences where there are none. */
async function check(example: Example, floats: keyof typeof precisions, right?: Batch): Promise<Checked | Miss> {
  const model = fixedModel(example, floats);
  const feeds: Batch = { ...feedsOf(model, example), ...(await feedStored(model)) };
  // Differences are taken on what the node is lowered to, if it is: the kernel of BatchNormalization writes into what it is fed.
  const plain = loweredModel(model) ?? model;
  return withSession(plain, async (session) => {
    const given = cotangents(plain, await session.run(feeds), example.title);
    const found = await gradients(model, feeds, given);
    if (found instanceof Miss) return found;
    const worst =
      right === undefined
        ? await worstGap(session, feeds, given, found, precisions[floats])
        : Math.max(0, ...Object.entries(right).map(([name, dense]) => gapBetween(found[name], dense)));
    return { gradients: found, worst };
  });
}

const gapBetween = (found: Dense | undefined, right: Dense): number =>
  found === undefined ? Number.POSITIVE_INFINITY : difference(found, right);

/** The precision to be tried may be missing in ONNX Runtime, for the operator or for one that its gradient needs. */
function undefinedWithoutKernel(error: unknown): undefined {
  if (error instanceof PithError && /Could not find an implementation/.test(error.message)) return undefined;
  throw error;
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
    const { gradient: reason } = example.misses;
    const double = reason === undefined ? await check(example, "float64").catch(undefinedWithoutKernel) : undefined;
    const right = double instanceof Miss ? undefined : double;
    const single = await check(example, "float32", right?.gradients);
    expect(reasonOf(single)).toEqual(reason === undefined ? undefined : expect.stringContaining(reason));
    if (single instanceof Miss) return;
    expect(single.worst, "float32").toBeLessThan(right === undefined ? precisions.float32.tolerance : rounding);
    if (right !== undefined) expect(right.worst, "float64").toBeLessThan(precisions.float64.tolerance);
  });
});
