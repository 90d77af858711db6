/** Slow tests of messages and errors of `pith train`, `pith distill` and `pith recover`. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { json, pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();

const data = ["--data", at("points.csv")];
const quick = ["--epochs", "2", "--batch", "16", "--learning-rate", "0.05", "-o", at("trained.onnx")];

describe("--samples", () => {
  test("limits the training samples, of which --validation holds some out", async () => {
    const words = [at("zero.onnx"), ...data, ...quick, "--samples", "60"];
    const result = await json("train", ...words);
    expect(result).toMatchObject({ code: 0, training: { samples: 60 }, comparison: { candidate: { count: 60 } } });
    const { out } = await pith("train", ...words, "--validation", "10%", "--epochs", "20");
    expect(out).toMatch(
      /^fitted on 54, checked on 6, of points\.csv \(train, 60\) {2}tested on: points\.csv \(test, 60\)$/m,
    );
    expect(out).toMatch(/^trained: on 54 samples; .+ on 6 samples, the best of 21 evaluations$/m);
    const student = await json("distill", ...words, "--teacher", at("right.onnx"));
    expect(student).toMatchObject({ training: { samples: 60 } });
  });
});

describe("a recipe that trains", () => {
  const recipe = at("recipe.yaml");
  writeFileSync(recipe, "steps:\n  - train: { epochs: 2, batch: 16, learningRate: 0.05 }\n");

  test("trains on --samples samples that are not test samples, and names them", async () => {
    const words = ["compress", at("zero.onnx"), ...data, "-r", recipe, "--samples", "60", "--force", "-o", at("small")];
    const { out, code } = await pith(...words);
    expect(code).toBe(0);
    expect(out).toMatch(/^written: \S+model\.onnx .*recipe\.yaml$/m);
    expect(out).toMatch(/^trained on: points\.csv \(train, 60\) {2}tested on: points\.csv \(test, 60\)$/m);
    const run = JSON.parse(readFileSync(at("small/run.json"), "utf8"));
    expect(run.data).toMatchObject({ train: { count: 60 }, test: { count: 60 } });
    expect(run.data.train.sha256).not.toBe(run.data.test.sha256);
    expect((await pith(...words)).out).toMatch(/^written: .*recipe\.yaml \(replaced\)$/m);
  });
});

test("recover trains on a fifth of a single split, and is evaluated on the others", async () => {
  mkdirSync(at("one"));
  const rows = readFileSync(at("points.csv"), "utf8").trim().split("\n");
  const unlabelled = rows.map((row) => row.split(",").slice(0, 2).join(","));
  writeFileSync(at("one/test.csv"), `${unlabelled.join("\n")}\n`);
  const words = [at("near.onnx"), "--original", at("right.onnx"), "--data", at("one"), "-o", at("recovered.onnx")];
  const result = await json("recover", ...words);
  // Without labels, the original's predictions are the reference: the original agrees with itself, the input model does not.
  const { comparison, reference } = result as Record<string, Record<string, { value: number }>>;
  expect(reference).toMatchObject({ model: at("right.onnx"), isTruth: true, judges: false });
  expect(comparison?.original?.value).toBeLessThan(1);
  expect(comparison?.candidate?.value).toBeGreaterThan(comparison?.original?.value ?? 1);
  const { out, err } = await pith("recover", ...words);
  expect(out).toContain(`\nagreement: with ${at("right.onnx")}\n`);
  expect(out).toContain(`\nNo loss compared with ${at("near.onnx")}, at 95 % confidence.\n`);
  expect(err).toContain("60 samples to fit on, 20 to validate");
  // The result computes the same as the original, so it is not timed.
  expect(result).not.toHaveProperty("speed");
  expect(out).not.toMatch(/^(time|speed)/m);
  expect(result).toMatchObject({ code: 0, samples: { train: { count: 80 }, test: { count: 320 } } });
  expect(result.samples).not.toHaveProperty("calibrate");
});

describe("train of a pruned model", () => {
  const words = [
    "train",
    at("thin.onnx"),
    ...data,
    "--epochs",
    "1",
    "--learning-rate",
    "1e-6",
    "-o",
    at("thin.trained.onnx"),
  ];
  const [command = "", ...rest] = words;
  const original = ["--original", at("hidden.onnx")];

  const pruned = async (share: string) =>
    expect(
      await pith("prune", at("hidden.onnx"), "--structured", share, "--force", "-o", at("thin.onnx")),
    ).toMatchObject({ code: 0 });

  test("with --original is evaluated against it, so that the loss of pruning counts", async () => {
    await pruned("75%");
    const { code, err } = await pith(...words, ...original);
    expect(code).toBe(1);
    expect(err).not.toContain("swapped");
    // Training with the rate 1e-6 changes nothing, so pruning caused the loss.
    expect(err).toMatch(
      /\nhint: Train longer \(--epochs\), start from a model that lost less than \S+thin\.onnx, allow more \(--max-drop\), or write it anyway: --force\.\n$/,
    );
    expect(err).toMatch(
      /Nothing is written if accuracy is worse than the 100\.0 % of \S+hidden\.onnx by more than 1\.0 points/,
    );
    expect(err).toMatch(/\nE_ACCURACY_LOST: Against \S+hidden\.onnx, accuracy went from 100\.0 % to /);
    const forced = await pith(...words, ...original, "--force");
    expect(forced.out).toMatch(/^lost: .*accuracy went from 100\.0 % to .*; written anyway \(--force\)$/m);
    expect(forced.out).not.toContain("Give --original");
    expect(await json(command, ...rest, ...original, "--force")).toMatchObject({
      against: at("hidden.onnx"),
      reference: { model: at("hidden.onnx"), judges: true, comparison: { original: { value: 1 } } },
      verdict: { met: false },
    });
  });

  test("reports swapped models before training, with the command in the right order", async () => {
    await pruned("60%");
    const [originalPath, thin] = [at("hidden.onnx"), at("thin.onnx")];
    const runs = [
      ["recover", thin, originalPath],
      ["train", thin, originalPath, "--epochs", "1", "--learning-rate", "1e-6"],
    ] as const;
    for (const [command, result, before, ...settings] of runs) {
      const buildWords = (model: string, reference: string) => [
        command,
        model,
        "--original",
        reference,
        ...data,
        ...settings,
        "--force",
      ];
      const { err } = await pith(...buildWords(before, result), "-o", at("swapped.onnx"));
      const expectedWarning = `swapped: "${result}" was given as the original, and looks like a result of "${before}": its channels were cut by Pith. Did you mean: pith ${command} ${result} --original ${before}\n`;
      expect(err.startsWith(expectedWarning)).toBe(true);
      expect(err.match(/swapped:/g)).toHaveLength(1);
    }
  });
});

describe("distill", () => {
  test("does not resume with another temperature", async () => {
    const words = ["distill", at("zero.onnx"), "--teacher", at("right.onnx"), ...data, ...quick];
    expect((await pith(...words, "--checkpoint", at("student"))).code).toBe(0);
    const { code, err } = await pith(...words, "--checkpoint", at("student"), "--resume", "--temperature", "8");
    expect(code).toBe(2);
    expect(err).toContain("was trained with --temperature 4, not 8.");
  });
});
