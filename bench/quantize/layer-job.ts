/** Job: rounds the weight of one layer on correlated inputs, from its samples to its quantized values. */
import { startMemoryMeter } from "../../src/app/cli/jobs/memory.ts";
import { encodeToBytes } from "../../src/core/onnx/encode.ts";
import { float32 } from "../../src/core/tensor/dense.ts";
import { random } from "../../src/core/tensor/random.ts";
import { memory } from "../../src/data/index.ts";
import { linear, network } from "../../src/learn/nn/index.ts";
import { nearest, quantize } from "../../src/techniques/quantize/index.ts";
import { gptq } from "../../src/techniques/quantize/rounders/gptq.ts";

export interface LayerInput {
  readonly size: number;
  readonly samples: number;
  /** "gptq 4 bits": with scales of the range, as in the peer's script. The other two have 8 bits. */
  readonly rounder: "gptq 4 bits" | "gptq" | "rdoq";
}

export interface LayerTaken {
  /** By the clock, and of the processor. */
  readonly seconds: number;
  readonly processor: number;
  readonly peak: number;
}

export default async function layerJob({ size, samples, rounder }: LayerInput): Promise<LayerTaken> {
  const numbers = random(0, "inputs");
  const x = new Float32Array(samples * size);
  for (let row = 0; row < samples; row++) {
    const common = 2 * numbers.normal();
    for (let column = 0; column < size; column++) x[row * size + column] = numbers.normal() + common;
  }
  const data = memory("x", { x: float32([samples, size], x) });
  const model = network({ fc: linear(size, size) }, { input: ["batch", size], seed: 0 });
  const peak = startMemoryMeter();
  const [began, before] = [performance.now(), process.cpuUsage()];
  const options =
    rounder === "gptq 4 bits"
      ? ({ bits: 4, block: 128, rounder: { ...gptq, scales: nearest.scales } } as const)
      : ({ rounder } as const);
  await quantize(model, { scheme: "weights", ...options, data, samples });
  await encodeToBytes(model);
  const { user, system } = process.cpuUsage(before);
  return { seconds: (performance.now() - began) / 1000, processor: (user + system) / 1e6, peak: peak() };
}
