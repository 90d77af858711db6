/** Tests that each command judges a detector by its detections, and not by the values of its output as a whole. */
import { describe, expect, test } from "vitest";
import { json, pith } from "../app/cli/run.ts";
import { damagedDetector } from "./damaged.ts";

const { at, model, data } = damagedDetector();

describe("a detector without most of its scores", () => {
  test("misses the goal of eval, which names the part of the output that is lost", async () => {
    const report = await json("eval", at("pruned.onnx"), "--original", model, ...data, "--max-drop", "1%");
    expect(report).toMatchObject({
      code: 1,
      verdict: { met: false },
      figures: [
        { metric: "agreement" },
        { metric: "R²", detail: expect.stringMatching(/^of "output0\[:, 4:7\]", the worst of \d parts$/) },
        { metric: "signal to noise", detail: expect.stringContaining('of "output0[:, 4:7]"') },
      ],
    });
  });
});

describe("a detector", () => {
  test("has a mean average precision with labels", async () => {
    const { code, out } = await pith("eval", model, "--data", at("labelled.npz"));
    expect(code).toBe(0);
    expect(Number(/^mAP +(\d+\.\d) %/m.exec(out)?.[1])).toBeGreaterThan(60);
  });
});
