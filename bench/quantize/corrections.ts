/**
 * Experiment "corrections": static int8 with equalization and bias correction (default), and without one or both. It shows whether the signal to noise of the
 * plain result on calibration samples tells where the two steps can be skipped.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEngine } from "../../src/core/engine/index.ts";
import { open } from "../../src/core/onnx/index.ts";
import { take } from "../../src/data/index.ts";
import { measure } from "../../src/judge/index.ts";
import { meanKl } from "../../src/runtime/metrics/comparison-metrics.ts";
import { type QuantizeOptions, quantize } from "../../src/techniques/quantize/index.ts";
import { noiseMeter } from "../../src/techniques/shared/noise-trials.ts";
import { heading, line, table } from "../lib/print.ts";
import { networkNames, openSamples } from "./samples.ts";
import { calibrating, type Settings } from "./static.ts";

const variants: Readonly<Record<string, QuantizeOptions>> = {
  default: { scheme: "static" },
  "no bias correction": { scheme: "static", biasCorrection: "none" },
  neither: { scheme: "static", biasCorrection: "none", equalize: false },
};
const heldOut = 32;
const tested = 1000;

const mean = (values: ArrayLike<number> = []): number =>
  Array.from(values).reduce((sum, value) => sum + value, 0) / values.length;

export async function corrections({ draws, models = networkNames, smoke }: Settings): Promise<boolean> {
  heading(`Corrections of static int8, calibrated on ${calibrating} samples, for ${draws} draws`, 0);
  const engine = createEngine();
  const folder = await mkdtemp(join(tmpdir(), "pith-bench-"));
  for (const network of smoke ? (["resnet20"] as const) : networkNames) {
    const samples = models.includes(network) ? await openSamples(network, folder) : undefined;
    if (samples === undefined) continue;
    const rows: string[][] = [];
    for (let seed = 0; seed < draws; seed++) {
      const { calibrate, test } = samples.draw(calibrating, seed);
      const original = await open(samples.path);
      const context = { engine, seed, signal: new AbortController().signal };
      const meter = noiseMeter(original, async () => calibrate, context, heldOut);
      for (const [name, options] of Object.entries(variants)) {
        // Statistics of a copy would be cached.
        const model = await open(samples.path);
        const before = process.cpuUsage();
        const { changes } = await quantize(model, { ...options, data: calibrate, samples: calibrating });
        const { user, system } = process.cpuUsage(before);
        const noise = (await meter(model)) ?? Number.NaN;
        const metrics = [samples.metric, meanKl()];
        const measured = await measure(engine, [original, model], take(test, smoke ? heldOut : tested), metrics);
        const [[accuracy] = [], [changedAccuracy, divergence] = []] = measured;
        const change = 100 * (mean(changedAccuracy) - mean(accuracy));
        const scaled = changes.filter(({ kind }) => kind === "scaled").length;
        const times = ((user + system) / 1e6).toFixed(2);
        const decibels = (-10 * Math.log10(noise)).toFixed(1);
        const divergenceText = mean(divergence).toExponential(2);
        rows.push([`${seed}`, name, decibels, divergenceText, change.toFixed(2), `${scaled}`, times]);
      }
    }
    line(`\n${network}`);
    table(["draw", "steps", ">dB", ">KL", ">points", ">equalized", ">seconds"], rows);
  }
  await rm(folder, { recursive: true });
  return true;
}
