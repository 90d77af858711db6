/** Custom methods in recipes. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { codes, ownMethods, weight } from "./own-methods.ts";
import { pith } from "./run.ts";

const { at } = ownMethods();

describe("a custom rounding method", () => {
  test("determines the scales in a recipe", async () => {
    writeFileSync(at("rounded.yaml"), `steps:\n  - quantize: { scheme: weights, rounder: ${at("clipped.mjs")} }\n`);
    const out = at("rounded");
    const data = ["--data", at("uneven.csv"), "--force", "-o", out];
    const words = ["compress", at("mixed.onnx"), "-r", at("rounded.yaml"), ...data];
    const { err } = await pith(...words, "--modules", `other.mjs,${at("clipped.mjs")}`);
    expect(err).not.toContain("E_");
    expect(await weight(join(out, "model.onnx"), "fc.weight_quantized")).toEqual(codes);
  });
});

test("custom modules work equally in a recipe", async () => {
  const recipe = at("own.yaml");
  writeFileSync(
    recipe,
    `steps:
  - prune: { amount: 75%, importance: ${at("wanda.mjs")} }
  - prune: { pattern: ${at("first.mjs")} }
`,
  );
  const words = ["compress", at("mixed.onnx"), "-r", recipe, "--data", at("uneven.csv"), "--force", "-o", at("own")];
  const { code, err } = await pith(...words, "--modules", `${at("wanda.mjs")},${at("first.mjs")}`);
  expect(err).not.toContain("E_");
  expect([0, 1]).toContain(code);
  expect(await weight(at("own/model.onnx"))).toEqual([0, 0, 0, 0]);
});
