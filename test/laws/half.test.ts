/**
 * Law: an operator that supports float16 loads in ONNX Runtime and computes the float32 outputs, up to rounding to 11 bits. Others give a reason.
 */
import { describe, expect, test } from "vitest";
import { infer, isRandom } from "../../src/core/analysis/infer.ts";
import { Miss } from "../../src/core/errors.ts";
import { assertValid } from "../../src/core/graph/verify.ts";
import { toFloat64 } from "../../src/core/tensor/convert.ts";
import type { Dense } from "../../src/core/tensor/types.ts";
import { raiseOpset } from "../../src/rewrite/edit/raise-opset.ts";
import { largestDifference } from "../../src/runtime/run/difference.ts";
import { castOpset } from "../../src/techniques/quantize/float16.ts";
import { findHalfPorts, writeInHalf } from "../../src/techniques/quantize/half-arithmetic.ts";
import { examplesFor, feedsOf, fixedModel, lastNode, outputsOf, run } from "./harness.ts";

/** Integer and Boolean outputs (sizes, indices, decisions) can change if float values are equal up to rounding. */
const isFloat = (dense: Dense | undefined): dense is Dense => dense?.type === "float32";

describe("operators compute the same in float16 as in float32", () => {
  test.each(examplesFor("half", () => true))("%s", async (_, example) => {
    const model = fixedModel(example);
    const node = lastNode(model);
    if (isRandom(node) || !node.inputs.some((input) => input?.type?.type === "float32")) return;
    raiseOpset(model, castOpset);
    const last = lastNode(model);
    const halves = findHalfPorts(last, infer(model));
    if (halves instanceof Miss) return expect(halves.reason).toMatch(/^[a-zA-Z].{8,}[^.]$/);
    const feeds = feedsOf(model, example);
    const names = model.graph.outputs.map(({ name }) => name);
    const expected = await outputsOf(example);
    await writeInHalf(model, new Map([[last, halves]]));
    assertValid(model);
    const got = await run(model, feeds);
    for (const name of names) {
      const [before, after] = [expected[name], got[name]];
      expect(after?.type).toBe(before?.type);
      if (isFloat(before) && isFloat(after) && toFloat64(before).every(Number.isFinite))
        expect(largestDifference(before, after)).toBeLessThan(0.02);
    }
  });
});
