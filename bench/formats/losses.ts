/**
 * What bits cost language models: nats a token on test samples, beside float32, with the paired interval. Targets: weights of 8 bits +0.2 %, dynamic
 * +0.5 %; in 4 bits HQQ or k-quant below rounding to nearest. The static scheme is calibrated on samples apart.
 */
import { createEngine } from "../../src/engine/index.ts";
import { compare } from "../../src/evaluate/index.ts";
import { encodeToBytes, open } from "../../src/onnx/index.ts";
import { type QuantizeOptions, quantize } from "../../src/quantize/index.ts";
import { openTask } from "../../src/task/index.ts";
import { line, table } from "../lib/print.ts";
import { type FormatsTable, needed } from "./table.ts";

const models = {
  llama260k: { model: "llama260k.onnx", data: "text/llama260k_eval_64x120_u16le.bin", calibrate: 16 },
  llama_shakespeare: {
    model: "llama_shakespeare/onnx/decoder_model.onnx",
    data: "models/llama_shakespeare/test_ids_u16le.bin",
    calibrate: 32,
  },
};

const block4 = { scheme: "weights", bits: 4, block: 32 } as const;
const variants: readonly (readonly [name: string, options: QuantizeOptions, most?: number])[] = [
  ["weights, 8 bits", { scheme: "weights" }, 0.002],
  ["dynamic", { scheme: "dynamic" }, 0.005],
  ["static", { scheme: "static" }],
  ["4 bits, nearest", block4],
  ["4 bits, nearest, zero points", { ...block4, zeroPoints: true }],
  ["4 bits, mse", { ...block4, rounder: "mse" }],
  ["4 bits, hqq", { ...block4, rounder: "hqq" }],
  ["4 bits, k-quant", { ...block4, rounder: "k-quant" }],
];

export const losses: FormatsTable = {
  title: "Losses of language models, nats a token",
  async run(settings) {
    for (const [name, { model, data, calibrate }] of Object.entries(models)) {
      if (settings.models !== undefined && !settings.models.includes(name)) continue;
      const path = needed(`data/models/${model}`);
      const original = await open(path);
      const task = await openTask(original, { data: needed(`data/${data}`), metric: "cross-entropy", calibrate });
      const rows: string[][] = [];
      const found = new Map<string, number>();
      let float = 0;
      for (const [variant, options, most] of variants) {
        const candidate = await open(path);
        await quantize(candidate, { ...options, data: task.calibrate, samples: calibrate });
        const compared = await compare(createEngine(), original, candidate, task.test, task.metric);
        const { value, low, high } = compared.difference;
        float = compared.original.value;
        found.set(variant, compared.candidate.value);
        const percent = (part: number): string =>
          `${(100 * part) / float > 0 ? "+" : ""}${((100 * part) / float).toFixed(2)}`;
        rows.push([
          variant,
          compared.candidate.value.toFixed(4),
          percent(value),
          `${percent(low)} … ${percent(high)}`,
          Math.round((await encodeToBytes(candidate)).length / 1000).toString(),
          most === undefined ? "" : value <= most * float ? "met" : "MISSED",
        ]);
      }
      line(`\n${name}: ${task.preprocessing}; float32 ${float.toFixed(4)}`);
      table(["variant", ">nats", ">%", "interval", ">kB", "target"], rows);
      const near = found.get("4 bits, nearest") ?? 0;
      const better = Math.min(found.get("4 bits, hqq") ?? near, found.get("4 bits, k-quant") ?? near);
      line(`  4 bits with HQQ or k-quant below nearest: ${better < near ? "met" : "MISSED"}`);
    }
  },
};
