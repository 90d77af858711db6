/**
 * Compares results on published models and data with measurements by other tools. Each row runs the command that a user would type for
 * a metric value in the table of the shared folder.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, inject, test } from "vitest";
import { bytesSource } from "#platform";
import { open } from "../../src/core/onnx/index.ts";
import { type Dataset, openDataset, preprocess } from "../../src/data/index.ts";
import { parsePreprocessingSpec } from "../../src/data/sidecars/preprocessing-spec.ts";
import { readSidecars } from "../../src/data/sidecars/sidecars.ts";
import { openParts } from "../../src/data/sources/parts.ts";
import { openTokenizer } from "../../src/data/text/tokenizer.ts";
import { tokensInFile, tokensOfText } from "../../src/data/text/tokens.ts";
import { json } from "../app/cli/run.ts";
import { shared } from "../shared.ts";
import { temporaryFolder } from "../temporary.ts";
import { floats, outputs } from "./outputs.ts";

const mnist = ["--data", "mnist"];
const cifar10 = ["--data", "cifar10"];
const images = ["--data", "images/imagenet"];
const symmetric = ["--preprocess", "scale=1 mean=127 std=127.5 crop=224"];
const caffe = ["--preprocess", "scale=1 mean=123,117,104 channels=BGR crop=227"];
const standardised = ["--preprocess", "mean=.4914,.4822,.4465 std=.2470,.2435,.2616"];
const testTokens = ["--data", "models/llama_shakespeare/test_ids_u16le.bin", "--metric", "cross-entropy"];
const valid = ["--data", "models/llama_shakespeare/valid_ids_u16le.bin", "--metric", "cross-entropy"];

interface Published {
  readonly model: string;
  readonly words: readonly (readonly string[] | string)[];
  /** Written as in the table: its last digit gives the precision. */
  readonly figure: string;
  readonly count: number;
}

const published: readonly Published[] = [
  { model: "resnet20", words: [cifar10, "--preprocess", "imagenet"], figure: "91.5 %", count: 1000 },
  { model: "resnet56", words: [cifar10, "--preprocess", "imagenet"], figure: "92.6 %", count: 1000 },
  { model: "resnet8_cifar10", words: [cifar10, "--preprocess", "raw"], figure: "88.1 %", count: 1000 },
  { model: "vnncomp_resnet_2b", words: [cifar10, "--preprocess", "cifar10"], figure: "70.3 %", count: 1000 },
  {
    model: "vnncomp_cifar_base_kw",
    words: [cifar10, "--preprocess", "mean=.485,.456,.406 std=.225"],
    figure: "61.1 %",
    count: 1000,
  },
  { model: "vnncomp_cifar10_small", words: [cifar10, "--preprocess", "unit"], figure: "63.0 %", count: 1000 },
  { model: "vnncomp_cifar10_medium", words: [cifar10, "--preprocess", "unit"], figure: "70.6 %", count: 1000 },
  { model: "vnncomp_mnist-net_256x2", words: [mnist, "--preprocess", "unit"], figure: "98.1 %", count: 10_000 },
  { model: "vnncomp_mnist-net_256x4", words: [mnist, "--preprocess", "unit"], figure: "97.6 %", count: 10_000 },
  { model: "mnist_cntk", words: [mnist, "--preprocess", "raw"], figure: "98.9 %", count: 10_000 },
  { model: "mobilenetv2", words: [images, symmetric], figure: "90.2 %", count: 500 },
  { model: "mobilenetv2", words: [images, symmetric, "--metric", "top-5"], figure: "99.0 %", count: 500 },
  { model: "squeezenet1.0_deepcompression", words: [images, caffe], figure: "63.0 %", count: 500 },
  { model: "squeezenet1.0_deepcompression", words: [images, caffe, "--metric", "top-5"], figure: "85.8 %", count: 500 },
  {
    model: "llama260k",
    words: ["--data", "text/llama260k_eval_64x120_u16le.bin", "--metric", "cross-entropy"],
    figure: "1.810 nats",
    count: 64,
  },
  { model: "bert_sst2/onnx/model", words: ["--data", "text/sst2_dev.tsv"], figure: "76.4 %", count: 872 },
  { model: "llama_shakespeare/onnx/decoder_model", words: [testTokens], figure: "3.498 nats", count: 194 },
  { model: "llama_shakespeare/onnx/decoder_model", words: [valid], figure: "3.124 nats", count: 191 },
  { model: "llama_shakespeare/onnx/model", words: [testTokens], figure: "3.498 nats", count: 194 },
  { model: "cct_cifar10", words: [cifar10, standardised], figure: "71.4 %", count: 1000 },
  { model: "mobilenetv3_cifar10", words: [cifar10, standardised], figure: "78.9 %", count: 1000 },
];

