/** An example run for reports: names of the network contain markup, and one of three variants is rejected. */
import type { Comparison, Estimate } from "../../../src/judge/index.ts";
import type { Measured, Run, StepRecord } from "../../../src/judge/record/run-record.ts";
import { sampleViewOf } from "../../../src/judge/record/sample-views.ts";

/** A name from a model file that would be a script if it were not escaped. */
export const evilName = '<script>alert("x")</script>';

const estimate = (value: number, spread = 0.017): Estimate => ({
  value,
  low: value - spread,
  high: Math.min(1, value + spread),
  count: 1000,
  confidence: 0.95,
});

const measured = (name: string, bytes: number, value: number, macs: number): Measured => ({
  name,
  sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  bytes,
  gzip: Math.round(bytes * 0.93),
  brotli: Math.round(bytes * 0.92),
  parameters: Math.round(bytes / 4),
  zeros: 0,
  macs,
  estimate: estimate(value),
});

const original = measured("resnet56.onnx", 3_460_000, 0.926, 126_000_000);

const compared = (value: number): Comparison => {
  const difference = {
    value: value - 0.926,
    low: value - 0.926 - 0.012,
    high: value - 0.926 + 0.012,
    count: 1000,
    confidence: 0.95,
  };
  const { estimate: before } = original;
  const pairs = { bothRight: 900, onlyOriginal: 26, onlyCandidate: 19, bothWrong: 55, pValue: 0.37 };
  const candidate = estimate(value);
  const common = { metric: "accuracy", unit: "share", better: "higher" } as const;
  return { ...common, original: before, candidate, difference, variance: 0.045, pairs };
};

const step = (id: string, after: Measured, more: Partial<StepRecord> = {}): StepRecord => ({
  id,
  name: id,
  options: {},
  changes: [],
  misses: [],
  history: undefined,
  seconds: 3.4,
  after,
  comparison: compared(after.estimate.value),
  agreement: undefined,
  ...more,
});

const int8 = measured("int8", 930_000, 0.929, 126_000_000);
const pruned = measured("prune + train", 1_600_000, 0.92, 60_000_000);
const both = measured("prune + train + quantize", 440_000, 0.919, 60_000_000);

export const layerNames = ["conv1", "layer1.0.conv1", evilName, "fc"] as const;

/** A checkerboard, 16 × 16. */
const image = sampleViewOf(undefined, {
  image: {
    type: "uint8",
    dims: [1, 1, 16, 16],
    data: Uint8Array.from({ length: 256 }, (_, index) => (((index >> 6) + ((index >> 2) & 3)) % 2) * 255),
  },
});

/** A run in which everything occurs that a report can show. */
export const exampleRun: Run = {
  format: 1,
  version: "0.1.0",
  date: "2026-11-20T09:00:00.000Z",
  command: ["pith", "compress", "resnet56.onnx", "--data", "my photos/", "--max-drop", "1%", "-o", "out/"],
  seed: 1,
  seconds: 1310,
  machine: {
    platform: "linux x64",
    cpu: "AMD EPYC 7R13",
    threads: 2,
    memory: 8_200_000_000,
    versions: { node: "20.20.2", "onnxruntime-node": "1.30.0" },
  },
  data: {
    name: "cifar10",
    preprocessing: 'guessed "imagenet". Set it with --preprocess imagenet.',
    train: { count: 20_000, sha256: undefined },
    calibrate: { count: 200, sha256: undefined },
    test: { count: 1000, sha256: "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae" },
    chance: 0.1,
  },
  metric: { name: "accuracy", unit: "share", better: "higher" },
  goal: { maxDrop: 0.01 },
  original,
  variants: [
    {
      name: "quantize",
      steps: [step("quantize", int8)],
      result: int8,
      comparison: compared(0.929),
      agreement: undefined,
      verdict: {
        verdict: "kept",
        met: true,
        drop: { value: -0.003, low: -0.015, high: 0.009, count: 1000, confidence: 0.95 },
      },
      rejected: undefined,
    },
    {
      name: "factorize",
      steps: [],
      result: undefined,
      comparison: undefined,
      agreement: undefined,
      verdict: undefined,
      rejected: "nothing changed: every layer was rejected",
    },
    {
      name: "prune + train",
      steps: [step("prune", pruned)],
      result: pruned,
      comparison: compared(0.92),
      agreement: undefined,
      verdict: undefined,
      rejected: undefined,
    },
    {
      name: "prune + train + quantize",
      steps: [
        step("prune", pruned, {
          options: { amount: 0.5, structured: true },
          changes: layerNames.map((at) => ({ at, what: "8 of 16 channels cut", decidedBy: "global" })),
          misses: [{ at: evilName, reason: "its output is an output of the model" }],
        }),
        step("train", pruned, {
          changes: [{ at: "all", what: "trained for 10 epochs", decidedBy: "global" }],
          history: [
            { epoch: 1, loss: 0.61, evaluations: [{ step: 0, figure: 0.7 }] },
            { epoch: 10, loss: 0.11, evaluations: [{ step: 40, figure: 0.92 }] },
          ],
          curve: { first: 0, every: 4, losses: [0.9, 0.6, 0.3, 0.2, 0.11], by: "accuracy", unit: "share" },
        }),
        step("quantize", both, {
          options: { scheme: "static" },
          changes: [{ at: "fc", what: "kept in float", decidedBy: "layer" }],
          misses: [
            { at: "fc", reason: "rank below 41 needed to pay" },
            { at: "conv1", reason: "rank below 41 needed to pay" },
          ],
        }),
      ],
      result: both,
      comparison: compared(0.919),
      agreement: estimate(0.955),
      verdict: {
        verdict: "undecided",
        met: true,
        drop: { value: 0.007, low: -0.005, high: 0.019, count: 1000, confidence: 0.95 },
      },
      rejected: undefined,
    },
  ],
  chosen: 3,
  latency: {
    models: [
      { milliseconds: { median: 4.12, low: 4.0, high: 4.6 }, speedup: { median: 1, low: 1, high: 1 }, load: 20 },
      { milliseconds: { median: 3.43, low: 3.2, high: 3.9 }, speedup: { median: 1.2, low: 1.12, high: 1.27 }, load: 9 },
      undefined,
      { milliseconds: { median: 2.29, low: 2.1, high: 2.5 }, speedup: { median: 1.8, low: 1.7, high: 1.95 }, load: 9 },
      { milliseconds: { median: 1.87, low: 1.8, high: 2.1 }, speedup: { median: 2.2, low: 1.98, high: 2.34 }, load: 9 },
    ],
    rounds: 30,
    repeats: 2,
    threads: 2,
    unsteady: false,
  },
  disagreements: [
    { sample: 17, label: 3, original: 3, variant: 5, shown: image },
    { sample: 42, label: 4, original: 2, variant: 4, shown: { kind: "text", text: `I liked it. ${evilName}` } },
    {
      sample: 43,
      label: undefined,
      original: 2,
      variant: -1,
      shown: { kind: "numbers", inputs: [{ name: evilName, numbers: [0.25, -1.5], count: 30 }] },
    },
    { sample: 44, label: 0, original: 0, variant: 1 },
  ],
  noise: {
    samples: 16,
    layers: layerNames.map((layer, index) => ({ layer, signalToNoise: index === 0 ? undefined : 40 - 9 * index })),
    misses: [{ at: "fc.down", reason: "the model has no such layer" }],
  },
  warnings: [],
};
