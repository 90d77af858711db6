/** Experiment "speed": time and memory of histogram calibration against onnxruntime's quantizer, and of GPTQ on a large layer against PyTorch, each in a separate process. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { elementCount } from "../../src/core/tensor/dims.ts";
import { runJob } from "../../src/runtime/job/run.ts";
import { heading, line, table, target } from "../lib/print.ts";
import { peer, pythonWith } from "../lib/python.ts";
import type quantizeJob from "./job.ts";
import type { QuantizeInput } from "./job.ts";
import type layerJob from "./layer-job.ts";
import { openSamples, timedSample, writeSamples } from "./samples.ts";
import { calibrating, type Settings } from "./static.ts";

const seed = 0;
/** Maximum processor time relative to the peers, and maximum memory in bytes beyond the samples. */
const most = { calibration: 1 / 4, bytes: 400e6, gptq: 4 };

/** Options that limit the pass to the work of onnxruntime's quantizer. */
const calibrationAlone = { equalize: false, biasCorrection: "none" } as const;

interface Taken {
  readonly seconds: number;
  readonly processor: number;
  readonly peak: number;
}

export async function speed(settings: Settings): Promise<boolean> {
  heading("What the tool takes", seed);
  const folder = await mkdtemp(join(tmpdir(), "pith-bench-"));
  try {
    return (await (settings.smoke ? true : calibration(folder, settings))) && (await largeLayer(settings));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function calibration(folder: string, { python }: Settings): Promise<boolean> {
  line(`\nRanges of ${calibrating} images, from their files to the result; onnxruntime's are decoded before`);
  line("The default pass also equalizes and corrects biases, and judges both, which onnxruntime's quantizer does not");
  const able = pythonWith(["onnxruntime", "onnx"], python);
  if (able === undefined) line("  alone: no Python with onnxruntime and onnx was found (--python)");
  const rows: string[][] = [];
  const checks: (readonly [text: string, met: boolean, shown: boolean])[] = [];
  for (const network of ["squeezenet", "mobilenetv2"] as const) {
    const samples = await openSamples(network, folder);
    if (samples === undefined) {
      line(`  ${network} is not measured: the shared folder (../shared, or PITH_SHARED) does not have it`);
      continue;
    }
    const { calibrate } = samples.draw(calibrating, seed);
    const file = join(folder, `${network}.npz`);
    await writeSamples(file, calibrate);
    const sample = await timedSample(calibrate);
    const sampleBytes = calibrating * 4 * Object.values(sample).reduce((sum, { dims }) => sum + elementCount(dims), 0);
    const ranges = "percentile";
    const out = join(folder, `${network}.onnx`);
    const runQuantize = (options: Partial<QuantizeInput["options"]>) =>
      runJob<typeof quantizeJob>(
        new URL("./job.ts", import.meta.url),
        { network, options: { scheme: "static", ranges, ...options }, calibrate: calibrating, seed, out },
        { name: network },
      );
    const ours = await runQuantize(calibrationAlone);
    const fullPass = await runQuantize({});
    const theirs =
      able === undefined
        ? undefined
        : peer<Taken>(able, "quantize_calibration.py", [samples.path, file, out, "Percentile"]);
    rows.push([network, ranges, "Pith", ...shown(ours)], ["", "", "Pith, default pass", ...shown(fullPass)]);
    if (theirs !== undefined) {
      rows.push(["", "", "onnxruntime", ...shown(theirs)]);
      const ratio = ours.processor / theirs.processor;
      checks.push([
        `${network}, ${ranges}: ${ratio.toFixed(2)} of its time, ${most.calibration} at most`,
        ratio <= most.calibration,
        true,
      ]);
    }
    for (const [suffix, { peak }] of [
      ["", ours],
      [", default pass", fullPass],
    ] as const) {
      const more = peak - sampleBytes;
      checks.push([
        `${network}, ${ranges}${suffix}: ${(more / 1e6).toFixed(0)} MB over the samples, ${most.bytes / 1e6} at most`,
        more <= most.bytes,
        true,
      ]);
    }
  }
  table(["", "ranges", "", ">s", ">processor, s", ">MB"], rows);
  for (const check of checks) line(`  ${target(...check)}`);
  return checks.every(([, met]) => met);
}

const shown = ({ seconds, processor, peak }: Taken): string[] => [
  seconds.toFixed(1),
  processor.toFixed(1),
  (peak / 1e6).toFixed(0),
];

async function largeLayer({ smoke, python }: Settings): Promise<boolean> {
  const [size, samples] = smoke ? [256, 512] : [4096, 512];
  line(`\nGPTQ of a layer of ${size} × ${size}, ${samples} samples`);
  const ours = await runJob<typeof layerJob>(
    new URL("./layer-job.ts", import.meta.url),
    { size, samples, rounder: "gptq 4 bits" },
    { name: "GPTQ" },
  );
  const able = pythonWith(["torch"], python);
  const theirs =
    able === undefined
      ? undefined
      : peer<Taken & { readonly version: string }>(able, "gptq_layer.py", [`${size}`, `${samples}`]);
  table(
    ["", ">s", ">processor, s", ">MB"],
    [
      ["Pith", ...shown(ours)],
      ...(theirs === undefined
        ? []
        : [[`PyTorch ${theirs.version}, float32`, theirs.seconds.toFixed(1), theirs.processor.toFixed(1), ""]]),
    ],
  );
  if (theirs === undefined) {
    line("  alone: no Python with torch was found (--python)");
    return true;
  }
  if (smoke) return true;
  const ratio = ours.processor / theirs.processor;
  line(`  ${target(`${ratio.toFixed(1)} of PyTorch's time, ${most.gptq} at most`, ratio <= most.gptq, true)}`);
  return ratio <= most.gptq;
}
