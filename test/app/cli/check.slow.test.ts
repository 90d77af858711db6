/** Budgets of speed, and of a folder. */
import { copyFileSync, mkdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { budgetsOfSmallModels } from "./budgets.ts";
import { json, pith } from "./run.ts";

const { at, writeEntry } = budgetsOfSmallModels();

describe("pith check", () => {
  test("measures the ratio of processor times", async () => {
    const path = writeEntry("model: mixed.onnx, original: right.onnx, speed: 0.01");
    const { models } = (await json("check", path)) as { models: { findings: { budget: string; limit: string }[] }[] };
    expect(models[0]?.findings).toMatchObject([{ budget: "speed", limit: "at least 0.01 ×" }]);
  });

  test("checks each file of a folder against the file of the same path", async () => {
    mkdirSync(at("small"), { recursive: true });
    mkdirSync(at("original"), { recursive: true });
    mkdirSync(at("small/folder.onnx"));
    for (const name of ["a.onnx", "b.ONNX"]) {
      copyFileSync(at(name === "a.onnx" ? "near.onnx" : "zero.onnx"), at(`small/${name}`));
      copyFileSync(at("right.onnx"), at(`original/${name}`));
    }
    const { code, out } = await pith(
      "check",
      writeEntry("model: small, original: original, data: points.csv, agreement: 60%"),
    );
    expect(out).toMatch(/^small.a\.onnx\n[\s\S]*passed\nsmall.b\.ONNX\n[\s\S]*failed\ncheck failed\nnext: .*\n$/);
    expect(code).toBe(1);
  });
});
