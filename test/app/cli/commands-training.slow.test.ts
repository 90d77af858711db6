/** Slow tests of messages and errors of `pith train`, `pith distill` and `pith recover`. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { json, pith } from "./run.ts";
import { hidden, smallModels } from "./small-models.ts";

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
      /^fitted on 54 and checked on 6 samples of points\.csv \(train, 60\) {2}tested on: points\.csv \(test, 60\)$/m,
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

test("recover trains on most of a small single split, and is evaluated on the others", async () => {
  mkdirSync(at("one"));
  const rows = readFileSync(at("points.csv"), "utf8").trim().split("\n");
  const unlabelled = rows.map((row) => row.split(",").slice(0, 2).join(","));
  writeFileSync(at("one/test.csv"), `${unlabelled.join("\n")}\n`);
  const words = [at("near.onnx"), "--original", at("right.onnx"), "--data", at("one"), "-o", at("recovered.onnx")];
  const result = await json("recover", ...words);
  // Without labels, the original's predictions are the reference: the original agrees with itself, the input model does not.
  const { comparison, reference } = result as Record<string, Record<string, { value: number }>>;
  expect(reference).toMatchObject({ model: at("right.onnx"), isTruth: true, isGoalBaseline: false });
  expect(comparison?.original?.value).toBeLessThan(1);
  expect(comparison?.candidate?.value).toBeGreaterThan(comparison?.original?.value ?? 1);
  const { out, err } = await pith("recover", ...words);
  expect(out).toContain(`\nagreement: with ${at("right.onnx")}\n`);
  expect(out).toContain(`\nchange: compared with ${at("near.onnx")}: gained `);
  expect(err).toContain("split at random into 250 for training and 150 for the test");
  // The result computes the same as the original, so it is not timed.
  expect(result).not.toHaveProperty("speed");
  expect(out).not.toMatch(/^(time|speed)/m);
  expect(result).toMatchObject({ code: 0, samples: { train: { count: 250 }, test: { count: 150 } } });
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
      /\nhint: Train longer \(--epochs\), or start from a model that lost less than \S+thin\.onnx, or allow more \(--max-drop\)\. --force writes it anyway\.\n$/,
    );
    expect(err).toMatch(
      /Nothing is written if accuracy is worse than the 100\.0 % of \S+hidden\.onnx by more than 1\.0 points/,
    );
    expect(err).toMatch(/\nE_ACCURACY_LOST: Against \S+hidden\.onnx, accuracy went from 100\.0 % to /);
    const forced = await pith(...words, ...original, "--force");
    expect(forced.out).toMatch(/^change: .*; written anyway \(--force\)$/m);
    expect(forced.out).not.toContain("Give --original");
    expect(await json(command, ...rest, ...original, "--force")).toMatchObject({
      against: at("hidden.onnx"),
      reference: { model: at("hidden.onnx"), isGoalBaseline: true, comparison: { original: { value: 1 } } },
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

test("warns if the model is much better on validation samples than on test samples", async () => {
  const folder = at("seen");
  mkdirSync(folder, { recursive: true });
  const rows = readFileSync(at("points.csv"), "utf8").trim().split("\n").slice(1);
  // Every third label of the test samples is wrong.
  const wrong = rows
    .slice(200)
    .map((row, at) => (at % 3 === 0 ? row.replace(/[01]$/, (label) => `${1 - Number(label)}`) : row));
  writeFileSync(at("seen/train.csv"), ["a,b,label", ...rows.slice(0, 200)].join("\n"));
  writeFileSync(at("seen/test.csv"), ["a,b,label", ...wrong].join("\n"));
  const words = [
    "train",
    at("right.onnx"),
    "--epochs",
    "1",
    "--force",
    "-o",
    at("seen.onnx"),
    "--validation",
    "50%",
    "--data",
  ];
  const warning =
    "before training, accuracy is 100.0 % on validation samples and 66.5 % on the test samples: the model, or its original, was trained on the former, and they may not show which weights are best; use other data for --validation, or train without it";
  expect((await pith(...words, folder)).err).toContain(warning);
  expect((await pith(...words, at("points.csv"))).err).not.toContain("before training, accuracy");
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

  const pruned = async (share: string) =>
    expect(
      await pith("prune", at("hidden.onnx"), "--structured", share, "--force", "-o", at("thin.onnx")),
    ).toMatchObject({ code: 0 });

  test("is evaluated against the input model, and advises to give --original", async () => {
    await pruned("60%");
    const { out } = await pith(...words);
    expect(out).toMatch(
      /^change: compared with \S+thin\.onnx \([\d.]+ %\): .*; goal: lose at most 1\.0 points\)\. .*\. Give --original to compare with the model before pruning\.$/m,
    );
    expect(await json(command, ...rest)).toMatchObject({ against: at("thin.onnx"), pruned: true });
    const unprunedReport = await json("train", at("hidden.onnx"), ...rest.slice(1));
    expect(unprunedReport).toMatchObject({ against: at("hidden.onnx") });
    expect(unprunedReport).not.toHaveProperty("pruned");
  });
});

describe("--checkpoint", () => {
  test("--checkpoint requires an empty folder, or --resume with the same training and model", async () => {
    const folder = at("kept");
    const words = ["train", at("hidden.onnx"), ...data, ...quick, "--max-drop", "50%", "--checkpoint", folder];
    expect((await pith(...words)).code).toBe(0);
    const before = readFileSync(`${folder}/last.onnx`);
    const again = await pith(...words);
    expect(again.err).toMatch(
      /^E_FILE: ".*kept" has the checkpoint of an earlier .*\.\nhint: --resume continues it; name another folder to start over\.\n$/,
    );
    expect(again.code).toBe(1);
    const other = await pith(...words, "--resume", "--weight-decay", "0.1");
    expect(other.err).toContain('last.onnx" was trained without --weight-decay, not with 0.1.');
    expect(other.err).toContain("; --epochs may be larger.");
    expect(other.err).not.toContain("continued after");
    const model = await pith("train", at("zero.onnx"), ...data, ...quick, "--checkpoint", folder, "--resume");
    expect(model.err).toContain("is a checkpoint of another model, or of other values that are not trained");
    expect(readFileSync(`${folder}/last.onnx`)).toEqual(before);
    const longer = await pith(...words, "--epochs", "3", "--resume");
    expect(longer.err).toMatch(/^.*continued after 40 steps$/m);
    // A finished half cosine restarts at the rate after two of three epochs.
    expect(longer.err).toMatch(
      /started as a training of 2 epochs, continued as one of 3: .* at 25 % of its peak, .* not at 0 %/,
    );
    expect(longer.code).toBe(0);
    const trained = readFileSync(at("trained.onnx"));
    const shorter = await pith(...words, "--epochs", "1", "--resume");
    expect(shorter.err).toMatch(/has done 3 of 1 epochs: nothing is trained, and its weights are the result$/m);
    expect(shorter.code).toBe(0);
    expect(readFileSync(at("trained.onnx"))).toEqual(trained);
    const same = await pith(...words, "--epochs", "3", "--resume");
    expect(same.err).toMatch(/has done 3 of 3 epochs: nothing is trained/);
  });
});

describe("techniques of training", () => {
  test("together train a model: frozen layers, accumulation, warm-up, clipping", async () => {
    const out = at("all.onnx");
    const words = ["--epochs", "12", "--batch", "8", "--accumulate", "2", "--clip", "1"];
    const shape = ["--schedule", "linear", "--warmup", "10%", "--learning-rate", "0.1", "--optimizer", "adamw"];
    await save(parseModel(hidden.replace("[[1, 0, 1, 0], [0, 1, 0, 1]]", "zeros")), at("empty.onnx"));
    const result = await json("train", at("empty.onnx"), ...data, ...words, ...shape, "--except", "fc1", "-o", out);
    expect(result).toMatchObject({ code: 0, written: out, training: { samples: 320 } });
    const { original, candidate } = result.comparison as Record<string, { value: number }>;
    expect(original?.value).toBeLessThan(0.7);
    expect(candidate?.value).toBeGreaterThan(0.9);
    const tensor = async (file: string, name: string) =>
      (await (await open(file)).graph.value(name)?.tensor?.read())?.data;
    expect(await tensor(out, "fc1.weight")).toEqual(await tensor(at("empty.onnx"), "fc1.weight"));
    expect(await tensor(out, "fc2.weight")).not.toEqual(await tensor(at("empty.onnx"), "fc2.weight"));
  });
});

describe("progress and result", () => {
  test("name each value, and the evaluation that selected the weights", async () => {
    const words = [at("zero.onnx"), ...data, ...quick, "--validation", "10%"];
    const { err, out } = await pith("train", ...words);
    expect(err).toMatch(/after 18 steps: validation accuracy \d+\.\d\d %/);
    expect(err).toMatch(/epoch 1\/2 {2}training loss 0\.\d{4}/);
    expect(out).toMatch(
      /^trained: on 288 samples; the weights are those after \d+ steps: validation accuracy .+ on 32 samples, the best of 3 evaluations$/m,
    );
    const chosen = await json("train", ...words, "--metric", "cross-entropy");
    expect(chosen).toMatchObject({ training: { chosen: { by: "cross-entropy", evaluations: 3 } } });
  });

  test("measures a loss only if the original is above chance", async () => {
    await save(
      parseModel(hidden.replace("fc2.bias: float32[2] parameter = zeros", "fc2.bias: float32[2] parameter = [9, 0]")),
      at("one-answer.onnx"),
    );
    const words = [...data, "--samples", "40", "--epochs", "1", "--learning-rate", "1e-9", "-o", at("trained.onnx")];
    const knows = await pith("train", at("hidden.onnx"), ...words);
    expect(knows.out).toMatch(
      /^change: compared with \S+\.onnx: accuracy is unchanged \(.*; goal: lose at most 1\.0 points\)\. .* larger loss\. \d+ of the \d+ samples were not used \(--samples \d+ uses all\)\.$/m,
    );
    const few = await pith(
      "eval",
      at("mixed.onnx"),
      "--original",
      at("right.onnx"),
      ...data,
      "--samples",
      "40",
      "--max-drop",
      "5%",
    );
    expect(few.out).toMatch(
      /(could be chance; |larger loss\. ).*\d+ of the \d+ samples were not used \(--samples \d+ .*\)\.$/m,
    );
    const knowsNothing = await pith("train", at("one-answer.onnx"), ...words);
    expect(knowsNothing).toMatchObject({ code: 0, out: expect.stringContaining("written: ") });
    expect(knowsNothing.out).not.toContain("goal: ");
    expect(knowsNothing.err).not.toContain("Nothing is written if");
  });

  test("names the flags of metric and loss in hints if labels are numbers", async () => {
    const sums = `opset 21
graph (features: float32[batch, 2]) -> (sum: float32[batch, 1]) {
  fc.weight: float32[1, 2] parameter = [[0.9, 0.4]]
  sum = Gemm "fc" (features, fc.weight) {transB=1}
}`;
    await save(parseModel(sums), at("sums.onnx"));
    const rows = Array.from(
      { length: 60 },
      (_, row) => `${(row % 11) / 8},${(row % 7) / 8},${(row % 11) / 8 + (row % 7) / 16}`,
    );
    writeFileSync(at("sums.csv"), `a,b,label\n${rows.join("\n")}\n`);
    const words = ["train", at("sums.onnx"), "--data", at("sums.csv"), ...quick];
    const first = await pith(...words);
    expect(first.err).toMatch(/\nhint: .*: --metric mean-squared-error, .* To train on them: --loss mse\.\n$/);
    const second = await pith(...words, "--metric", "mean-squared-error");
    expect(second.err).toMatch(/\nhint: For numbers as labels: --loss mse; for labels 0 and 1: --loss binary; .*\n$/);
    expect(await pith(...words, "--metric", "mean-squared-error", "--loss", "mse")).toMatchObject({ code: 0 });
    // A command without training has no --loss.
    expect((await pith("eval", at("sums.onnx"), "--data", at("sums.csv"))).err).not.toContain("loss");
  });

  test("trains a model with a fixed batch size with batches of that size", async () => {
    const fixed = hidden
      .replaceAll("batch", "8")
      .replace("  between", "  to: int64[2] = [8, 2]\n  same = Reshape(features, to)\n  between")
      .replace("(features, fc1", "(same, fc1");
    await save(parseModel(fixed), at("fixed.onnx"));
    const { code, err } = await pith(
      "train",
      at("fixed.onnx"),
      ...data,
      "--epochs",
      "1",
      "--force",
      "-o",
      at("trained.onnx"),
    );
    expect(err).toContain("batches of 8: the model was exported with this batch size");
    expect(code).toBe(0);
    const asked = ["--epochs", "1", "--batch", "16", "--checkpoint", at("never")];
    expect(await pith("train", at("fixed.onnx"), ...data, ...asked)).toMatchObject({ code: 1 });
    expect(existsSync(at("never"))).toBe(false);
  });
});

describe("recover and distill with a reference model", () => {
  const aims = [
    ["recover", at("near.onnx"), "--original", at("hidden.onnx")],
    ["distill", at("near.onnx"), "--teacher", at("hidden.onnx"), "--epochs", "1", "--learning-rate", "1e-6"],
  ];
  const out = ["-o", at("nearer.onnx")];

  test.each(aims)(
    "%s is evaluated against the input model, and prints the distance to the reference",
    async (...words) => {
      const result = await pith(...words, ...data, ...out);
      expect(result.out).toMatch(
        /^compared with .*hidden\.onnx: accuracy went from 100\.0 % to [\d.]+ %: (?:−[\d.]+|0\.0) points \(95 % interval .*, 80 samples\)$/m,
      );
      expect(result.out).toMatch(
        words[0] === "distill"
          ? /^change: .*near\.onnx.* From .*hidden\.onnx it is still −[\d.]+ points: --max-drop sets a limit for that\.$/m
          : /^change: compared with .*near\.onnx/m,
      );
      // A step this small changes nothing.
      if (words[0] === "distill")
        expect(result.err).toMatch(/a gain over .*near\.onnx is undecided: accuracy went from /);
      expect(result.err).toMatch(
        /Nothing is written if accuracy is worse than the [\d.]+ % of .*near\.onnx by more than 1\.0 points/,
      );
    },
  );

  test.each(aims)("%s --max-drop limits the loss against the reference", async (...words) => {
    const report = await json(...(words as [string]), ...data, ...out, "--max-drop", "1%", "--force");
    const { reference, verdict } = report as Record<string, Record<string, { value: number }>>;
    const drop = verdict?.drop?.value ?? Number.NaN;
    expect(reference).toMatchObject({ isGoalBaseline: true, isTruth: false, model: at("hidden.onnx") });
    expect(reference?.comparison).toMatchObject({ original: { value: 1 }, difference: { value: 0 - drop } });
  });

  test("distill rejects a loss against the teacher beyond --max-drop, although the student lost nothing", async () => {
    const [, distill = []] = aims;
    const { code, err } = await pith(...distill, ...data, ...out, "--max-drop", "1%");
    expect(code).toBe(1);
    expect(err).toMatch(
      /^Nothing is written if accuracy is worse than the 100\.0 % of .*hidden\.onnx by more than 1\.0 points/m,
    );
    expect(err).toMatch(/\nE_ACCURACY_LOST: Against .*hidden\.onnx, accuracy went from 100\.0 % to /);
  });
});

describe("progress and result", () => {
  test("announces what happens to a worse result, and keeps it with --checkpoint", async () => {
    const wild = ["--optimizer", "sgd", "--learning-rate", "30", "--schedule", "constant", "--epochs", "1"];
    const words = ["train", at("hidden.onnx"), ...data, ...wild, "--seed", "1", "-o", at("wild.onnx")];
    const alone = await pith(...words);
    expect(alone.err).toMatch(
      /^Nothing is written if accuracy is worse than the 100\.0 % of .*hidden\.onnx by more than 1\.0 points \(--max-drop\), with statistical significance\. To keep it in any case: --checkpoint <folder>, or --force\.\n/m,
    );
    const lost = /\nE_ACCURACY_LOST: .*\nhint: /;
    expect(alone).toMatchObject({ code: 1, err: expect.stringMatching(lost) });
    const kept = await pith(...words, "--checkpoint", at("wild"));
    expect(kept).toMatchObject({ code: 1, err: expect.stringMatching(lost) });
    expect(kept.err).toContain(`hint: The trained weights are kept in ${at("wild")}. `);
    expect(existsSync(at("wild/last.onnx"))).toBe(true);
    expect(existsSync(at("wild.onnx"))).toBe(false);
    expect((await pith(...words, "--force")).code).toBe(0);
  });
});
