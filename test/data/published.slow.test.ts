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
import { open } from "../../src/onnx/index.ts";
import { shared } from "../shared.ts";
import { floats, outputs } from "./outputs.ts";

const llama = shared("data/models/llama_shakespeare/onnx/decoder_model.onnx");
const shakespeare = shared("data/text/tinyshakespeare.txt");

test.skipIf(llama === undefined || shakespeare === undefined)(
  "running text gets the very tokens that the library which trained the tokenizer gave it",
  async () => {
    const tokenizer = await tokenizerBeside(llama ?? "");
    if (tokenizer === undefined) throw new Error("no tokenizer");
    expect([tokenizer.vocabularySize, tokenizer.longest]).toEqual([1024, 256]);
    const text = readFileSync(shakespeare ?? "", "utf8");
    const own = tokensOfText("text", text.slice(Math.floor(text.length * 0.95)), tokenizer, 128);
    const bytes = readFileSync(shared("data/models/llama_shakespeare/test_ids_u16le.bin") ?? "");
    const stored = tokensInFile(bytesSource(bytes, "ids"), { width: 2, sequences: undefined }, 128);
    expect([own.count, stored.count]).toEqual([194, 194]);
    const positions = Uint32Array.from({ length: 194 }, (_, at) => at);
    expect(await own.gather(positions)).toEqual(await stored.gather(positions));
  },
);

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

  test("has faces for ultraface, and black has none", async () => {
    const path = shared("data/models/ultraface_slim320.onnx") ?? "";
    const surest = async (how: string): Promise<number> => {
      const [found] = await outputs(path, await prepared(path, how));
      // Pairs of scores: background, face.
      return floats(found?.scores).reduce((most, value, at) => (at % 2 === 1 ? Math.max(most, value) : most), 0);
    };
    expect(await surest("scale=1 mean=127 std=128 resize=240x320")).toBeGreaterThan(0.8);
    expect(await surest("scale=1/1000000 mean=1 std=1 resize=240x320")).toBeLessThan(0.5);
  });

  test("has people for fastestdet", async () => {
    const path = shared("data/models/fastestdet.onnx") ?? "";
    const [found] = await outputs(path, await prepared(path, "unit channels=BGR resize=352x352"));
    const values = floats(found?.["758"]);
    // Planes: whether something is there, four of its box, then 80 classes, of which the first is "person".
    const cells = 22 * 22;
    const plane = (index: number): Float32Array => values.subarray(index * cells, (index + 1) * cells);
    const surest = plane(0).reduce((best, value, at, all) => (value > (all[best] ?? 0) ? at : best), 0);
    const classes = Array.from({ length: 80 }, (_, index) => plane(5 + index)[surest] ?? 0);
    expect(plane(0)[surest]).toBeGreaterThan(0.7);
    expect(classes.indexOf(Math.max(...classes))).toBe(0);
  });
});
