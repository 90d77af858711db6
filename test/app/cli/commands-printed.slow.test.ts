import { readdirSync, rmSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { json, pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at, folder } = smallModels();

describe("bench", () => {
  test("times models against the first, with bytes, load time and memory", async () => {
    const { models, code } = await json(
      "bench",
      at("right.onnx"),
      at("near.onnx"),
      "--rounds",
      "3",
      "--dim",
      "batch=4",
    );
    expect(code).toBe(0);
    expect(models).toHaveLength(2);
    const [first, second] = models as Record<string, unknown>[];
    expect(first).toMatchObject({ speedup: { median: 1, low: 1, high: 1 } });
    for (const row of [first, second]) {
      for (const key of ["bytes", "brotli", "load"]) expect(row?.[key]).toBeGreaterThan(0);
      expect(row?.memory).toBeGreaterThanOrEqual(0);
    }
  });

  test("rejects a dimension that no input has", async () => {
    expect(await pith("bench", at("right.onnx"), "--dim", "seq=4")).toMatchObject({
      code: 2,
      err: 'E_NAME: No input has a dimension "seq", only batch.\n',
    });
  });
});

describe("without --max-drop", () => {
  const data = ["--data", at("points.csv")];

  test.each([
    ["prune", "--amount", "50%"],
    ["prune", "--amount", "100%"],
  ])("%s %s %s writes nothing after a significant loss, unless --max-drop or --force allows it", async (...words) => {
    rmSync(at("worse.onnx"), { force: true });
    const cut = [...words, at("mixed.onnx"), ...data, "-o", at("worse.onnx")];
    const rejected = await pith(...cut);
    expect(rejected).toMatchObject({ code: 1, out: "" });
    expect(rejected.err).toMatch(/^E_ACCURACY_LOST: .* layer "fc" .*\nhint: .*--max-drop.*--force/);
    expect(readdirSync(folder)).not.toContain("worse.onnx");
    const allowed = await pith(...cut, "--max-drop", "90%");
    expect(allowed).toMatchObject({ code: 0, out: expect.stringContaining("written: ") });
    expect(allowed.err).toMatch(/worse: accuracy is worse \(−\d+\.\d points\), which is statistically significant\.\n/);
    expect(await pith(...cut, "--force")).toMatchObject({
      code: 0,
      out: expect.stringContaining("change: accuracy went"),
    });
  });

  test("writes a result without a loss, without a warning", async () => {
    const kept = await pith("prune", at("right.onnx"), "--amount", "50%", ...data, "-o", at("worse.onnx"));
    expect(kept).toMatchObject({ code: 0, err: "" });
  });
});

describe("what a command prints", () => {
  test("prune prints a note about stored zeros, but not with --structured", async () => {
    const { out } = await pith("prune", at("right.onnx"), "--amount", "50%", "-o", at("note.onnx"));
    expect(out).toMatch(/\nThe zeros are stored\. .*--structured/);
    const cut = await pith("prune", at("hidden.onnx"), "--structured", "50%", "-o", at("note.onnx"));
    expect(cut.out).toMatch(/written: .*note\.onnx \(replaced\)/);
    expect(cut.out).not.toContain("zeros are stored");
  });

  test("prints a reason that several layers share once", async () => {
    const { out } = await pith("factorize", at("hidden.onnx"), "--rank", "2");
    expect(out).toMatch(/^unchanged \(2\):\n {2}fc1 and fc2: .+\n$/);
  });

  test.each([
    ["prune", "--amount", "50%"],
    ["prune", "--structured", "50%"],
    ["quantize", "--scheme", "weights"],
    ["factorize", "--rank", "1"],
  ])("%s %s %s reports why nothing in a model can change", async (...words) => {
    await save(
      parseModel("opset 21\ngraph (x: float32[batch, 2]) -> (y: float32[batch, 2]) {\n  y = Relu(x)\n}\n"),
      at("empty.onnx"),
    );
    const { code, out, err } = await pith(...words, at("empty.onnx"));
    expect(code).toBe(1);
    expect(out).toMatch(/^unchanged \(\d+\):\n {2}\w.+\n/);
    expect(err).toMatch(/^E_UNSUPPORTED: /m);
  });

  test("the help states the default of -o", async () => {
    expect((await pith("prune", "--help")).out).toContain("(default: model.pruned.onnx)");
    expect((await pith("quantize", "--help")).out).toMatch(
      /\(default: model\.int8-<scheme>\.onnx,\s+model_q4\.onnx;\s+for\s+a folder: <folder>\.quantized\)/,
    );
  });

  test("rejects invalid options before it reads data", async () => {
    const words = ["prune", at("right.onnx"), "--structured", "--data", at("no-such-data.csv")];
    expect(await pith(...words)).toMatchObject({ code: 2, err: expect.stringContaining("--amount is required") });
  });
});
