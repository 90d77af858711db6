/** Runs folders with fewer tokens in transformers.js. */
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { trimFolder } from "../../src/app/folder/trim-vocabulary.ts";
import { shared } from "../shared.ts";
import { temporaryFolder } from "../temporary.ts";
import { answers } from "./answers.ts";

const models = shared("data/models");
const sentiment = shared("data/text/sst2_train.tsv");
const drama = shared("data/text/tinyshakespeare.txt");
const root = temporaryFolder();

describe.skipIf(models === undefined)("a folder with fewer tokens", () => {
  test.skipIf(sentiment === undefined)("classifies its texts equally, with a fifth fewer tokens", async () => {
    const out = join(root, "bert");
    const trimReport = await trimFolder(join(models ?? "", "bert_sst2"), { texts: [sentiment ?? ""], out });
    expect(trimReport).toMatchObject({
      tokens: 6000,
      texts: 6920,
      models: [{ compared: { texts: 64, difference: 0 } }],
    });
    expect(trimReport.kept).toHaveLength(4944);
    const texts = readFileSync(sentiment ?? "", "utf8")
      .split("\n")
      .slice(0, 60)
      .map((line) => line.split("\t")[0] ?? "");
    const asked = { task: "text-classification", dtypes: ["fp32"], texts, device: "cpu" } as const;
    const before = await answers({ ...asked, models: models ?? "", name: "bert_sst2" });
    expect(await answers({ ...asked, models: root, name: "bert" })).toEqual(before);
  });

  test.skipIf(drama === undefined)("generates text with tied weights and new ids", async () => {
    const [out, lines] = [
      join(root, "llama"),
      readFileSync(drama ?? "", "utf8")
        .split("\n")
        .slice(0, 150),
    ];
    await writeFile(join(root, "some.txt"), lines.join("\n"));
    const folder = join(models ?? "", "llama_shakespeare");
    const { kept } = await trimFolder(folder, { texts: [join(root, "some.txt")], out });
    expect(kept.length).toBeLessThan(700);
    const texts = ["First Citizen:\nBefore we proceed", "Speak, speak."];
    const answersByDtype = await answers({
      ...{ models: root, name: "llama", task: "text-generation", dtypes: ["fp32"], texts, device: "cpu" },
    } as const);
    expect(answersByDtype.fp32?.alone[0]).toMatch(/^First Citizen:\nBefore we proceed\S*\s+\w/);
  });
});
