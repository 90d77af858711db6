/** Tests that each command judges a detector by its detections, and not by the values of its output as a whole. */
import { copyFileSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { json, pith } from "../cli/run.ts";
import { temporaryFolder } from "../temporary.ts";
import { detectorFile, drawShapes, writeShapes } from "./shapes.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const model = at("shapes.onnx");
const data = ["--data", at("shapes.npz")];
/** The branch that computes the scores, without most of its weights. */
const pruning = ["--amount", "95%", "--layers", "head.cls*"];

beforeAll(async () => {
  copyFileSync(detectorFile, model);
  writeShapes(at("shapes.npz"), drawShapes(100, 7), { labelled: false });
  writeShapes(at("labelled.npz"), drawShapes(100, 7), { labelled: true });
  const { code, err } = await pith("prune", model, ...pruning, "--force", "-o", at("pruned.onnx"));
  if (code !== 0) throw new Error(err);
});

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

  test("has a mean average precision with labels", async () => {
    const { code, out } = await pith("eval", model, "--data", at("labelled.npz"));
    expect(code).toBe(0);
    expect(Number(/^mAP +(\d+\.\d) %/m.exec(out)?.[1])).toBeGreaterThan(60);
  });
});
