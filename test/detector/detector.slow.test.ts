/** Tests that a recipe judges a detector by its detections. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { pith } from "../app/cli/run.ts";
import { temporaryFolder } from "../temporary.ts";
import { damagedDetector, pruning } from "./damaged.ts";
import { detectorFile, drawShapes, writeShapes } from "./shapes.ts";

test("rejects a detector that has lost its scores by a recipe", async () => {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder, name);
  await writeShapes(at("shapes.npz"), drawShapes(100, 7), { labelled: false });
  writeFileSync(at("recipe.yaml"), "version: 1\nsteps:\n  - prune: { amount: 95%, layers: [head.cls*] }\n");
  const words = ["compress", detectorFile, "--recipe", at("recipe.yaml"), "--data", at("shapes.npz"), "-o", at("out")];
  const { code, err } = await pith(...words);
  expect(err).toMatch(/^E_ACCURACY_LOST: Agreement went from 100\.0 % to \d\.\d %/m);
  expect(code).toBe(1);
});

const { at, model, data } = damagedDetector();

describe("a detector without most of its scores", () => {
  test.each([
    ["prune", [...pruning]],
    ["quantize", ["--scheme", "weights", "--bits", "2", "--layers", "head.cls*", "--no-fallback"]],
  ])("is rejected by %s", async (command, words) => {
    const { code, err } = await pith(command, model, ...words, ...data, "-o", at("out.onnx"));
    expect(err).toContain('"output0" contains detections of 3 classes, form [N, 4 + classes, boxes]');
    expect(err).toMatch(/^E_ACCURACY_LOST: Agreement went from 100\.0 % to \d+\.\d %/m);
    expect(code).toBe(1);
    expect(existsSync(at("out.onnx"))).toBe(false);
  });

  test("fails the budgets of a check", async () => {
    const budgets = `{ model: pruned.onnx, original: shapes.onnx, data: shapes.npz, drop: 1%, agreement: 90% }`;
    writeFileSync(at("pith.check.yaml"), `models:\n  - ${budgets}\n`);
    const { code, out } = await pith("check", at("pith.check.yaml"));
    expect(out).toMatch(/drop .* failed/);
    expect(out).toMatch(/agreement .* failed/);
    expect(code).toBe(1);
  });
});

describe("a detector", () => {
  test("is accepted in 8 bits", async () => {
    const { code, err } = await pith(
      "quantize",
      model,
      "--scheme",
      "static",
      ...data,
      "--max-drop",
      "3%",
      "-o",
      at("int8.onnx"),
    );
    expect(code, err).toBe(0);
    expect(existsSync(at("int8.onnx"))).toBe(true);
  });
});
