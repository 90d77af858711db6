/** Job: a network quantized by itself, with what this process takes for it, decoding samples and saving included; not the check of their preprocessing, which is of the task. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startMemoryMeter } from "../../src/app/cli/jobs/memory.ts";
import { open, save } from "../../src/core/onnx/index.ts";
import { type QuantizeOptions, quantize } from "../../src/techniques/quantize/index.ts";
import { type NetworkName, openSamples } from "./samples.ts";

export interface QuantizeInput {
  readonly network: NetworkName;
  readonly options: Omit<QuantizeOptions, "data" | "samples">;
  readonly calibrate: number;
  readonly seed: number;
  readonly out: string;
}

export interface Quantized {
  /** By the clock, and of the processor. */
  readonly seconds: number;
  readonly processor: number;
  /** Bytes over what the process held before it opened anything. */
  readonly peak: number;
}

export default async function quantizeJob({
  network,
  options,
  calibrate,
  seed,
  out,
}: QuantizeInput): Promise<Quantized> {
  const folder = await mkdtemp(join(tmpdir(), "pith-bench-"));
  try {
    const peak = startMemoryMeter();
    const samples = await openSamples(network, folder);
    if (samples === undefined) throw new Error(`${network} is not in the shared folder.`);
    const [began, before] = [performance.now(), process.cpuUsage()];
    const model = await open(samples.path);
    await quantize(model, { ...options, data: samples.draw(calibrate, seed).calibrate, samples: calibrate }, { seed });
    await save(model, out);
    const { user, system } = process.cpuUsage(before);
    return { seconds: (performance.now() - began) / 1000, processor: (user + system) / 1e6, peak: peak() };
  } finally {
    await rm(folder, { recursive: true });
  }
}
