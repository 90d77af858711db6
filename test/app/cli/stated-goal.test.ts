/** Tests which goals start the precision fallback: a stated one for every estimate beyond it, the default only for a significant loss. */
import { describe, expect, test } from "vitest";
import { json, pith } from "./run.ts";
import { lost, slightLoss } from "./slight-loss.ts";

const { at, data } = slightLoss();
const quantize = (...more: readonly string[]): string[] => [
  ...["quantize", at("close.onnx"), "--scheme", "weights", "--rounder", "nearest", ...data()],
  ...["-o", at("out.onnx"), ...more],
];

describe(`a loss of ${lost} of 200 predictions, which is not significant`, () => {
  test("is written by default, with a warning", async () => {
    const report = await json(...quantize());
    expect(report).toMatchObject({ code: 0, verdict: { met: true, drop: { value: expect.closeTo(lost / 200) } } });
    expect(report.fallback).toBeUndefined();
    expect((await pith(...quantize())).err).toContain("1.0 points allowed), which is not statistically significant");
  });

  test("starts the precision fallback if it exceeds a stated goal", async () => {
    const { code, out, err } = await pith(...quantize("--max-drop", "1%"));
    expect(code, err).toBe(0);
    expect(err).toMatch(/^1\.5 points lost, 1\.0 points allowed/m);
    expect(out).toMatch(/^kept at higher precision to meet the goal \(1 layer, .*\n {2}fc3: kept in float/m);
    expect(err).not.toContain("not statistically significant");
  });

  test("is written with the reason if no layers at higher precision meet a stated goal", async () => {
    const { code, err } = await pith(...quantize("--max-drop", "1%", "--layers", "fc3"));
    expect(code, err).toBe(0);
    expect(err).toMatch(/no layers are kept at higher precision/);
    expect(err).toContain("1.0 points allowed), which is not statistically significant");
  });
});
