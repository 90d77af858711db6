/** Tests output and errors of `pith train` and `pith distill` on models whose predictions are known. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../src/core/graph/text.ts";
import { open, save } from "../../src/core/onnx/index.ts";
import { lossNames } from "../../src/learn/train/losses/parse.ts";
import type { Epoch } from "../../src/learn/train/training-state.ts";
import { json, pith } from "./run.ts";
import { hidden, smallModels } from "./small-models.ts";

const { at } = smallModels();

const data = ["--data", at("points.csv")];
const quick = ["--epochs", "2", "--batch", "16", "--learning-rate", "0.05", "-o", at("trained.onnx")];

test("rejects a file as --validation if it is test or training data already", async () => {
  const folder = at("parts");
  mkdirSync(folder);
  const [train, dev] = [`${folder}/points_train.csv`, `${folder}/points_dev.csv`];
  const [header = "", ...rows] = readFileSync(at("points.csv"), "utf8").trim().split("\n");
  writeFileSync(train, [header, ...rows.slice(100)].join("\n"));
  writeFileSync(dev, [header, ...rows.slice(0, 100)].join("\n"));
  const words = ["train", at("zero.onnx"), "--data", train, ...quick, "--force"];
  expect(await pith(...words, "--validation", dev)).toMatchObject({
    code: 1,
    err:
      `E_DATA: --validation ${dev}: ${dev} is test data already: it is next to --data ${train}, ` +
      "and its name says that it is another part of it.\n" +
      "hint: A share holds out some of the training samples to choose the weights: --validation 10%. Or name other data.\n",
  });
  expect((await pith(...words, "--validation", train)).err).toContain(`${train} is training data already.\n`);
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

describe("a recipe that trains", () => {
  const recipe = at("recipe.yaml");
  writeFileSync(recipe, "steps:\n  - train: { epochs: 2, batch: 16, learningRate: 0.05 }\n");

  test("is rejected before any run if all samples are test samples", async () => {
    const header = (holds: number, ...dims: number[]) => [0, 0, 8, holds, ...dims.flatMap((dim) => [0, 0, 0, dim])];
    mkdirSync(at("digits"));
    writeFileSync(at("digits/t10k-images-idx3-ubyte"), Uint8Array.of(...header(3, 4, 1, 2), ...Array(8).fill(7)));
    writeFileSync(at("digits/t10k-labels-idx1-ubyte"), Uint8Array.of(...header(1, 4), 0, 1, 0, 1));
    const result = await pith("compress", at("zero.onnx"), "--data", at("digits"), "-r", recipe, "-o", at("never"));
    expect(result).toMatchObject({ code: 1, out: "", err: expect.stringMatching(/^E_DATA: .* has one part only: /) });
    expect(existsSync(at("never"))).toBe(false);
  });
});

test("--log writes a row per step, is named with the result, and overwrites nothing", async () => {
  const log = at("run.csv");
  const words = [
    "train",
    at("near.onnx"),
    "--data",
    at("points.csv"),
    "--epochs",
    "2",
    "--batch",
    "64",
    "-o",
    at("logged.onnx"),
  ];
  const { code, out } = await pith(...words, "--force", "--log", log);
  expect(code).toBe(0);
  expect(out).toContain(`written: ${at("logged.onnx")}  ${log}\n`);
  const [header, ...rows] = readFileSync(log, "utf8").trimEnd().split("\n");
  expect(header).toBe("step,epoch,loss,learning_rate");
  expect(rows.map((row) => Number(row.split(",")[0]))).toEqual(rows.map((_, place) => place + 1));
  expect(await pith(...words, "--log", at("logged.onnx"))).toMatchObject({ code: 2 });
  expect(await pith(...words, "--log", at("points.csv"))).toMatchObject({ code: 2 });
  const original = ["--original", at("right.onnx"), "--data", at("points.csv")];
  const recovered = await pith("recover", at("near.onnx"), ...original, "--log", log);
  expect(recovered).toMatchObject({
    code: 2,
    err: expect.stringContaining('--log needs --until "end-to-end", the stage whose steps it has'),
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
        /^accuracy of .*hidden\.onnx: 100\.0 %; the result (is [\d.]+ points below|equals) it \(95 % interval .*, 80 samples\)$/m,
      );
      expect(result.out).toMatch(/^(No loss compared with|Measured loss against) .*near\.onnx/m);
      if (words[0] === "distill")
        expect(result.out).toMatch(
          /\. But the result is still [\d.]+ points worse than .*hidden\.onnx\. With --max-drop, such a loss is rejected\.$/m,
        );
      // A step this small changes nothing.
      if (words[0] === "distill") expect(result.err).toMatch(/no gain over .*near\.onnx is shown: accuracy went from /);
      expect(result.err).toMatch(
        /Nothing is written if accuracy is worse than the [\d.]+ % of .*near\.onnx by more than 1\.0 points/,
      );
    },
  );

  test.each(aims)("%s --max-drop limits the loss against the reference", async (...words) => {
    const report = await json(...(words as [string]), ...data, ...out, "--max-drop", "1%", "--force");
    const { reference, verdict } = report as Record<string, Record<string, { value: number }>>;
    const drop = verdict?.drop?.value ?? Number.NaN;
    expect(reference).toMatchObject({ judges: true, isTruth: false, model: at("hidden.onnx") });
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

  test("is evaluated against the input model, and advises to give --original", async () => {
    await pruned("60%");
    const { out } = await pith(...words);
    expect(out).toMatch(
      /^Measured loss against \S+thin\.onnx \([\d.]+ %\): .* \(goal: 1\.0\), .*\. Give --original to compare with the model before pruning\.$/m,
    );
    expect(await json(command, ...rest)).toMatchObject({ against: at("thin.onnx"), pruned: true });
    const unprunedReport = await json("train", at("hidden.onnx"), ...rest.slice(1));
    expect(unprunedReport).toMatchObject({ against: at("hidden.onnx") });
    expect(unprunedReport).not.toHaveProperty("pruned");
  });

  test("does not overwrite --original, which commands without training do not accept", async () => {
    const { out } = await pith("prune", "--help-all");
    expect(out).not.toContain("--original");
    expect(await pith(...words.slice(0, 4), ...original, "-o", at("hidden.onnx"))).toMatchObject({ code: 2 });
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
    expect(model.err).toContain("is a checkpoint of another model: it trained ");
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
    expect(shorter.err).toMatch(
      /has done 3 epochs, more than the 1 requested: nothing is trained, and its weights are the result$/m,
    );
    expect(shorter.code).toBe(0);
    expect(readFileSync(at("trained.onnx"))).toEqual(trained);
    const same = await pith(...words, "--epochs", "3", "--resume");
    expect(same.err).toMatch(/has done the 3 epochs that are requested: nothing is trained/);
  });

  test.each([
    [["--resume"], "E_OPTION: --resume needs --checkpoint, the folder to continue from.\n", 2],
    [["--patience", "1"], "E_OPTION: --patience needs --validation, a share held out for evaluation", 2],
    [["--every", "1"], "E_OPTION: --every needs --validation, a share held out for evaluation", 2],
    [["--checkpoint", at("file.onnx")], 'file.onnx" is a file: --checkpoint is a folder.', 1],
  ])("%j is rejected before any data is read", async (words, message, expected) => {
    writeFileSync(at("file.onnx"), "");
    for (const command of [["train"], ["distill", "--teacher", at("none.onnx")]]) {
      const { code, err } = await pith(...command, at("right.onnx"), "--data", at("none"), ...words);
      expect({ code, err }).toEqual({ code: expected, err: expect.stringContaining(message) });
    }
  });
});

describe("distill", () => {
  test("rejects a teacher with other inputs before any evaluation", async () => {
    const wide = `opset 21
graph (image: float32[batch, 3, 4, 4]) -> (logits: float32[batch, 2]) {
  fc.weight: float32[48, 2] parameter = zeros
  flat = Flatten(image)
  logits = MatMul(flat, fc.weight)
}
`;
    await save(parseModel(wide), at("wide.onnx"));
    const { code, out, err } = await pith("distill", at("zero.onnx"), "--teacher", at("wide.onnx"), ...data, ...quick);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toBe(
      `E_SHAPE_MISMATCH: The teacher's input "image" [batch, 3, 4, 4] does not fit the student's "features" [batch, 2].\n` +
        "hint: Both get the same samples: use a teacher with inputs of the same size and order of axes.\n",
    );
  });
});

describe("techniques of training", () => {
  test("together train a model: frozen layers, accumulation, averages, warm-up, one cycle, clipping", async () => {
    const out = at("all.onnx");
    const words = ["--epochs", "12", "--batch", "8", "--accumulate", "2", "--average", "0.9", "--clip", "1"];
    const shape = ["--schedule", "one-cycle", "--warmup", "10%", "--learning-rate", "0.1", "--optimizer", "adamw"];
    await save(parseModel(hidden.replace("[[1, 0, 1, 0], [0, 1, 0, 1]]", "zeros")), at("empty.onnx"));
    const result = await json("train", at("empty.onnx"), ...data, ...words, ...shape, "--except", "fc1", "-o", out);
    expect(result).toMatchObject({ code: 0, written: out, training: { samples: 320, average: 0.9 } });
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
    const chosen = await json("train", ...words, "--metric", "cross-entropy", "--average", "0.9");
    expect(chosen).toMatchObject({ training: { average: 0.9, chosen: { by: "cross-entropy", evaluations: 3 } } });
  });

  test.each([["train"], ["distill", "--teacher", at("right.onnx")]])(
    "%s --json has the epochs, and the evaluation whose weights were selected",
    async (...command) => {
      const report = await json(...command, at("zero.onnx"), ...data, ...quick, "--validation", "10%", "--every", "10");
      const history = report.history as readonly Epoch[];
      expect(history.map(({ epoch, steps }) => [epoch, steps])).toEqual([
        [1, 18],
        [2, 18],
      ]);
      expect(history[1]?.loss).toBeLessThan(history[0]?.loss ?? 0);
      const evaluations = history.flatMap((one) => one.evaluations);
      expect(evaluations.map(({ step }) => step)).toEqual([0, 10, 20, 30, 36]);
      const best = Math.max(...evaluations.map(({ figure }) => figure));
      expect(report.training).toMatchObject({
        chosen: { by: "accuracy", evaluations: 5, best: evaluations.find(({ figure }) => figure === best) },
      });
    },
  );

  test("measures a loss only if the original is above chance", async () => {
    await save(
      parseModel(hidden.replace("fc2.bias: float32[2] parameter = zeros", "fc2.bias: float32[2] parameter = [9, 0]")),
      at("one-answer.onnx"),
    );
    const words = [...data, "--samples", "40", "--epochs", "1", "--learning-rate", "1e-9", "-o", at("trained.onnx")];
    const knows = await pith("train", at("hidden.onnx"), ...words);
    expect(knows.out).toMatch(
      /^Measured loss against \S+\.onnx: 0\.0 points \(goal: 1\.0\), .* larger loss\. --samples left out \d+ of the \d+ there are: --samples \d+ uses all\.$/m,
    );
    const few = await pith(
      "eval",
      at("mixed.onnx"),
      "--against",
      at("right.onnx"),
      ...data,
      "--samples",
      "40",
      "--max-drop",
      "5%",
    );
    expect(few.out).toMatch(
      /(could be chance; |larger loss\. ).*--samples left out \d+ of the \d+ there are: --samples \d+ .*\.$/m,
    );
    const knowsNothing = await pith("train", at("one-answer.onnx"), ...words);
    expect(knowsNothing).toMatchObject({ code: 0, out: expect.stringContaining("written: ") });
    expect(knowsNothing.out).not.toContain("Measured loss");
    expect(knowsNothing.err).not.toContain("Nothing is written if");
    expect(await json("train", at("one-answer.onnx"), ...words)).toMatchObject({ knewNothing: true });
  });

  test("writes nothing if no evaluation is better than the initial weights", async () => {
    const words = [at("right.onnx"), ...data, "--epochs", "1", "--validation", "10%", "-o", at("no-better.onnx")];
    const { code, err, out } = await pith("train", ...words);
    expect(code).toBe(1);
    expect(err).toContain("before the first step: validation accuracy 100.00 %");
    expect(out).toMatch(
      /the evaluation was no better .*, which are kept\. The initial weights are right on all .*\nNothing changed, and nothing was written\./,
    );
    expect(existsSync(at("no-better.onnx"))).toBe(false);
  });

  test("rejects a loss on an unknown output before it reads data", async () => {
    const loss = "mse + 0.5 * cosine(label=teacher, output = embedding)";
    const { code, err } = await pith("train", at("zero.onnx"), "--data", at("nowhere.csv"), "--loss", loss);
    expect({ code, err }).toEqual({
      code: 2,
      err: 'E_NAME: The loss reads the output "embedding"; the model has "logits".\n',
    });
    const right = ["--loss", "cross-entropy(output=logits)"];
    expect((await pith("train", at("zero.onnx"), "--data", at("nowhere.csv"), ...right)).err).toMatch(/^E_FILE: /);
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

  test("names classes as the reason if a loss requires numbers", async () => {
    const { code, err } = await pith("train", at("zero.onnx"), ...data, ...quick, "--loss", "mse");
    expect(code).toBe(1);
    expect(err).toContain("hint: Labels are classes: use cross-entropy, or give one number for each output.");
  });

  test("announces what happens to a worse result, and keeps it with --checkpoint", async () => {
    const wild = ["--optimizer", "sgd", "--learning-rate", "30", "--schedule", "constant", "--epochs", "1"];
    const words = ["train", at("hidden.onnx"), ...data, ...wild, "--seed", "1", "-o", at("wild.onnx")];
    const alone = await pith(...words);
    expect(alone.err).toMatch(
      /^Nothing is written if accuracy is worse than the 100\.0 % of .*hidden\.onnx by more than 1\.0 points \(--max-drop\) and by more than chance explains\. To keep it in any case: --checkpoint <folder>, or --force\.\n/m,
    );
    const lost = /\nE_ACCURACY_LOST: Accuracy went from 100\.0 % to .*Nothing was written\.\nhint: /;
    expect(alone).toMatchObject({ code: 1, err: expect.stringMatching(lost) });
    const kept = await pith(...words, "--checkpoint", at("wild"));
    expect(kept).toMatchObject({ code: 1, err: expect.stringMatching(lost) });
    expect(kept.err).toContain(`hint: The trained weights are kept in ${at("wild")}. `);
    expect(existsSync(at("wild/last.onnx"))).toBe(true);
    expect(existsSync(at("wild.onnx"))).toBe(false);
    expect((await pith(...words, "--force")).code).toBe(0);
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

  test("the help names the values of each flag", async () => {
    const { out } = await pith("train", "--help-all");
    expect(out).toMatch(/--checkpoint <folder>/);
    expect(out).toMatch(/--validation <share>/);
    expect(out).toMatch(/--metric <choice>/);
    for (const name of lossNames) expect(out).toMatch(new RegExp(`^ {2}${name} {2,}\\w`, "m"));
    expect(out).toMatch(/^ {2}huber .* delta=1/m);
  });

  test("recover requires --original on the command line", async () => {
    const { out } = await pith("recover", "--help");
    expect(out).toMatch(/--original <original.onnx> +the original model$/m);
    expect(await pith("recover", at("right.onnx"), ...data)).toEqual({
      code: 2,
      out: "",
      err: "E_USAGE: --original is needed: the original model.\nhint: See pith recover --help.\n",
    });
  });
});
