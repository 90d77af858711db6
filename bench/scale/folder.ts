/**
 * A folder with an encoder and a merged decoder in the layout of transformers.js. Measures the command on the folder, and the outputs of transformers.js
 * on the chunks in a browser. Weights are computed when they are written. Both branches of the decoder share their weights.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { createEngine } from "../../src/core/engine/index.ts";
import { type Emit, emitInto } from "../../src/core/graph/emit.ts";
import type { Value } from "../../src/core/graph/graph.ts";
import { Model } from "../../src/core/graph/model.ts";
import { open, save } from "../../src/core/onnx/index.ts";
import { toFloat64 } from "../../src/core/tensor/convert.ts";
import { float32, int64 } from "../../src/core/tensor/dense.ts";
import { symbol } from "../../src/core/tensor/dims.ts";
import type { Tensor } from "../../src/core/tensor/types.ts";
import { decibels } from "../../src/runtime/run/difference.ts";
import { type DtypeName, dtypes } from "../../src/techniques/quantize/dtypes.ts";
import { inPage } from "../../test/page.ts";
import { weightOf } from "../files/large.ts";
import { measureProcesses, type ProcessUsage } from "../lib/process-usage.ts";

const width = 2048;
const vocabulary = 1024;

function largeTensor(seed: number, rows: number): Tensor {
  const dims = [rows, width];
  const read = async () => float32(dims, weightOf(seed).data.subarray(0, rows * width));
  return { type: "float32", dims, bytes: 4 * rows * width, small: undefined, stored: undefined, read };
}

/** Builds residual matrix products with small outputs, so that values stay bounded in deep networks. */
function stack(emit: Emit, x: Value, weights: readonly Value[], unit: Value): Value {
  let h = x;
  for (let at = 0; at + 1 < weights.length; at += 2) {
    const [up, down] = [weights[at], weights[at + 1]];
    if (up === undefined || down === undefined) break;
    h = emit.Add([h, emit.Mul([emit.MatMul([emit.Relu([emit.MatMul([h, up])]), down]), unit])]);
  }
  return h;
}

function weightsFor(model: Model, count: number, first: number): readonly Value[] {
  return Array.from({ length: count }, (_, at) =>
    model.graph.addTensor(`layer${at}.weight`, largeTensor(first + at, width)),
  );
}

async function writeFolder(folder: string, mebibytes: number): Promise<void> {
  mkdirSync(join(folder, "onnx"), { recursive: true });
  writeFileSync(join(folder, "config.json"), JSON.stringify({ model_type: "t5", vocab_size: vocabulary }));
  const count = Math.ceil(mebibytes / 32);
  const ids = { type: "int64", dims: [symbol("batch"), symbol("sequence")] } as const;
  const hidden = { type: "float32", dims: [symbol("batch"), symbol("sequence"), width] } as const;
  const small = float32([], [1 / 16]);

  const encoder = new Model();
  const ofEncoder = emitInto(encoder);
  const input = encoder.graph.addInput("input_ids", ids);
  const table = encoder.graph.addTensor("embed.weight", largeTensor(1, vocabulary));
  const encoderWeights = weightsFor(encoder, count, 2);
  const states = stack(ofEncoder, ofEncoder.Gather([table, input]), encoderWeights, ofEncoder.constant(small, "unit"));
  states.type = hidden;
  encoder.graph.rename(states, "last_hidden_state");
  encoder.graph.addOutput(states);
  await save(encoder, join(folder, "onnx", "encoder_model.onnx"), { externalData: true });

  const decoder = new Model();
  const { graph } = decoder;
  const emit = emitInto(decoder);
  const token = graph.addInput("input_ids", ids);
  const seen = graph.addInput("encoder_hidden_states", hidden);
  const past = graph.addInput("past", hidden);
  const cached = graph.addInput("use_cache_branch", { type: "bool", dims: [1] });
  const shared = weightsFor(decoder, count, 1000);
  const embed = graph.addTensor("embed.weight", largeTensor(1, vocabulary));
  const unit = emit.constant(small, "unit");
  const branch =
    (before: Value) =>
    (inner: Emit): Value[] => [stack(inner, inner.Add([inner.Gather([embed, token]), before]), shared, unit)];
  const output = emit.named("logits").If([cached], { then_branch: branch(past), else_branch: branch(seen) });
  output.type = hidden;
  graph.addOutput(output);
  await save(decoder, join(folder, "onnx", "decoder_model_merged.onnx"), { externalData: true });
}

