/**
 * Times models with and without the operators that `pith simplify --target` writes: encoders, and language models for a prompt and for the token after it.
 *
 *     npm run bench -- fusion [--models hf_gpt2,bert_sst2] [--rounds 5] [--tokens 24]
 *     npm run bench -- fusion --files unfused.onnx,fused.onnx,other.onnx
 *
 * - Without `--files`, the bench simplifies each language model and encoder of the shared folder and of PITH_REAL_MODELS (`NAME/onnx/model.onnx`) in
 *   three ways: without a target, for `node,wasm`, and for `webgpu` (timed in the native runtime). With `--files`, it times the files as they are.
 * - The forms run interleaved on one thread, on `--tokens` tokens or the token after them. A time is the processor time of the fastest series.
 * - "Times as fast" is the median over all series, with its 95 % interval. A form is MISSED if the whole interval is below 1.
 */
import { existsSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { createEngine, type Engine } from "../src/core/engine/index.ts";
import { allNodes } from "../src/core/graph/graph-elements.ts";
import type { Model } from "../src/core/graph/model.ts";
import { open } from "../src/core/onnx/index.ts";
import type { Batch } from "../src/core/tensor/types.ts";
import { memory } from "../src/data/batches/indexed.ts";
import { simplify } from "../src/rewrite/clean-up/simplify.ts";
import { Decoding, decoderOf, tokenFeeds } from "../src/runtime/run/decoding.ts";
import { relativeTimer } from "../src/runtime/run/relative-time.ts";
import type { TargetName } from "../src/runtime/run/run-target.ts";
import { fusionOptionsFor } from "../src/techniques/quantize/fuse-decoder.ts";
import { shared } from "../test/shared.ts";
import { heading, line, table } from "./lib/print.ts";

const { values: options } = parseArgs({
  options: {
    models: { type: "string" },
    files: { type: "string" },
    rounds: { type: "string", default: "5" },
    tokens: { type: "string", default: "24" },
  },
});
const seed = 1;
const tokens = Number(options.tokens);

const names = [
  "models/llama_shakespeare/onnx/model",
  "models/llama260k",
  "zoo/llama_op13",
  "zoo/hf_llama_gqa",
  "zoo/hf_gpt2",
  "zoo/hf_t5_encoder",
  "zoo/hf_bert",
  "zoo/hf_distilbert_op17",
  "zoo/encoder_additive_mask",
  "models/bert_sst2/onnx/model",
];

function findModels(): readonly (readonly [name: string, path: string])[] {
  const all = names.flatMap((name) => {
    const path = shared(`data/${name}.onnx`);
    return path === undefined ? [] : [[name, path] as const];
  });
  const folder = process.env.PITH_REAL_MODELS;
  for (const name of folder === undefined ? [] : readdirSync(folder).toSorted()) {
    const path = join(folder ?? "", name, "onnx", "model.onnx");
    if (existsSync(path)) all.push([name, path]);
  }
  const selected = options.models?.split(",");
  return all.filter(([name]) => selected?.some((part) => name.includes(part)) ?? true);
}

interface Form {
  readonly name: string;
  readonly model: Model;
}

async function simplifiedForms(path: string, engine: Engine): Promise<readonly Form[]> {
  const targets: readonly (readonly TargetName[] | undefined)[] = [undefined, ["node", "wasm"], ["webgpu"]];
  const forms: Form[] = [];
  for (const target of targets) {
    const model = await open(path);
    await simplify(model, target === undefined ? {} : fusionOptionsFor(target), { engine });
    forms.push({ name: target?.join() ?? "no target", model });
  }
  return forms;
}

/** Returns the inputs to time: a prompt, and a token after it if the model has a cache. Other models get the prompt, too. */
async function inputsOf(model: Model, engine: Engine): Promise<readonly (readonly [name: string, feeds: Batch])[]> {
  const prompt = [Array.from({ length: tokens }, (_, position) => (3 + 37 * position) % 60)];
  const mask = prompt.map((row) => row.map(() => 1));
  if (decoderOf(model) === undefined) return [[`${tokens} tokens`, tokenFeeds(model, prompt, mask)]];
  const decoding = new Decoding(model);
  const first = decoding.next(prompt);
  if (decoderOf(model)?.caches.length === 0) return [[`${tokens} tokens`, first]];
  const session = await engine.load(model, { threads: 1 });
  decoding.carry(await session.run(first));
  await session.release();
  return [
    [`${tokens} tokens`, first],
    ["a token after them", decoding.next([[5]])],
  ];
}

/** Returns the median and the order statistics that bound it with 95 % confidence (normal approximation of the binomial distribution). */
function medianWithInterval(values: readonly number[]): readonly [value: number, low: number, high: number] {
  const sorted = values.toSorted((a, b) => a - b);
  const [middle, half] = [(sorted.length - 1) / 2, 0.98 * Math.sqrt(sorted.length)];
  const at = (index: number): number =>
    sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(index)))] ?? Number.NaN;
  return [at(middle), at(middle - half), at(middle + half)];
}

async function timeForms(name: string, [reference, ...forms]: readonly Form[], engine: Engine): Promise<string[][]> {
  if (reference === undefined) return [];
  const rows: string[][] = [];
  for (const [input, feeds] of await inputsOf(reference.model, engine)) {
    const context = { engine, seed, signal: new AbortController().signal };
    const timer = await relativeTimer(reference.model, context, memory("feeds", feeds));
    for (const form of forms) {
      const ratios: number[] = [];
      let [before, after] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
      for (let round = 0; round < Number(options.rounds); round++) {
        const times = await timer.timePair(form.model);
        ratios.push(...times.ratios);
        [before, after] = [Math.min(before, times.before), Math.min(after, times.after)];
      }
      const [ratio, low, high] = medianWithInterval(ratios);
      const counts = [reference, form].map(({ model }) => `${[...allNodes(model.graph)].length}`);
      const cells = [before.toFixed(3), after.toFixed(3), ratio.toFixed(2), `${low.toFixed(2)} … ${high.toFixed(2)}`];
      rows.push([name, input, form.name, ...counts, ...cells, high < 1 ? "MISSED" : ""]);
    }
    await timer.release();
  }
  return rows;
}

heading("Fused operators, processor time on one thread", seed);
const engine = createEngine({ runtime: "native" });
const rows: string[][] = [];
if (options.files === undefined) {
  for (const [name, path] of findModels())
    rows.push(...(await timeForms(name, await simplifiedForms(path, engine), engine)));
} else {
  const paths = options.files.split(",");
  const forms = await Promise.all(paths.map(async (path) => ({ name: basename(path), model: await open(path) })));
  rows.push(...(await timeForms(forms[0]?.name ?? "", forms, engine)));
}
const titles = [
  "model",
  "inputs",
  "form",
  ">nodes",
  ">of the form",
  ">ms",
  ">of the form",
  ">times as fast",
  ">95 %",
  "",
];
table(titles, rows);
line();
