/** Runs every variant of a folder in transformers.js: in Node, and in WebAssembly. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { AutoTokenizer } from "@huggingface/transformers";
import { beforeAll, describe, expect, test } from "vitest";
import { quantizeFolder } from "../../src/app/folder/quantize-folder.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import { open } from "../../src/core/onnx/index.ts";
import { readUtterances } from "../../src/data/sources/utterances.ts";
import { openTokenizer } from "../../src/data/text/tokenizer.ts";
import { generate, generatorOf } from "../../src/runtime/run/generate.ts";
import { defaultDtypes } from "../../src/techniques/quantize/dtypes.ts";
import { json } from "../app/cli/run.ts";
import { browser, inBrowser } from "../browser.ts";
import { realModel, shared } from "../shared.ts";
import { temporaryFolder } from "../temporary.ts";
import { type Answers, type Asked, answers, transcripts } from "./answers.ts";

const dtypes = ["fp32", "q8", "int8", "uint8", "q4", "q4f16", "fp16", "q2", "q2f16"] as const;
const out = temporaryFolder();

const module = join(import.meta.dirname, "answers.ts");

const inNode = (asked: Omit<Asked, "models" | "device">) => answers({ ...asked, models: `${out}/`, device: "cpu" });

async function inWebAssembly(asked: Omit<Asked, "models" | "device">): Promise<Record<string, Answers>> {
  const request: Asked = { ...asked, models: "/models/", device: "wasm" };
  const text = `import { answers } from ${JSON.stringify(module)}; export default () => answers(${JSON.stringify(request)});`;
  return (await inBrowser(text, out)) as Record<string, Answers>;
}

async function written(name: string): Promise<void> {
  const folder = shared(`data/models/${name}`) ?? "";
  const rows = await quantizeFolder(folder, { dtypes: [...defaultDtypes, "q2", "q2f16"], out: join(out, name) });
  expect(rows.filter(({ verdict }) => verdict !== "kept")).toEqual([]);
}

describe.skipIf(shared("data/models/bert_sst2") === undefined)("a classifier gives the labels of its original", () => {
  const asked = {
    name: "bert_sst2",
    task: "text-classification",
    texts: [
      "a stunning lyrical work of considerable force and truth",
      "dull",
      "one long string of cliches that never ends and never goes anywhere at all",
      "the film is a refreshingly serious look at young women",
    ],
  } as const;
  beforeAll(() => written("bert_sst2"));

  const expectSame = (told: Record<string, Answers>) => {
    const { alone } = told.fp32 ?? { alone: [] };
    expect(new Set(alone)).toEqual(new Set(["POSITIVE", "NEGATIVE"]));
    expect(told).toEqual(Object.fromEntries(dtypes.map((dtype) => [dtype, { alone, batch: alone }])));
  };
  test("in Node", async () => expectSame(await inNode({ ...asked, dtypes })));
  test.skipIf(browser === undefined)("in WebAssembly", async () =>
    expectSame(await inWebAssembly({ ...asked, dtypes })),
  );
  test.skipIf(browser === undefined)("in WebAssembly, with weights in several files", async () => {
    const name = "chunks";
    const variants = ["q8", "q4"] as const;
    const folder = shared("data/models/bert_sst2") ?? "";
    await quantizeFolder(folder, { dtypes: variants, out: join(out, name), fileBytes: 2 ** 19 });
    const files = await readdir(join(out, name, "onnx"));
    for (const model of ["model_quantized", "model_q4"]) expect(files).toContain(`${model}.onnx_data_2`);
    const shardedAnswers = await inWebAssembly({ ...asked, name, dtypes: variants });
    const unshardedAnswers = await inWebAssembly({ ...asked, dtypes: variants });
    expect(shardedAnswers).toEqual(unshardedAnswers);
  });
});

describe.skipIf(shared("data/models/llama_shakespeare") === undefined)("a decoder with cache", () => {
  const asked = {
    name: "llama_shakespeare",
    task: "text-generation",
    texts: ["ROMEO:\nO, speak again", "First Citizen:\n", "What say you to this, my lord of Gloucester, and"],
  } as const;
  beforeAll(() => written("llama_shakespeare"));

  /** Ranges found at run time depend on what else is in the batch; weights alone do not. */
  const expectSame = (answersByDtype: Record<string, Answers>) => {
    const { fp32, fp16 } = answersByDtype;
    expect(fp16).toEqual(fp32);
    for (const [dtype, { alone, batch }] of Object.entries(answersByDtype)) {
      for (const [index, text] of alone.entries())
        expect(text.length).toBeGreaterThan((asked.texts[index] ?? "").length + 24);
      if (!["q8", "int8", "uint8"].includes(dtype)) expect(batch).toEqual(alone);
    }
  };
  test("with the tokens that Pith compares", async () => {
    const folder = join(out, asked.name);
    const libraryAnswers = await answers({ ...asked, dtypes: ["fp32", "q4"], models: `${out}/`, device: "cpu" });
    const [ours, theirs] = [await openTokenizer(folder), await AutoTokenizer.from_pretrained(asked.name)];
    for (const [dtype, file] of [
      ["fp32", "model.onnx"],
      ["q4", "model_q4.onnx"],
    ] as const) {
      const generator = generatorOf(new Map([["model", await open(join(folder, "onnx", file))]]));
      if (generator === undefined || ours === undefined) throw new Error("no generator");
      const prompts = asked.texts.map((text) => ours.encode(text).ids);
      const tokenLists = await generate(createEngine(), generator, prompts, { steps: 24, padding: 0, startToken: 0 });
      expect(tokenLists.map((tokens, at) => theirs.decode([...(prompts[at] ?? []), ...tokens]))).toEqual(
        libraryAnswers[dtype]?.batch,
      );
    }
  });
  test("in Node", async () => expectSame(await inNode({ ...asked, dtypes })));
  test.skipIf(browser === undefined)("in WebAssembly", async () =>
    expectSame(await inWebAssembly({ ...asked, dtypes })),
  );
});

