/** Stated goals of folders and recipes. */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { pith } from "./run.ts";
import { lost, slightLoss } from "./slight-loss.ts";

const { at, data } = slightLoss();

describe(`a loss of ${lost} of 200 predictions, which is not significant`, () => {
  test("starts the fallback in a folder only with a stated goal", async () => {
    mkdirSync(at("folder/onnx"), { recursive: true });
    copyFileSync(at("close.onnx"), at("folder/onnx/model.onnx"));
    writeFileSync(at("folder/config.json"), "{}");
    const variants = ["quantize", at("folder"), "--dtype", "q8", "--rounder", "nearest", ...data()];
    const written = await pith(...variants, "-o", at("default"));
    expect(written.err).toContain("1.0 points allowed), which is not statistically significant");
    const { code, out, err } = await pith(...variants, "-o", at("bound"), "--max-drop", "1%");
    expect(code, err).toBe(0);
    expect(err).toMatch(/^1\.5 points lost, 1\.0 points allowed/m);
    expect(out).toContain("fc3: kept in float");
  });

  test("starts the fallback of a recipe only with a stated goal", async () => {
    const recipe = ["compress", at("close.onnx"), "-r", at("fallback.yaml"), ...data(), "-o", at("run")];
    expect((await pith(...recipe)).err).not.toMatch(/points allowed: /);
    expect((await pith(...recipe, "--max-drop", "1%")).err).toMatch(/points allowed: /);
  });
});