describe.each(published)("$model", ({ model, words, figure, count }) => {
  const path = shared(`data/models/${model}.onnx`);
  const typed = words.flat();
  test.skipIf(path === undefined)(`has ${figure} by ${typed.join(" ")}`, async () => {
    const report = await json("eval", path ?? "", ...here(typed));
    expect(shown(firstEstimate(report).value, figure)).toBe(figure);
    expect(firstEstimate(report).count).toBe(count);
  });
});

const compiled = (module: string): string => JSON.stringify(pathToFileURL(`${inject("compiled")}/${module}.js`).href);

/** A scoring module that returns the share of frames in which a voice detector detects speech. */
const speech = (recording: string): string => `
import { open } from "pith";
import { mapBatches, openDataset } from "pith/data";
import { parsePreprocessingSpec } from ${compiled("data/sidecars/preprocessing-spec")};
import { datasetOptionsFor, readSidecars } from ${compiled("data/sidecars/sidecars")};
import { createEngine } from "pith/engine";
import { createRunner } from ${compiled("runtime/run/runner")};

export default async (path) => {
  const model = await open(path);
  const reading = datasetOptionsFor(model, await readSidecars(path), parsePreprocessingSpec("frame=512 context=64 rate=16000"));
  const sound = await openDataset(${JSON.stringify(recording)}, reading);
  const frames = mapBatches(sound, ({ audio, rate, begin }) => ({ input: audio, sr: rate, begin }));
  const runner = await createRunner(createEngine(), model, sound.name);
  let [heard, count] = [0, 0];
  for await (const batch of frames.batches({ size: 64 })) {
    const { output } = await runner.run(batch);
    heard += output.data.filter((probability) => probability > 0.5).length;
    count += output.data.length;
  }
  await runner.release();
  return heard / count;
};
`;

describe.each(["silero_vad", "silero_vad_16k_op15"])("%s", (name) => {
  const [path, recording] = [shared(`data/models/${name}.onnx`), shared("data/audio/silero_test.wav")];
  test.skipIf(path === undefined || recording === undefined)("detects speech in 77.4 % of frames", async () => {
    const score = join(temporaryFolder(dirname(inject("compiled"))), "speech.mjs");
    writeFileSync(score, speech(recording ?? ""));
    const report = await json("eval", path ?? "", "--score", score);
    expect(report.score).toEqual({ value: 1452 / 1875 });
  });
});

/**
 * Published accuracies after rounding to nearest, or after magnitude pruning, without further steps. For 80 % the publication has 24.7 %,
 * because it prunes floor(0.8 · n) weights of each layer. PyTorch and Pith round 0.8 · n to the nearest integer.
 */
const rounded = [
  { command: "quantize --scheme weights --no-per-channel", figure: "91.6 %" },
  { command: "prune --amount 50%", figure: "89.4 %" },
  { command: "prune --amount 80%", figure: "24.5 %" },
];

const resnet20 = shared("data/models/resnet20.onnx");

describe.skipIf(resnet20 === undefined)("ResNet-20", () => {
  test.each(rounded)("$command gives $figure", async ({ command, figure }) => {
    const [name = "", ...flags] = command.split(" ");
    const out = join(temporaryFolder(), "smaller.onnx");
    const written = await json(name, resnet20 ?? "", ...flags, "--force", "-o", out);
    expect(written.code).toBe(0);
    const report = await json("eval", out, ...here(["--data", "cifar10", "--preprocess", "imagenet"]));
    expect(shown(firstEstimate(report).value, figure)).toBe(figure);
  });
});

/** These values were measured by others on 500 other images, so the images here give only similar values. */
const elsewhere = [
  { model: "mobilenetv2", how: symmetric, least: 0.02, most: 0.12 },
  { model: "squeezenet1.0_deepcompression", how: caffe, least: 0.6, most: 0.64 },
];

describe.each(elsewhere)("$model with one scale for each matrix of weights", ({ model, how, least, most }) => {
  const path = shared(`data/models/${model}.onnx`);
  test.skipIf(path === undefined)(`has an accuracy of ${100 * least} to ${100 * most} %`, async () => {
    const out = join(temporaryFolder(), "smaller.onnx");
    const alone = ["--no-per-channel", "--no-equalize"];
    await json("quantize", path ?? "", "--scheme", "weights", ...alone, "--force", "-o", out);
    const report = await json("eval", out, ...here(["--data", "images/imagenet", ...how]));
    expect(firstEstimate(report).value).toBeGreaterThan(least);
    expect(firstEstimate(report).value).toBeLessThan(most);
  });
});

/** Resolves the paths after `--data` in the shared folder. */
function here(words: readonly string[]): string[] {
  return words.map((word, at) => (words[at - 1] === "--data" ? (shared(`data/${word}`) ?? word) : word));
}

