/** Slow tests of quantize, factorize, distill and train; see commands-techniques.test.ts. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { keptChannelsKey } from "../../../src/core/analysis/provenance.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { expectNothingGained } from "./nothing-gained.ts";
import { json, pith, program } from "./run.ts";
import { samples, smallModels } from "./small-models.ts";

const { at, folder } = smallModels();

describe("quantize", () => {
  const data = ["--data", at("points.csv")];

  test("counts weights in Constant nodes as parameters, before and after", async () => {
    const model = parseModel(`opset 21
graph (features: float32[batch, 2]) -> (logits: float32[batch, 2]) {
  w = Constant() {value=float32[2, 2] [1, 0, 0, 1]}
  logits = MatMul "fc" (features, w)
}`);
    await save(model, at("constant.onnx"));
    const result = await json(
      "quantize",
      at("constant.onnx"),
      "--scheme",
      "weights",
      "--force",
      "-o",
      at("constant.int8.onnx"),
    );
    expect(result).toMatchObject({ code: 0, before: { parameters: 4 } });
    const recipe = at("weights.yaml");
    writeFileSync(recipe, "version: 1\nsteps:\n  - quantize: { scheme: weights }\n");
    const words = ["-r", recipe, ...data, "-o", at("constant-out"), "--force"];
    expect(await json("compress", at("constant.onnx"), ...words)).toMatchObject({ original: { parameters: 4 } });
    for (const name of ["constant.onnx", "constant.int8.onnx", "weights.yaml"]) rmSync(at(name));
  });
});

test("quantize --scheme dynamic of a tiny share writes nothing and exits with 1", async () => {
  await expectNothingGained(at("mostly.onnx"), ["quantize", "--scheme", "dynamic"]);
}, 120_000);

test("factorize of a tiny share of a model writes nothing and exits with 1", async () => {
  await expectNothingGained(at("mostly.onnx"), ["factorize", "--rank", "1"]);
});

describe("factorize and distill", () => {
  test("distill learns from a teacher alone", async () => {
    const words = [
      "--teacher",
      at("right.onnx"),
      "--alpha",
      "1",
      "--epochs",
      "20",
      "--batch",
      "16",
      "--learning-rate",
      "0.05",
    ];
    const out = at("student.onnx");
    const result = await json("distill", at("zero.onnx"), "--data", at("points.csv"), ...words, "-o", out);
    expect(result).toMatchObject({ code: 0, written: out });
    const { candidate } = result.comparison as Record<string, { value: number }>;
    expect(candidate?.value).toBeGreaterThan(0.9);
  });

  test("distill warns before training if the teacher is at chance level", async () => {
    const words = ["--teacher", at("zero.onnx"), "--data", at("points.csv"), "--epochs", "1", "--force"];
    const { err } = await pith("distill", at("near.onnx"), ...words, "-o", at("misled.onnx"));
    expect(err).toMatch(/the teacher \S*zero\.onnx scores [\d.]+ % by the labels, .*: check the order of its classes/);
    const right = await pith(
      "distill",
      at("zero.onnx"),
      "--teacher",
      at("right.onnx"),
      ...words.slice(2),
      "-o",
      at("led.onnx"),
    );
    expect(right.err).not.toContain("always predicting");
    const untrained = `${at("zero.onnx")} begins no better than chance, as an untrained network does; if it was trained,`;
    expect(right.err).toContain(untrained);
    expect(err).not.toContain("begins no better");
  });

  test("distill requires neither labels, nor splits, nor samples", async () => {
    const table = at("unlabelled_test.csv");
    writeFileSync(
      table,
      `a,b\n${Array.from({ length: 100 }, (_, at) => `${Math.sin(at)},${Math.cos(1.3 * at)}`).join("\n")}\n`,
    );
    const words = ["--teacher", at("hidden.onnx"), "--shrink", "50%", "--epochs", "1", "-o", at("taught.onnx")];
    const tableRun = await pith("distill", ...words, "--data", table);
    expect(tableRun.err).toMatch(
      /loss: 1 \* hinton\(temperature=4\), because .* scores classes .*; the training samples have no labels/,
    );
    expect(tableRun.out).toMatch(
      /^trained on: unlabelled_test\.csv \(train, 80\) {2}tested on: unlabelled_test\.csv \(test, 20\)$/m,
    );
    expect(tableRun.out).toMatch(/^agreement +100\.0 % /m);
    const none = await pith("distill", ...words, "--data", "random", "--samples", "50");
    expect(none).toMatchObject({ code: 0, err: expect.stringContaining("random inputs are used instead of samples") });
    expect(none.out).toMatch(
      /^trained on: random inputs \(50\) {2}tested on: random inputs \(50; 50 others for training\)$/m,
    );
  });

  test("--calibration-samples sets the samples of factorize, and does not change its test samples", async () => {
    const table = at("labelled_test.csv");
    writeFileSync(table, readFileSync(at("points.csv")));
    const words = ["factorize", at("hidden.onnx"), "--rank", "1", "--data", table, "--force", "--samples", "100"];
    const result = async (...more: string[]) => json(...words, ...more, "-o", at("seen.onnx"));
    const whitening = ["--activations", "whitening"];
    const [none, usual, more] = [
      await result(),
      await result(...whitening),
      await result(...whitening, "--calibration-samples", "250"),
    ];
    const counts = [none, usual, more].map(
      ({ samples }) => (samples as { calibrate?: { count: number } }).calibrate?.count,
    );
    expect(counts).toEqual([undefined, 64, 250]);
    const original = [none, usual, more].map(({ comparison }) => (comparison as { original: unknown }).original);
    expect(original).toEqual([original[0], original[0], original[0]]);
  });
});

describe("train", () => {
  const data = ["--data", at("points.csv")];

  test("Ctrl-C stops the real program with exit code 130 and leaves no partial file", async () => {
    const names = readdirSync(folder);
    const words = ["train", at("zero.onnx"), ...data, "--epochs", "1000000", "-o", at("never.onnx")];
    const child = spawn(process.execPath, [program, ...words]);
    const beginning = "epoch 1/";
    let err = "";
    child.stderr.on("data", (text) => {
      const begun = err.includes(beginning);
      err += text;
      // After a second signal, the program would not wait for the job to end.
      if (!begun && err.includes(beginning)) child.kill("SIGINT");
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect(code).toBe(130);
    expect(err).toMatch(/\nE_STOPPED: [^\n]+ Nothing was kept\.\nhint: --checkpoint <folder> saves [^\n]+\n$/);
    expect(readdirSync(folder)).toEqual(names);
  });
});

describe("quantize", () => {
  test("warns if fewer calibration samples are available than requested", async () => {
    const out = at("calibrated.onnx");
    const words = [
      "quantize",
      at("right.onnx"),
      "--scheme",
      "static",
      "--data",
      at("points.csv"),
      "--force",
      "-o",
      out,
    ];
    const more = await pith(...words, "--calibration-samples", "2000");
    expect(more.err).toMatch(
      /^calibration: 80 samples of the 2,000 asked for: the others are for training or evaluation$/m,
    );
    expect((await pith(...words, "--calibration-samples", "20")).err).not.toContain("asked for");
    rmSync(out);
  });
});

describe("factorize and distill", () => {
  test("distill trains an embedding model on samples with labels, without using the labels", async () => {
    const model = parseModel(`opset 21
graph (features: float32[batch, 2]) -> (last_hidden_state: float32[batch, 3, 4]) {
  up.weight: float32[2, 6] parameter = [[1, 2, 3, -4, 5, 6], [2, -1, 3, 1, 4, -2]]
  down.weight: float32[6, 12] parameter = [${Array.from({ length: 6 }, (_, row) => `[${Array.from({ length: 12 }, (_, column) => ((7 * row + 5 * column) % 11) - 5).join(", ")}]`).join(", ")}]
  places: int64[3] = [0, 3, 4]
  up = MatMul (features, up.weight)
  bent = Relu(up)
  flat = MatMul (bent, down.weight)
  last_hidden_state = Reshape (flat, places)
}`);
    await save(model, at("embedder.onnx"));
    const words = ["--teacher", at("embedder.onnx"), "--shrink", "30%", "--epochs", "1", "-o", at("embeds.onnx")];
    const { code, out, err } = await pith("distill", ...words, "--data", at("points.csv"));
    expect(err).toMatch(
      /the labels of \S*points\.csv \(test\) are not used, because the model's output is an embedding/,
    );
    expect(err).toContain("loss: embedding");
    expect({ code, out }).toMatchObject({ code: 0, out: expect.stringMatching(/^cosine /m) });
  });

  test("names the reference of a result of Pith, and the command against the first original", async () => {
    const words = ["--scheme", "static", "--force", "--data", at("points.csv")];
    const first = await pith("quantize", at("right.onnx"), ...words, "-o", at("first.onnx"));
    expect(first.out).not.toContain("first original");
    const changed = await open(at("right.onnx"));
    changed.header.metadata.set(keptChannelsKey, "{}");
    await save(changed, at("step.onnx"));
    const { out } = await pith("quantize", at("step.onnx"), ...words, "-o", at("second.onnx"));
    const command = `pith eval ${at("second.onnx")} --original original.onnx --data ${at("points.csv")}`;
    expect(out).toContain(`change: compared with ${at("step.onnx")}: `);
    expect(out).toContain(`\nnext: ${command}  # the first original\n`);
  });

  test("--samples limits what distill trains and tests on; labels are for the test only", async () => {
    const table = at("labelled_test.csv");
    writeFileSync(table, readFileSync(at("points.csv")));
    const words = ["--teacher", at("right.onnx"), "--data", table, "--epochs", "1", "--force", "--samples", "30"];
    const { err, out } = await pith("distill", at("zero.onnx"), ...words, "-o", at("few.onnx"));
    expect(out).toMatch(
      /^trained on: labelled_test\.csv \(train, 30\) {2}tested on: labelled_test\.csv \(test, 30\)$/m,
    );
    expect(err).toContain(`${table} has one part: its labels are used for testing, not for training`);
    expect(err).toContain("; the training samples have no labels");
    const labelled = await pith("distill", at("zero.onnx"), ...words, "--alpha", "0.1", "-o", at("alpha.onnx"));
    expect(labelled.err).toContain('E_DATA: The training samples have no "label".');
    expect(out).toMatch(/^accuracy /m);
  });
});

describe("train", () => {
  const data = ["--data", at("points.csv")];

  test("improves a model, writes it, and keeps the original unchanged", async () => {
    const before = readFileSync(at("zero.onnx"));
    const out = at("learned.onnx");
    const result = await json(
      "train",
      at("zero.onnx"),
      ...data,
      "-o",
      out,
      "--epochs",
      "20",
      "--batch",
      "16",
      "--learning-rate",
      "0.05",
    );
    expect(result).toMatchObject({ code: 0, written: out });
    const { original, candidate } = result.comparison as Record<string, { value: number; count: number }>;
    expect(original?.value).toBeLessThan(0.7);
    expect(candidate?.value).toBeGreaterThan(0.9);
    // A fifth of the file is used for the test.
    expect(candidate?.count).toBe(samples / 5);
    expect(readFileSync(at("zero.onnx"))).toEqual(before);
    expect((await open(out)).graph.value("fc.weight")?.tensor?.dims).toEqual([2, 2]);
  });
});

describe("factorize and distill", () => {
  test("distill evaluates further teachers, warns of one at chance, and rejects duplicates", async () => {
    const words = [
      "distill",
      at("near.onnx"),
      "--data",
      at("points.csv"),
      "--epochs",
      "1",
      "--force",
      "-o",
      at("led.onnx"),
    ];
    const teachers = (further: string): string[] => ["--teacher", at("right.onnx"), "--other-teachers", further];
    const { err } = await pith(...words, ...teachers(`${at("hidden.onnx")},${at("zero.onnx")}`));
    expect(err).toMatch(/^the teacher \S*hidden\.onnx: accuracy 100\.0 %$/m);
    expect(err).toMatch(/^chance: the teacher \S*zero\.onnx scores /m);
    expect(err).not.toMatch(/the teacher \S*hidden\.onnx scores/);
    expect(await pith(...words, ...teachers(at("right.onnx")))).toMatchObject({
      code: 2,
      err: expect.stringContaining("right.onnx is named twice: each teacher has the same weight."),
    });
    expect(await pith(...words, ...teachers(at("none.onnx")))).toMatchObject({
      code: 1,
      err: expect.stringContaining("none.onnx"),
    });
  });

  test("distill derives a narrower student from its teacher, and prints the teacher's accuracy", async () => {
    const words = ["--teacher", at("hidden.onnx"), "--shrink", "50%", "--data", at("points.csv"), "--epochs", "3"];
    const { code, out, err } = await pith("distill", ...words);
    expect(code).toBe(0);
    expect(err).toContain("student: 2 layers (teacher: 2), 12 of 22 parameters (54.5 %)");
    expect(err).toMatch(/^the student before training: accuracy [\d.]+ %, after it [\d.]+ %$/m);
    expect(out).toMatch(/^ {2}fc1: 2 of 4 channels cut$/m);
    expect(out).toMatch(/^accuracy +100\.0 %/m);
    expect(out).toContain(`written: ${at("hidden.distilled.onnx")}`);
    expect((await json("inspect", at("hidden.distilled.onnx"))).parameters).toBe(12);
  });
});
