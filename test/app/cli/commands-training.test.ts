/** Tests output and errors of `pith train` and `pith distill` on models whose predictions are known. */
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { lossNames } from "../../../src/learn/train/losses/declared-losses.ts";
import type { Epoch } from "../../../src/learn/train/training-state.ts";
import { json, pith } from "./run.ts";
import { smallModels } from "./small-models.ts";

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
});

describe("train of a pruned model", () => {
  test("does not overwrite --original, which commands without training do not accept", async () => {
    const { out } = await pith("prune", "--help-all");
    expect(out).not.toContain("--original");
    copyFileSync(at("hidden.onnx"), at("thin.onnx"));
    const original = ["--original", at("hidden.onnx"), "-o", at("hidden.onnx")];
    expect(await pith("train", at("thin.onnx"), ...data, ...original)).toMatchObject({ code: 2 });
  });
});

describe("--checkpoint", () => {
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

describe("progress and result", () => {
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

  test("writes nothing if no evaluation is better than the initial weights", async () => {
    const words = [at("right.onnx"), ...data, "--epochs", "1", "--validation", "10%", "-o", at("no-better.onnx")];
    const { code, err, out } = await pith("train", ...words);
    expect(code).toBe(1);
    expect(err).toContain("before the first step: validation accuracy 100.00 %");
    expect(err).toMatch(/^E_UNSUPPORTED: .*the evaluation was no better/m);
    expect(out).toMatch(/the evaluation was no better .*, which are kept\. The initial weights are right on all .*\n$/);
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

  test("names classes as the reason if a loss requires numbers", async () => {
    const { code, err } = await pith("train", at("zero.onnx"), ...data, ...quick, "--loss", "mse");
    expect(code).toBe(1);
    expect(err).toContain("hint: Labels are classes: use cross-entropy, or give one number for each output.");
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
    expect(out).toMatch(/--original <original.onnx> +the model before compression \(required\)$/m);
    expect(await pith("recover", at("right.onnx"), ...data)).toEqual({
      code: 2,
      out: "",
      err: "E_USAGE: recover needs --original: the model that the input was made from.\nhint: Add --original with the path of an ONNX model. See pith recover --help.\n",
    });
  });
});
