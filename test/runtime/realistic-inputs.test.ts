/** Tests the inputs of models of texts without data. */
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { quantizeFolder } from "../../src/app/folder/quantize-folder.ts";
import { createEngine, type Engine } from "../../src/core/engine/index.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { parseModel } from "../../src/core/graph/text.ts";
import { open, save } from "../../src/core/onnx/index.ts";
import { completeContext } from "../../src/core/pass/run-pass.ts";
import type { Batch } from "../../src/core/tensor/types.ts";
import { firstBatch } from "../../src/data/batches/select.ts";
import { compareFunction, functionLossTextOf } from "../../src/judge/compare/compare-function.ts";
import { runSingleStep } from "../../src/judge/run/single-step.ts";
import { parseStep } from "../../src/judge/steps/step-options.ts";
import { watchLoads } from "../../src/runtime/run/load-check.ts";
import { textInputs } from "../../src/runtime/run/realistic-inputs.ts";
import { timedInputs } from "../../src/runtime/run/timed-inputs.ts";
import { quantize } from "../../src/techniques/quantize/index.ts";
import { writeVocabulary } from "../app/folder/small-vocabulary.ts";
import { cachedDecoder, mergedDecoder } from "../language-model.ts";
import { temporaryFolder } from "../temporary.ts";

const root = temporaryFolder();
const context = completeContext({ engine: createEngine() });

/** A context whose engine lists the inputs of all runs. */
function watched() {
  const runs: Batch[] = [];
  const outputs: Batch[] = [];
  const engine = createEngine();
  const watchedEngine: Engine = {
    async load(model, options) {
      const session = await engine.load(model, options);
      return {
        async run(feeds, fetch) {
          const computed = await session.run(feeds, fetch);
          runs.push(feeds);
          outputs.push(computed);
          return computed;
        },
        release: () => session.release(),
      };
    },
  };
  return { runs, outputs, engine: watchedEngine };
}

const encoder = (rows: number): Model =>
  parseModel(`opset 18
graph (input_ids: int64[batch, sequence]) -> (y: float32[batch, sequence, 4]) {
  table: float32[${rows}, 4] = random(seed 1)
  h = Gather(table, input_ids)
  y = Tanh(h)
}`);

async function saveIn(name: string, model: Model, hasTokenizer: boolean): Promise<Model> {
  const folder = join(root, name);
  await mkdir(folder, { recursive: true });
  if (hasTokenizer) await writeVocabulary(folder);
  await save(model, join(folder, "model.onnx"));
  return open(join(folder, "model.onnx"));
}

test("a decoder is compared on one half of its text, and calibrated on the other", async () => {
  const inputs = await textInputs(cachedDecoder(), context);
  expect(inputs?.test.name).toBe("text that the model generated: 8 sequences of 64 tokens, seed 0");
  const [test, calibrate] = [
    await firstBatch(inputs?.test ?? fail(), 8),
    await firstBatch(inputs?.calibrate ?? fail(), 8),
  ];
  expect(test.input_ids?.dims).toEqual([8, 64]);
  expect(test.input_ids?.data).not.toEqual(calibrate.input_ids?.data);
});

const fail = (): never => {
  throw new Error("There are no inputs.");
};

test("a text that a file keeps is not generated again", async () => {
  const file = join(root, "text");
  const first = await textInputs(cachedDecoder(), context, file);
  const { runs, engine } = watched();
  const second = await textInputs(cachedDecoder(), { ...context, engine }, file);
  expect(runs).toHaveLength(0);
  expect(await firstBatch(second?.test ?? fail(), 8)).toEqual(await firstBatch(first?.test ?? fail(), 8));
});

test("an encoder with a tokenizer gets sentences, and random tokens without one or if it does not run on them", async () => {
  const inputs = await textInputs(await saveIn("encoder", encoder(10), true), context);
  expect(inputs?.test.name).toBe("sentences that Pith ships: 16 texts");
  expect(inputs?.calibrate.count).toBe(16);
  expect(await textInputs(await saveIn("alone", encoder(10), false), context)).toBeUndefined();
  const log = vi.fn();
  expect(await textInputs(await saveIn("small", encoder(3), true), { ...context, log })).toBeUndefined();
  const text = expect.stringContaining("random inputs are used: ");
  expect(log).toHaveBeenCalledExactlyOnceWith({ id: "own-text", text, level: "warning" });
});

