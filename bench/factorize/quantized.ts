/**
 * Compares distributions of the singular values between two factors that are then quantized or trained: W ≈ (U S^a) (S^(1-a) Vᵀ), half in each for a = ½.
 * Quantized: signal-to-noise ratio of the outputs relative to the float factors, on test samples. Trained: 784-128-10 on MNIST with fc1 at rank 8,
 * after 300 steps.
 */
import { digits } from "../../examples/digits.ts";
import { infer } from "../../src/core/analysis/infer.ts";
import { type Layer, layers } from "../../src/core/analysis/layers.ts";
import { weightElements, weightMatrices } from "../../src/core/analysis/weight-matrix.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { open } from "../../src/core/onnx/index.ts";
import { fromNumbers, toFloat64 } from "../../src/core/tensor/convert.ts";
import { inMemory } from "../../src/core/tensor/dense.ts";
import { fixedDims } from "../../src/core/tensor/dims.ts";
import { collect, take } from "../../src/data/index.ts";
import { accuracy, evaluate } from "../../src/judge/index.ts";
import { openTask } from "../../src/judge/task/index.ts";
import { linear, network, relu } from "../../src/learn/nn/index.ts";
import { train } from "../../src/learn/train/index.ts";
import { signalToNoise } from "../../src/runtime/metrics/comparison-metrics.ts";
import { evaluateAll } from "../../src/runtime/metrics/evaluate.ts";
import { factorize } from "../../src/techniques/factorize/index.ts";
import { type QuantizeOptions, quantize } from "../../src/techniques/quantize/index.ts";
import { needed } from "../formats/table.ts";
import { line, table } from "../lib/print.ts";
import type { Settings } from "./settings.ts";

const engine = createEngine();
const models = {
  resnet20: { model: "resnet20.onnx", data: "cifar10" },
  llama260k: { model: "llama260k.onnx", data: "text/llama260k_eval_64x120_u16le.bin", metric: "cross-entropy" },
  bert_sst2: { model: "bert_sst2/onnx/model.onnx", data: "text/sst2_dev.tsv" },
} as const;
const splits = [
  ["half in each", 0.5],
  ["all in the first", 0],
  ["all in the last", 1],
] as const;
const forms: readonly (readonly [name: string, options: QuantizeOptions])[] = [
  ["weights, 8 bits", { scheme: "weights" }],
  ["4 bits", { scheme: "weights", bits: 4, block: 32 }],
  ["dynamic", { scheme: "dynamic" }],
  ["static", { scheme: "static" }],
];

export const quantized = {
  title: "Factors quantized and trained, by where the singular values lie",
  async run(settings: Settings): Promise<void> {
    await noises(settings);
    await fineTuned(settings);
  },
};

async function noises({ smoke, threads }: Settings): Promise<void> {
  const rows: string[][] = [];
  for (const [name, { model, data, ...metric }] of Object.entries(models)) {
    const path = needed(`data/models/${model}`);
    const original = await open(path);
    const samples = smoke ? 32 : 128;
    const task = await openTask(original, { data: needed(`data/${data}`), samples, calibrate: 32, ...metric });
    for (const budget of smoke ? [0.5] : [0.5, 0.75]) {
      const thin = original.clone();
      await factorize(thin, { overrides: { "*": { budget } } }, { engine, seed: 1 });
      for (const [split, power] of splits) {
        const figures: string[] = [];
        for (const [, options] of forms) {
          const candidate = thin.clone();
          await divide(candidate, power);
          await quantize(candidate, { ...options, data: task.calibrate, samples: 32 }, { engine, seed: 1 });
          const [noise] = await evaluateAll(engine, candidate, task.test, [signalToNoise()], {
            original: thin,
            threads,
          });
          figures.push((noise?.estimate.value ?? Number.NaN).toFixed(1));
        }
        rows.push([name, budget.toString(), split, ...figures]);
      }
    }
  }
  line("  signal to noise, dB");
  table(["model", ">share of weights", "singular values", ...forms.map(([form]) => `>${form}`)], rows);
}

async function fineTuned({ smoke, threads }: Settings): Promise<void> {
  const parts = await digits();
  const [data, test] = [await collect(parts.train), await collect(parts.test)];
  const net = network(
    { fc1: linear(784, 128), relu: relu(), fc2: linear(128, 10) },
    { input: ["batch", 784], seed: 1 },
  );
  const training = { batch: 128, threads } as const;
  await train(net, { ...training, data, learningRate: 0.003, epochs: 2 }, { engine, seed: 1 });
  const thin = net.clone();
  await factorize(thin, { layers: "fc1", rank: 8 }, { engine, seed: 1 });
  const accuracyOf = async (model: Model): Promise<string> =>
    (100 * (await evaluate(engine, model, test, accuracy())).estimate.value).toFixed(2);
  line(`  ${await accuracyOf(net)} %, at rank 8 ${await accuracyOf(thin)} %; trained on`);
  const rows: string[][] = [];
  for (const learningRate of smoke ? [1e-3] : [1e-2, 3e-3, 1e-3, 3e-4]) {
    const figures: string[] = [];
    for (const [, power] of splits) {
      const candidate = thin.clone();
      await divide(candidate, power);
      await train(candidate, { ...training, data: take(data, 12_800), learningRate, epochs: 3 }, { engine, seed: 1 });
      figures.push(await accuracyOf(candidate));
    }
    rows.push([learningRate.toString(), ...figures]);
  }
  table(["learning rate", ...splits.map(([split]) => `>${split}`)], rows);
}

/** Scales both factors such that column r of the last one has the norm (aᵣ bᵣ)^power, where aᵣ and bᵣ are the norms in the two factors. */
async function divide(model: Model, power: number): Promise<void> {
  const all = new Map(layers(model, infer(model)).map((layer) => [layer.name, layer]));
  for (const [name, down] of all) {
    const base = name.replace(/\.down$/, "");
    const up = all.get(`${base}.up`);
    if (base === name || up === undefined || all.has(`${base}.core`)) continue;
    const [first, last] = [await matricesOf(down), await matricesOf(up)];
    for (const [group, { rows: ranks, columns, data }] of first.entries()) {
      const other = last[group];
      if (other === undefined) continue;
      const taps = other.columns / ranks;
      for (let rank = 0; rank < ranks; rank++) {
        const row = data.subarray(rank * columns, (rank + 1) * columns);
        const places = Array.from(
          { length: other.rows * taps },
          (_, at) => Math.floor(at / taps) * other.columns + rank * taps + (at % taps),
        );
        const [a, b] = [Math.hypot(...row), Math.hypot(...places.map((at) => other.data[at] ?? 0))];
        if (a * b === 0) continue;
        const factor = (a * b) ** power / b;
        for (const at of places) other.data[at] = (other.data[at] ?? 0) * factor;
        for (const at of row.keys()) row[at] = (row[at] ?? 0) / factor;
      }
    }
    store(down, first);
    store(up, last);
  }
}

async function matricesOf({ weight, role }: Layer) {
  const dense = await weight.tensor?.read();
  return dense === undefined ? [] : weightMatrices(role, dense.dims, toFloat64(dense));
}

function store({ weight, role }: Layer, matrices: Parameters<typeof weightElements>[2]): void {
  const dims = fixedDims(weight.type?.dims) ?? [];
  weight.tensor = inMemory(fromNumbers("float32", dims, weightElements(role, dims, matrices)));
}