/** Dtypes for the web of networks of real size. */
const webDtypes = ["q4", "q4f16", "q8", "fp16"] as const;

async function quantized(name: string): Promise<void> {
  const { files } = await json("quantize", realModel(name) ?? "", "--dtype", webDtypes.join(), "-o", join(out, name));
  const rows: readonly unknown[] = Array.isArray(files) ? files : [];
  expect(rows.length).toBeGreaterThanOrEqual(webDtypes.length);
  for (const row of rows) expect(row).toMatchObject({ verdict: "kept", loader: { outcome: "runs" } });
}

describe.skipIf(realModel("smollm2-135m") === undefined)("a language model of real size", () => {
  const asked = {
    name: "smollm2-135m",
    task: "text-generation",
    texts: ["The capital of France is", "The days of the week are Monday, Tuesday,"],
  } as const;
  beforeAll(() => quantized(asked.name));

  const expectKnowledge = (answersByDtype: Record<string, Answers>) => {
    for (const [dtype, { alone }] of Object.entries(answersByDtype))
      expect({ dtype, alone }).toEqual({
        dtype,
        alone: [expect.stringMatching(/^The capital of France is Paris/), expect.stringMatching(/Tuesday, Wednesday/)],
      });
  };
  test("continues texts in Node", async () => expectKnowledge(await inNode({ ...asked, dtypes: webDtypes })));
  test.skipIf(browser === undefined)("continues texts in WebAssembly", async () =>
    expectKnowledge(await inWebAssembly({ ...asked, dtypes: ["q4", "q8"] })),
  );
});

const recording = shared("data/audio/silero_test.wav");

describe.skipIf(realModel("whisper-tiny.en") === undefined || recording === undefined)(
  "a speech model of real size",
  () => {
    beforeAll(() => quantized("whisper-tiny.en"));

    test("transcribes a recording in Node as its original does", async () => {
      const [utterance] = await readUtterances(recording ?? "", { rate: 16_000, maxSeconds: 20, count: 1 });
      const transcriptsByDtype = await transcripts(
        { models: `${out}/`, name: "whisper-tiny.en", dtypes: ["fp32", ...webDtypes], device: "cpu" },
        [utterance?.samples ?? new Float32Array()],
      );
      const wordsOf = (dtype: string): readonly string[] =>
        transcriptsByDtype[dtype]
          ?.join()
          .toLowerCase()
          .match(/[a-z']+/g) ?? [];
      const expected = wordsOf("fp32");
      expect(expected.length).toBeGreaterThan(20);
      for (const dtype of webDtypes) {
        const words = wordsOf(dtype);
        expect(expected.filter((word) => words.includes(word)).length, dtype).toBeGreaterThan(0.9 * expected.length);
      }
    });
  },
);