test("an encoder is timed on one text of 128 tokens, also if a file keeps texts for further commands", async () => {
  const model = await saveIn("timed", encoder(10), true);
  const { feeds, source } = await timedInputs(context.engine, [model], { file: join(root, "unused text") });
  expect(source).toBe("sentences that Pith ships");
  expect(feeds).toMatchObject([{ input_ids: { dims: [1, 128] } }]);
});

const ownTextNote = "calibrated on text that the model generated: 8 sequences of 64 tokens, seed 0";

test.each([
  [{ scheme: "static" }, "int8", true],
  [{ dtype: "q4" }, "weight in 4 bits", true],
  [{ dtype: "q8" }, "integer arithmetic", true],
  // Reconstruction in 2 bits fits the few texts and loses more on others.
  [{ scheme: "weights", bits: 2 }, "weight in 2 bits", false],
])("quantization of a decoder with %j calibrates on its own text if that helps", async (options, form, helps) => {
  const notes: string[] = [];
  const original = cachedDecoder();
  const step = await runSingleStep(
    {
      ...(await parseStep(quantize, options)),
      input: { path: "decoder.onnx", model: original },
      inputs: await textInputs(original, context),
      force: true,
    },
    { ...context, engine: watchLoads(createEngine()), stage: () => {}, log: ({ text }) => notes.push(text) },
  );
  expect(notes.includes(ownTextNote)).toBe(helps);
  expect(step.changes.map(({ what }) => what).join()).toContain(form);
});

test("the record and the card of a folder state the inputs of a decoder, with its agreement", async () => {
  const folder = join(root, "decoder");
  await mkdir(join(folder, "onnx"), { recursive: true });
  await save(cachedDecoder(), join(folder, "onnx", "model.onnx"));
  const out = join(root, "out");
  const [file] = await quantizeFolder(folder, { dtypes: ["q8"], out });
  const judgedOn = [
    "Compared on text that the model generated: 8 sequences of 64 tokens, seed 0, without data: only a strong difference rejects a file.",
  ];
  expect(file).toMatchObject({ verdict: "kept", nearness: { metric: "agreement", samples: 512 }, judgedOn });
  const { files } = JSON.parse(await readFile(join(out, "quantize_config.json"), "utf8"));
  expect(files["onnx/model_quantized.onnx"]).toMatchObject({ judgedOn });
  expect(await readFile(join(out, "README.md"), "utf8")).toContain(judgedOn[0]);
});

test("variants of a decoder are compared on one text, which is generated once", async () => {
  const folder = join(root, "once");
  await mkdir(join(folder, "onnx"), { recursive: true });
  await save(cachedDecoder(), join(folder, "onnx", "model.onnx"));
  const { runs, engine } = watched();
  await quantizeFolder(folder, { dtypes: ["q8", "fp16"], out: join(root, "once.out") }, { engine });
  // A text is generated from one token for each of 16 sequences.
  expect(runs.filter(({ input_ids: ids }) => String(ids?.dims) === "16,1")).toHaveLength(63);
});

/** Needs the output of an encoder, so that it generates no text alone. */
const withEncoder = (variation = {}): Model => {
  const model = mergedDecoder(variation);
  model.graph.addInput("encoder_hidden_states", { type: "float32", dims: [1, 8] });
  return model;
};

test("a decoder on random tokens gets caches that it has computed, in the branch that reads them", async () => {
  const { runs, outputs, engine } = watched();
  const original = withEncoder();
  expect(await compareFunction(engine, original, original.clone())).toMatchObject({ relativeError: 0 });
  const computed = outputs.map(({ "present.0.key": present }) => present?.data);
  const pasts = runs.map(({ "past_key_values.0.key": past }) => past?.data ?? []);
  for (const past of pasts.filter(({ length }) => length > 0)) expect(computed).toContainEqual(past);
  const branches = runs.map(({ use_cache_branch: branch }) => branch?.data[0]);
  expect(branches).toEqual(pasts.map(({ length }) => Number(length > 0)));
  expect(new Set(branches)).toEqual(new Set([0, 1]));
});

test("a scrambled cache is found on random tokens as well", async () => {
  const likeness = await compareFunction(createEngine(), withEncoder(), withEncoder({ stored: -3 }));
  expect(functionLossTextOf(likeness)).toMatch(
    /^output "logits \(with its cache\)": on random inputs the signal to noise is −/,
  );
});

test("an encoder next to its tokenizer is compared on sentences, as by a command", async () => {
  const original = await saveIn("compared", encoder(200), true);
  expect(await compareFunction(createEngine(), original, original.clone())).toMatchObject({
    inputs: expect.stringContaining("sentences that Pith ships"),
  });
});
