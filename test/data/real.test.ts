/** Published models and data: what comes out is what other tools measured. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { bytesSource } from "#platform";
import {
  type Dataset,
  filesBeside,
  openDataset,
  openParts,
  parseStated,
  preprocess,
  tokenizerBeside,
  tokensInFile,
  tokensOfText,
} from "../../src/data/index.ts";
import { createEngine } from "../../src/engine/index.ts";
import { createRunner } from "../../src/evaluate/index.ts";
import { open } from "../../src/onnx/index.ts";
import type { Batch, Dense } from "../../src/tensor/types.ts";
import { shared } from "../shared.ts";

async function outputs(path: string, dataset: Dataset): Promise<Batch[]> {
  const runner = await createRunner(createEngine(), await open(path), dataset.name);
  const found: Batch[] = [];
  for await (const batch of dataset.batches({ size: 64 })) found.push(await runner.run(batch));
  await runner.release();
  return found;
}

function numbers(dense: Dense | undefined): Float32Array {
  return dense?.type === "float32" ? dense.data : new Float32Array();
}

const llama = shared("data/models/llama_shakespeare/onnx/decoder_model.onnx");
const shakespeare = shared("data/text/tinyshakespeare.txt");

describe.skipIf(llama === undefined || shakespeare === undefined)("running text", () => {
  test("gets the very tokens that the library which trained the tokenizer gave it", async () => {
    const tokenizer = await tokenizerBeside(llama ?? "");
    if (tokenizer === undefined) throw new Error("no tokenizer");
    expect([tokenizer.vocabularySize, tokenizer.longest]).toEqual([1024, 256]);
    const text = readFileSync(shakespeare ?? "", "utf8");
    const last = text.slice(Math.floor(text.length * 0.95));
    const own = tokensOfText("text", last, tokenizer, 128);
    const bytes = readFileSync(shared("data/models/llama_shakespeare/test_ids_u16le.bin") ?? "");
    const stored = tokensInFile(bytesSource(bytes, "ids"), { width: 2, sequences: undefined }, 128);
    expect([own.count, stored.count]).toEqual([194, 194]);
    const positions = Uint32Array.from({ length: 194 }, (_, at) => at);
    expect(await own.gather(positions)).toEqual(await stored.gather(positions));
  });
});

const bert = shared("data/models/bert_sst2/onnx/model.onnx");

test.skipIf(bert === undefined)(
  "config.json in the folder above a model says what its classes are called",
  async () => {
    const beside = await filesBeside(bert ?? "");
    expect([beside.classes, beside.tokenizer?.longest]).toEqual([["NEGATIVE", "POSITIVE"], 128]);
    expect(beside.preprocessing).toBeUndefined();
  },
);

test.skipIf(shared("data/text/sst2_dev.tsv") === undefined)(
  "a table called dev is judged by, and the one called train beside it trained on",
  async () => {
    const { train, test: part } = await openParts(shared("data/text/sst2_dev.tsv") ?? "");
    expect([train?.count, part.count]).toEqual([6920, 872]);
    const pairs = await openParts(shared("data/text/stsb-en-dev.csv") ?? "");
    expect([pairs.train?.count, pairs.test.count]).toEqual([5749, 1500]);
  },
);

const people = shared("data/images/people.jpg");

describe.skipIf(people === undefined)("a photo of people", () => {
  const prepared = async (path: string, how: string): Promise<Dataset> => {
    const [input] = (await open(path)).graph.feeds;
    const stated = parseStated(how).images;
    if (input === undefined || stated === undefined) throw new Error("no input");
    return preprocess(await openDataset(people ?? ""), input, stated);
  };

  test("has faces for ultraface", async () => {
    const path = shared("data/models/ultraface_slim320.onnx") ?? "";
    const [found] = await outputs(path, await prepared(path, "scale=1 mean=127 std=128 resize=240x320"));
    const scores = numbers(found?.scores);
    const faces = Array.from({ length: scores.length / 2 }, (_, at) => scores[2 * at + 1] ?? 0);
    expect(Math.max(...faces)).toBeGreaterThan(0.8);
    // Black has none.
    const [dark] = await outputs(path, await prepared(path, "scale=1/1000000 mean=1 std=1 resize=240x320"));
    const none = Array.from({ length: scores.length / 2 }, (_, at) => numbers(dark?.scores)[2 * at + 1] ?? 0);
    expect(Math.max(...none)).toBeLessThan(0.5);
  });

  test("has people for fastestdet", async () => {
    const path = shared("data/models/fastestdet.onnx") ?? "";
    const [found] = await outputs(path, await prepared(path, "unit channels=BGR resize=352x352"));
    const values = numbers(found?.["758"]);
    // Planes: whether something is there, four of its box, then 80 classes, of which the first is "person".
    const cells = 22 * 22;
    const plane = (index: number): Float32Array => values.subarray(index * cells, (index + 1) * cells);
    const surest = plane(0).reduce((best, value, at, all) => (value > (all[best] ?? 0) ? at : best), 0);
    const classes = Array.from({ length: 80 }, (_, index) => plane(5 + index)[surest] ?? 0);
    expect(plane(0)[surest]).toBeGreaterThan(0.7);
    expect(classes.indexOf(Math.max(...classes))).toBe(0);
  });
});
