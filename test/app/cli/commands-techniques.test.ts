/** Tests quantize, factorize, distill and train on models whose predictions are known. */
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { expectNothingGained } from "./nothing-gained.ts";
import { json, pith } from "./run.ts";
import { samples, smallModels } from "./small-models.ts";

const { at, folder } = smallModels();

describe("quantize", () => {
  const data = ["--data", at("points.csv")];

  test("without data, writes the changed model and prints its bytes", async () => {
    const out = at("right.int8-weights.onnx");
    const result = await json("quantize", at("right.onnx"), "--scheme", "weights", "--force");
    expect(result).toMatchObject({ code: 0, written: out, changes: [{ at: "fc" }] });
    expect(result.before).toMatchObject({ parameters: 6, macs: "4*batch" });
    expect(result.comparison).toBeUndefined();
    expect(await json("eval", out, ...data)).toMatchObject({ figures: [{ estimate: { value: 1 } }] });
    const again = await pith("quantize", at("right.onnx"), "--scheme", "weights", "--force");
    expect(again.out).toMatch(
      /\nwritten: .*right\.int8-weights\.onnx \(replaced\)\nchange: accuracy was not measured \(add --data\)\nnext: pith eval .*int8-weights\.onnx --original .*right\.onnx --data SAMPLES\n$/,
    );
    rmSync(out);
  });

  test("estimates the size after brotli of a large model, and says so", async () => {
    const values = Array.from({ length: 400 * 400 }, (_, index) => Math.fround(Math.sin(index)));
    const text = `opset 21
graph (x: float32[batch, 400]) -> (y: float32[batch, 400]) {
  w: float32[400, 400] parameter = [${values.join(", ")}]
  y = MatMul "fc" (x, w)
}
`;
    await save(parseModel(text), at("large.onnx"));
    const { out } = await pith("quantize", at("large.onnx"), "--scheme", "float16");
    expect(out).toMatch(/\ngzip +\d.*\nbrotli \(estimated\) +\d/);
    rmSync(at("large.float16.onnx"));
  });

  test.each(["weights", "dynamic", "float16"])(
    "%s evaluates on all samples and calibrates with none",
    async (scheme) => {
      const rows = at("rows_dev.mjs");
      writeFileSync(
        rows,
        "export function* test() { yield { features: [[2, 1], [1, 2], [3, 0], [0, 3]], label: [0, 1, 0, 1] }; }",
      );
      const out = at("rows.onnx");
      const result = await json("quantize", at("right.onnx"), "--scheme", scheme, "--data", rows, "--force", "-o", out);
      expect(result).toMatchObject({
        code: 0,
        samples: { test: { name: rows } },
        comparison: { original: { count: 4 } },
      });
      expect(result.samples).not.toHaveProperty("calibrate");
      const printed = await pith(
        "quantize",
        at("right.onnx"),
        "--scheme",
        scheme,
        "--data",
        rows,
        "--force",
        "-o",
        out,
      );
      expect(printed.out).not.toContain("calibrated on");
      rmSync(out);
    },
  );

  test("fails for a model without outputs, and writes nothing", async () => {
    const model = parseModel("opset 21\ngraph (x: float32[n, 2]) -> (y: float32[n, 2]) {\n  y = Relu(x)\n}");
    model.graph.setOutputs([]);
    const out = at("nothing.onnx");
    await save(model, at("no-outputs.onnx"));
    for (const command of [["quantize", "--scheme", "weights"], ["simplify"]]) {
      const { code, err } = await pith(...command, at("no-outputs.onnx"), "-o", out, "--force");
      expect(code).toBe(1);
      expect(err).toMatch(/^E_MODEL: ".*no-outputs\.onnx" has no outputs/);
    }
    expect(readdirSync(folder)).not.toContain("nothing.onnx");
    rmSync(at("no-outputs.onnx"));
  });

  test("quantize --scheme weights of a tiny share writes nothing and exits with 1", async () => {
    await expectNothingGained(at("mostly.onnx"), ["quantize", "--scheme", "weights"]);
  });

  test("prune with a larger drop than --max-drop writes nothing, unless forced", async () => {
    const names = readdirSync(folder);
    // An interval from samples never excludes every drop above 0.
    const words = ["prune", at("right.onnx"), ...data, "--amount", "50%", "--max-drop", "0", "--strict"];
    const { code, out: output, err } = await pith(...words);
    expect({ code, out: output }).toEqual({ code: 1, out: "" });
    expect(err).toMatch(/^E_ACCURACY_LOST: .*\nhint: Evaluate it on more samples, or without --strict, /m);
    expect(readdirSync(folder)).toEqual(names);
    const out = at("forced.onnx");
    expect(await json(...words, "--force", "-o", out)).toMatchObject({ code: 1, written: out });
  });
});

