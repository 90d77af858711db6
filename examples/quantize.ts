/**
 * Quantization: 8 bits instead of 32.
 *
 *     quantized = torch.quantization.quantize_dynamic(net, {nn.Linear}, dtype=torch.qint8)
 *     prepared = torch.quantization.prepare(net);  [prepared(x) for x, _ in calibration];  torch.quantization.convert(prepared)
 *
 * Differences: one call with a `scheme`. PyTorch has no public function that quantizes only the weights of a module
 * (`_apply_weight_quantization`, which some tutorials call, does not exist); in Pith that is `scheme: "weights"`. "dynamic" computes the ranges
 * of activations in every run. "static" measures them once, on a dataset instead of in a loop of forward passes. Layers that stay in float are
 * returned with the reason.
 */
import { mkdir, stat } from "node:fs/promises";
import { type Model, open, save } from "pith";
import { type Dataset, take } from "pith/data";
import { createEngine } from "pith/engine";
import { accuracy, evaluate } from "pith/evaluate";
import { linear, network, relu } from "pith/nn";
import { quantize } from "pith/quantize";
import { train } from "pith/train";
import { digits } from "./digits.ts";

const data = await digits();
const net = network({ fc1: linear(784, 128), relu: relu(), fc2: linear(128, 10) }, { input: ["batch", 784], seed: 1 });
await train(net, { data: data.train, epochs: 3, learningRate: 0.003 });
await mkdir("out", { recursive: true });
await report(net, "out/float.onnx", data.test);

const weights = net.clone();
await quantize(weights, { scheme: "weights", bits: 8 });
await report(weights, "out/weights.onnx", data.test);

const dynamic = net.clone();
await quantize(dynamic, { scheme: "dynamic" });
await report(dynamic, "out/dynamic.onnx", data.test);

const integers = net.clone();
const { misses } = await quantize(integers, { scheme: "static", data: take(data.train, 500) });
for (const { at, reason } of misses) console.log(`${at} stays in float: ${reason}`);
await report(integers, "out/static.onnx", data.test);

/** Prints the size of the saved file, and its accuracy in ONNX Runtime. */
async function report(model: Model, file: string, test: Dataset): Promise<void> {
  await save(model, file);
  const { estimate } = await evaluate(createEngine(), await open(file), test, accuracy());
  const { size } = await stat(file);
  console.log(`${file}: ${size} bytes, accuracy ${(100 * estimate.value).toFixed(2)} % on ${estimate.count} digits`);
}
