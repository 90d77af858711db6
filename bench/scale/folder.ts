/**
 * A folder of an encoder and a merged decoder, as transformers.js lays it out, and what the command takes of it: `folder.ts MiB FOLDER [dtypes]`.
 * Weights are made as they are written. Both branches of the decoder read the same.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Emit, emitInto } from "../../src/graph/emit.ts";
import type { Value } from "../../src/graph/graph.ts";
import { Model } from "../../src/graph/model.ts";
import { save } from "../../src/onnx/index.ts";
import { float32 } from "../../src/tensor/dense.ts";
import { symbol } from "../../src/tensor/dims.ts";
import type { Tensor } from "../../src/tensor/types.ts";
import { weightOf } from "../files/large.ts";
import { takenBy } from "../lib/taken.ts";

const width = 2048;
const vocabulary = 1024;

function largeTensor(seed: number, rows: number): Tensor {
  const dims = [rows, width];
  const read = async () => float32(dims, weightOf(seed).data.subarray(0, rows * width));
  return { type: "float32", dims, bytes: 4 * rows * width, small: undefined, stored: undefined, read };
}

/** Products around a stream that they add to, small beside it, so that depth does no harm. */
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
  const own = weightsFor(encoder, count, 2);
  const states = stack(ofEncoder, ofEncoder.Gather([table, input]), own, ofEncoder.constant(small, "unit"));
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

const [mebibytes = "2048", folder = "", dtypes = "q8,q4"] = process.argv.slice(2);
await writeFolder(folder, Number(mebibytes));
const words = ["--import", "tsx", "--conditions=pith-source", "src/cli/main.ts"];
const given = ["quantize", folder, "--dtype", dtypes, "-o", `${folder}.out`];
const { error, ...taken } = await takenBy(process.execPath, [...words, ...given]);
process.stderr.write(error);
process.stdout.write(`${JSON.stringify(taken)}\n`);
