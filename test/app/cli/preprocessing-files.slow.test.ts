/** Tests texts, tokens and broken files on the command line. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { shared } from "../../shared.ts";
import { temporaryFolder } from "../../temporary.ts";
import { json, pith } from "./run.ts";

const root = temporaryFolder();

const model = (name: string): string | undefined => shared(`data/models/${name}`);

function firstFigure(result: Readonly<Record<string, unknown>>): number {
  const [figure] = result.figures as { estimate: { value: number } }[];
  return figure?.estimate.value ?? Number.NaN;
}

test.skipIf(model("bert_sst2/onnx/model.onnx") === undefined || shared("data/text/sst2_dev.tsv") === undefined)(
  "evaluates a text classifier on sentences with the tokenizer next to it",
  async () => {
    const data = shared("data/text/sst2_dev.tsv") ?? "";
    const result = await json("eval", model("bert_sst2/onnx/model.onnx") ?? "", "--data", data);
    expect(result).toMatchObject({ samples: 872, preprocessing: "tokenizer.json, at most 128 tokens" });
    expect(100 * firstFigure(result)).toBeCloseTo(76.4, 1);
  },
);

test.skipIf(model("evaluates a language model on windows of tokens") === undefined)(
  "a language model is judged on windows of tokens",
  async () => {
    const data = shared("data/text/llama260k_eval_64x120_u16le.bin") ?? "";
    const result = await json("eval", model("llama260k.onnx") ?? "", "--data", data, "--metric", "cross-entropy");
    expect(result).toMatchObject({ samples: 64, preprocessing: "windows of 120 tokens" });
    expect(firstFigure(result)).toBeCloseTo(1.81, 3);
  },
);

describe.skipIf(model("resnet20.onnx") === undefined)(
  "data that cannot be read causes one error with its position",
  () => {
    const llama = "llama260k.onnx";
    const bert = "bert_sst2/onnx/model.onnx";
    const cases = [
      { file: "cut.png", content: "\u0089PNG", of: "resnet20.onnx", how: ["--preprocess", "unit"], says: /cut\.png/ },
      { file: "a_u16le.bin", content: "abc", of: llama, says: /3 bytes are not a whole number of tokens/ },
      { file: "a_2x9_u16le.bin", content: "abcd", of: llama, says: /holds 2 tokens, its name says 2 × 9/ },
      { file: "prose.txt", content: "once upon", of: llama, says: /the model has no tokenizer\.json next to it/ },
      { file: "speech.wav", content: "RIFF", of: "dtln_1.onnx", says: /speech\.wav is not a WAV file/ },
      { file: "table.csv", content: "text,label\na,1\nb,2,3\n", of: bert, says: /line 3: expected 2 fields, got 3/ },
      { file: "numbers.csv", content: "a,label\n1,1\n2,0\n", of: bert, says: /input_ids/ },
    ];
    test.each(cases)("$file for $of", async ({ file, content, of, how = [], says }) => {
      const path = join(root, file);
      await writeFile(path, content, "latin1");
      const modelPath = model(of) ?? "";
      const { code, err, out } = await pith("eval", modelPath, "--original", modelPath, "--data", path, ...how);
      expect(err).toMatch(says);
      expect(err).toMatch(/^E_DATA/m);
      expect([code, out]).toEqual([1, ""]);
    });

    test.each([
      ["--preprocess", "crop=0"],
      ["--preprocess", "length=many"],
      ["--states", "state"],
    ])("rejects %s %s before it reads data", async (...words) => {
      const { code, err } = await pith("eval", model("resnet20.onnx") ?? "", "--data", "nowhere", ...words);
      expect([code, err]).toEqual([2, expect.stringMatching(/^E_(OPTION|USAGE)/)]);
    });
  },
);