describe("quantize --scheme static", () => {
  test("fails without data as wrong usage, and names what is missing", async () => {
    const { code, out, err } = await pith("quantize", at("right.onnx"), "--scheme", "static");
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toMatch(/^E_OPTION: quantize needs --data here: the ranges of activations .*\nhint: .*--data/);
  });

  test("measures ranges on samples that are not test samples", async () => {
    const out = at("static.onnx");
    const words = ["--scheme", "static", "--data", at("points.csv"), "--force", "-o", out];
    const result = await json("quantize", at("hidden.onnx"), ...words);
    expect(result).toMatchObject({ code: 0, written: out });
    const { candidate } = result.comparison as Record<string, { value: number; count: number }>;
    // The ranges use a fifth of the samples.
    expect(candidate?.count).toBe((4 * samples) / 5);
    expect(candidate?.value).toBeGreaterThan(0.95);
    expect(Object.keys((await json("inspect", out)).operators as object)).toContain("QuantizeLinear");
  });
});

describe("factorize and distill", () => {
  test("factorize writes nothing and exits with 1 if no layer would become smaller", async () => {
    const names = readdirSync(folder);
    const { code, out, err } = await pith("factorize", at("right.onnx"), "--rank", "1");
    expect(code).toBe(1);
    expect(out).toMatch(/^unchanged \(1\):\n {2}fc: .+\n$/);
    expect(err).toMatch(/^E_UNSUPPORTED: .+\nhint: pith inspect .* shows what is in the model\.$/m);
    expect(readdirSync(folder)).toEqual(names);
  });

  test("distill warns and exits with 1 if the student lost the teacher's accuracy", async () => {
    const words = ["--teacher", at("hidden.onnx"), "--shrink", "50%", "--data", at("points.csv"), "--epochs", "1"];
    const { code, out, err } = await pith("distill", ...words, "--learning-rate", "1000", "-o", at("ruined.onnx"));
    expect(code).toBe(1);
    expect(out).toMatch(/^next: .* distill .*ruined\.onnx --teacher .*hidden\.onnx --data .* --epochs 20 /m);
    expect(err).toMatch(
      /^lost: accuracy falls from 100\.0 % to .*; a constant prediction would reach .*\)\. Train longer \(--epochs\), cut less, or try another --learning-rate\.$/m,
    );
  });

  test("distill rejects a student that is the teacher", async () => {
    const words = ["--teacher", at("right.onnx"), "--data", at("points.csv"), "--epochs", "1", "--force"];
    const out = ["-o", at("named.onnx")];
    for (const itself of [[], [at("right.onnx")]])
      expect(await pith("distill", ...itself, ...words, ...out)).toMatchObject({
        code: 2,
        err: expect.stringContaining(
          "E_OPTION: The teacher and the student are the same model: there is nothing to learn.\nhint: Set --shrink or --keep-layers",
        ),
      });
    expect(await pith("distill", "--data", at("points.csv"))).toMatchObject({
      code: 2,
      err: expect.stringContaining("No model is named"),
    });
  });
});

describe("files besides the model and the result", () => {
  test("distill does not overwrite any of its teachers", async () => {
    const teachers = ["--teacher", at("right.onnx"), "--other-teachers", `${at("mixed.onnx")},${at("near.onnx")}`];
    const words = [...teachers, "--data", at("points.csv"), "--epochs", "1", "--force"];
    expect(await pith("distill", at("zero.onnx"), ...words, "-o", at("near.onnx"))).toMatchObject({
      code: 2,
      err: expect.stringContaining("is the file of --other-teachers: the result would overwrite it."),
    });
  });
});

describe("train", () => {
  const data = ["--data", at("points.csv")];

  test.each([
    [[], "E_USAGE: train needs --data."],
    [[...data, "--epochs", "0"], "E_OPTION: "],
    [[...data, "--optimizer", "adamm"], 'E_OPTION: --optimizer: expected "adam", "adamw" or "sgd"'],
    [[...data, "-o", at("zero.onnx")], "is the model itself"],
  ])("rejects %j as wrong usage, and writes nothing", async (words, message) => {
    const names = readdirSync(folder);
    const { code, err } = await pith("train", at("zero.onnx"), ...words);
    expect(err).toContain(message);
    expect(code).toBe(2);
    expect(readdirSync(folder)).toEqual(names);
  });

  test("rejects a result that cannot be written before any work", async () => {
    const { code, err } = await pith("train", at("zero.onnx"), ...data, "-o", at("none/out.onnx"));
    expect({ code, err }).toMatchObject({ code: 1, err: expect.stringContaining("E_FILE: ") });
  });
});