/** Measures `quantize` with chunks of 24 MB, a size that hosts with small limits can serve. */
export async function quantizedFolder(folder: string, mebibytes: number, dtypes: string): Promise<ProcessUsage> {
  await writeFolder(folder, mebibytes);
  const words = ["--import", "tsx", "--conditions=pith-source", "src/app/cli/main.ts"];
  const commandLine = ["quantize", folder, "--dtype", dtypes, "--chunk", "24MB", "-o", `${folder}.out`];
  return measureProcesses(process.execPath, [...words, ...commandLine]);
}

const shape = { batch: 1, sequence: 4 } as const;
const states = shape.batch * shape.sequence * width;
const ids = [3, 1, 4, 1];
const wave = (length: number): number[] => Array.from({ length }, (_, at) => Math.sin(at));

/** Returns the module of a page in which transformers.js loads both models of a folder and runs them once. */
const pageFor = (name: string, dtype: string): string => `
import { AutoModelForSeq2SeqLM, env, Tensor } from "@huggingface/transformers";
export default async () => {
  env.allowRemoteModels = false;
  env.allowLocalModels = true;
  env.localModelPath = "/models/";
  env.useBrowserCache = false;
  env.backends.onnx.wasm.wasmPaths = "/node_modules/@huggingface/transformers/node_modules/onnxruntime-web/dist/";
  const { sessions } = await AutoModelForSeq2SeqLM.from_pretrained("${name}", { dtype: "${dtype}", device: "wasm" });
  const tensor = (...given) => new Tensor(...given).ort_tensor;
  const numbers = async (session, feeds) => Array.from(Object.values(await session.run(feeds))[0].data);
  const dims = [${shape.batch}, ${shape.sequence}, ${width}];
  const wave = tensor("float32", Float32Array.from({ length: ${states} }, (_, at) => Math.sin(at)), dims);
  const input_ids = tensor("int64", BigInt64Array.from([${ids.map((id) => `${id}n`).join()}]), [${shape.batch}, ${shape.sequence}]);
  const use_cache_branch = tensor("bool", [false], [1]);
  return {
    encoder_model: await numbers(sessions.model, { input_ids }),
    decoder_model_merged: await numbers(sessions.decoder_model_merged, {
      input_ids, encoder_hidden_states: wave, past: wave, use_cache_branch,
    }),
  };
};`;

/** Returns the signal-to-noise ratio in dB of the page's outputs, relative to the same files in the native runtime. */
export async function chunksInBrowser(folder: string, dtype: string): Promise<Readonly<Record<string, number>>> {
  const page = pageFor(basename(folder), dtype);
  const places = { modules: folder, models: dirname(folder), temporary: dirname(folder) };
  const pageOutputs = (await inPage(page, places)) as Record<string, readonly number[]>;
  const state = float32([shape.batch, shape.sequence, width], wave(states));
  const input_ids = int64([shape.batch, shape.sequence], ids);
  const use_cache_branch = { type: "bool", dims: [1], data: new Uint8Array(1) } as const;
  const feeds = { input_ids, encoder_hidden_states: state, past: state, use_cache_branch };
  const levels: Record<string, number> = {};
  for (const [name, numbers] of Object.entries(pageOutputs)) {
    const model = await open(join(folder, "onnx", `${name}${dtypes[dtype as DtypeName].suffix}.onnx`));
    const session = await createEngine().load(model);
    const inputNames = model.graph.feeds.map((input) => input.name);
    const ownFeeds = Object.entries(feeds).filter(([input]) => inputNames.includes(input));
    const [output] = Object.values(await session.run(Object.fromEntries(ownFeeds)));
    await session.release();
    if (output === undefined) continue;
    const expected = toFloat64(output);
    const [signal, noise] = [expected, expected.map((x, at) => x - (numbers[at] ?? Number.NaN))].map((all) =>
      all.reduce((sum, x) => sum + x * x, 0),
    );
    levels[name] = decibels(signal ?? 0, noise ?? Number.NaN);
  }
  return levels;
}