function firstEstimate(result: Readonly<Record<string, unknown>>): { value: number; count: number } {
  const [first] = result.figures as { estimate: { value: number; count: number } }[];
  return first?.estimate ?? { value: Number.NaN, count: 0 };
}

/** Formats a value with the digits and unit of the given metric value. */
function shown(value: number, figure: string): string {
  const [number = "", unit = ""] = figure.split(" ");
  const digits = number.length - number.indexOf(".") - 1;
  return `${(unit === "%" ? 100 * value : value).toFixed(digits)} ${unit}`;
}

const llama = shared("data/models/llama_shakespeare/onnx/decoder_model.onnx");
const shakespeare = shared("data/text/tinyshakespeare.txt");

test.skipIf(llama === undefined || shakespeare === undefined)(
  "tokensOfText gives the tokens of the library that trained the tokenizer",
  async () => {
    const tokenizer = await openTokenizer(join(dirname(llama ?? ""), ".."));
    if (tokenizer === undefined) throw new Error("no tokenizer");
    expect([tokenizer.vocabularySize, tokenizer.longest]).toEqual([1024, 256]);
    const text = readFileSync(shakespeare ?? "", "utf8");
    const encoded = tokensOfText("text", text.slice(Math.floor(text.length * 0.95)), tokenizer, 128);
    const bytes = readFileSync(shared("data/models/llama_shakespeare/test_ids_u16le.bin") ?? "");
    const stored = tokensInFile(bytesSource(bytes, "ids"), { width: 2, sequences: undefined }, 128);
    expect([encoded.count, stored.count]).toEqual([194, 194]);
    const positions = Uint32Array.from({ length: 194 }, (_, at) => at);
    expect(await encoded.gather(positions)).toEqual(await stored.gather(positions));
  },
);

const bert = shared("data/models/bert_sst2/onnx/model.onnx");

test.skipIf(bert === undefined)("readSidecars finds class names in the config.json of the parent folder", async () => {
  const beside = await readSidecars(bert ?? "");
  expect([beside.classes, beside.tokenizer?.longest]).toEqual([["NEGATIVE", "POSITIVE"], 128]);
  expect(beside.preprocessing).toBeUndefined();
});

test.skipIf(shared("data/text/sst2_train.tsv") === undefined)(
  "openParts trains on a table named train, and tests on the table named dev",
  async () => {
    const { train, test: part } = await openParts(shared("data/text/sst2_train.tsv") ?? "");
    expect([train?.count, part.count]).toEqual([6920, 872]);
    const pairs = await openParts(shared("data/text/stsb-en-train.csv") ?? "");
    expect([pairs.train?.count, pairs.test.count]).toEqual([5749, 1500]);
  },
);

const people = shared("data/images/people.jpg");

describe.skipIf(people === undefined)("a photo of people", () => {
  const prepared = async (path: string, how: string): Promise<Dataset> => {
    const [input] = (await open(path)).graph.feeds;
    const stated = parsePreprocessingSpec(how).images;
    if (input === undefined || stated === undefined) throw new Error("no input");
    return preprocess(await openDataset(people ?? ""), input, stated);
  };

  test("contains a face according to ultraface, but a black image does not", async () => {
    const path = shared("data/models/ultraface_slim320.onnx") ?? "";
    const surest = async (how: string): Promise<number> => {
      const [batch] = await outputs(path, await prepared(path, how));
      // Pairs of scores: background, face.
      return floats(batch?.scores).reduce((most, value, at) => (at % 2 === 1 ? Math.max(most, value) : most), 0);
    };
    expect(await surest("scale=1 mean=127 std=128 resize=240x320")).toBeGreaterThan(0.8);
    expect(await surest("scale=1/1000000 mean=1 std=1 resize=240x320")).toBeLessThan(0.5);
  });

  test("contains a person according to fastestdet", async () => {
    const path = shared("data/models/fastestdet.onnx") ?? "";
    const [batch] = await outputs(path, await prepared(path, "unit channels=BGR resize=352x352"));
    const values = floats(batch?.["758"]);
    // Planes: whether something is there, four of its box, then 80 classes, of which the first is "person".
    const cells = 22 * 22;
    const plane = (index: number): Float32Array => values.subarray(index * cells, (index + 1) * cells);
    const surest = plane(0).reduce((best, value, at, all) => (value > (all[best] ?? 0) ? at : best), 0);
    const classes = Array.from({ length: 80 }, (_, index) => plane(5 + index)[surest] ?? 0);
    expect(plane(0)[surest]).toBeGreaterThan(0.7);
    expect(classes.indexOf(Math.max(...classes))).toBe(0);
  });
});
