/** A run as plain data, as in `run.json`. It tries variants of one model, measured on the same samples, and keeps at most one. */
import type { ErrorCode } from "../../core/errors.ts";
import type { Estimate, Unit } from "../../core/estimate.ts";
import type { Change, Learnt } from "../../core/pass/pass.ts";
import type { LayerDifference } from "../../runtime/noise/layers.ts";
import type { Latency, LatencyReport } from "../../runtime/run/latency.ts";
import type { TargetName } from "../../runtime/run/run-target.ts";
import type { Comparison, Goal, Verdict } from "../compare/compare.ts";
import type { Likeness } from "../compare/compare-function.ts";
import type { OnTarget } from "../compare/target-check.ts";

/** Version of this format. */
export const runFormat = 1;

export interface Run {
  readonly format: typeof runFormat;
  readonly version: string;
  readonly date: string;
  /** Words of the command line, `pith` first; undefined for runs started by code. */
  readonly command: readonly string[] | undefined;
  /** As given on the command line; undefined for runs started by code. */
  readonly paths?: { readonly original: string; readonly result: string } | undefined;
  readonly targets?: readonly TargetName[];
  readonly seed: number;
  readonly seconds: number;
  readonly machine: Machine | undefined;
  readonly data: RunData;
  readonly metric: { readonly name: string; readonly unit: Unit; readonly better: "higher" | "lower" };
  /** Undefined if nothing can be lost: the original is at chance level, or the result was trained without labels. */
  readonly goal: Goal | undefined;
  readonly original: Measured;
  readonly variants: readonly Variant[];
  /** Index in `variants` of the kept one; undefined if there is none. */
  readonly chosen: number | undefined;
  readonly choice?: Choice;
  /** Index of the variant that won on the validation samples but failed on the test samples, so that nothing is kept. */
  readonly missed?: number | undefined;
  readonly refused?: { readonly code: ErrorCode; readonly message: string };
  /** Candidates of a search, compared on other samples; the variants are the best of them. */
  readonly search?: SearchRecord;
  /** Interleaved timing of all models; undefined if none was timed. */
  readonly latency: Timing | undefined;
  /** Index of the variant whose samples and layers are examined: the kept one, else the one with the smallest drop. */
  readonly examined?: number;
  /** Some samples on which the original's and that variant's predictions differ, evenly spread. */
  readonly disagreements: readonly Disagreement[];
  /** Layer-wise difference of that variant from the original on some test samples. */
  readonly noise?: Noise;
  readonly warnings: readonly string[];
}

export interface SearchRecord {
  readonly samples: number;
  /** They are disjoint from the test samples. */
  readonly apart: boolean;
  /** The search continues; the best result so far was evaluated on the search samples. */
  readonly isInterim?: true;
  readonly points: readonly SearchedPoint[];
}

/** Result of a candidate on the search samples. */
export interface SearchedPoint {
  readonly name: string;
  readonly bytes?: number | undefined;
  /** Only if candidates are compared by their size after brotli. */
  readonly brotli?: number | undefined;
  /** Relative to the original; undefined if not timed. */
  readonly speed?: number | undefined;
  /** Number of samples; fewer than the search has if these showed that the goal is missed. */
  readonly samples?: number | undefined;
  /** Positive if worse than the original, with a 95 % interval; 99.73 % if fewer samples than the search has were used. */
  readonly drop?: number | undefined;
  readonly interval?: { readonly low: number; readonly high: number } | undefined;
  /** On the Pareto front of bytes, speed and drop. */
  readonly isOnFront: boolean;
  readonly refused?: string | undefined;
  readonly seconds: number;
  readonly recipe: string;
}

export interface Choice {
  readonly place: number;
  readonly by:
    | "only"
    | "size"
    | "loss"
    | "force"
    | "usual"
    | "speed"
    | "download"
    | "target-size"
    | "faster"
    | "none allowed";
  readonly over?: number;
}

/** Original first, then the variants in order; undefined for one without a result. */
export interface Timing extends Omit<LatencyReport, "models"> {
  readonly models: readonly (Latency | undefined)[];
  readonly unsteady?: boolean;
  /** Input → "int64[1, 128]". */
  readonly inputs?: Readonly<Record<string, string>>;
  /** "WebAssembly in Chrome/156.0.0.0"; absent for the native runtime. */
  readonly where?: string;
}

export interface Machine {
  readonly platform: string;
  readonly cpu: string;
  readonly threads: number;
  readonly memory: number;
  /** Versions by name: node, onnxruntime-node. */
  readonly versions: Readonly<Record<string, string>>;
}

/** Samples by use. The splits are disjoint. */
export interface RunData {
  readonly name: string;
  /** "imagenet", or that it was guessed; undefined for unprocessed images. */
  readonly preprocessing: string | undefined;
  readonly train: Samples | undefined;
  readonly calibrate: Samples | undefined;
  readonly test: Samples;
  /** Number of validation samples in the test split, drawn by the seed; metrics use the others. */
  readonly validation?: number | undefined;
  /** Number of all test samples if not all were used. */
  readonly available?: number | undefined;
  /** Class index → name, for `disagreements`. */
  readonly classes?: Readonly<Record<number, string>> | undefined;
  /** Accuracy of always predicting the most frequent class; undefined for models without classes. */
  readonly chance: number | undefined;
  /** Sentence for an original at chance level, which has no goal. */
  readonly atChance?: string | undefined;
}

export interface Samples {
  /** Name of the split with its location: "cifar10 (train)". */
  readonly name?: string;
  /** Undefined for a stream. */
  readonly count: number | undefined;
  /** Numbers of samples that were trained on, and of those that selected the weights. */
  readonly fitted?: number | undefined;
  readonly checked?: number | undefined;
  readonly sha256: string | undefined;
}

/** A model as written: masks folded in, encoded. */
export interface Measured {
  /** File name, or name of the variant. */
  readonly name: string;
  readonly sha256: string;
  /** Without the exporter's metadata, which results do not contain. */
  readonly bytes: number;
  /** Bytes of the exporter's metadata; undefined if there is none. */
  readonly metadata?: number | undefined;
  /** Bytes after gzip (level 9) and brotli (quality 11); undefined without a compressor, and for steps. */
  readonly gzip?: number | undefined;
  readonly brotli?: number | undefined;
  /** Whether the compressed sizes are estimated. */
  readonly sampled?: boolean | undefined;
  readonly parameters: number;
  /** Share of zeros; undefined for codes and weights above 64 MiB. */
  readonly zeros?: number | undefined;
  /** Per sample; undefined if they depend on more than the batch. */
  readonly macs: number | undefined;
  readonly estimate: Estimate;
}

export interface Variant {
  /** "10 × (prune + train) + quantize", or another name of the recipe. */
  readonly name: string;
  readonly steps: readonly StepRecord[];
  /** Undefined if a step failed. */
  readonly result: Measured | undefined;
  /** Its file name if it was written in addition to the kept one. */
  readonly file?: string;
  readonly comparison: Comparison | undefined;
  /** Share of samples with the original's prediction; undefined for models without classes. */
  readonly agreement: Estimate | undefined;
  readonly verdict: Verdict | undefined;
  /** Why it cannot be kept, apart from its verdict: a step failed, nothing changed, nothing was gained. */
  readonly refused: string | undefined;
  /** The same as a word; "not smaller" if there are other candidates. */
  readonly refusedAs?: "failed" | "unchanged" | "lost" | "not smaller" | "no gain" | "off target";
  /** Undefined without a choice, or with too few samples. */
  readonly validation?: Validated | undefined;
  /** Estimated drop on the samples of a search that are not test samples. */
  readonly searched?: { readonly drop: number; readonly samples: number };
  /** With very few samples: comparison on random inputs, or why there is none. */
  readonly likeness?: Likeness | string;
  /** Comparison of outputs that the metric does not evaluate, or why there is none. Undefined if there are none, and after training on labels. */
  readonly others?: Likeness | string;
  readonly targets?: readonly OnTarget[];
}

export interface Validated {
  readonly comparison: Comparison;
  readonly verdict: Verdict | undefined;
}

export interface TrainedEpoch {
  readonly epoch: number;
  readonly loss: number;
  /** Metric values in this epoch with their step; the first may precede the training. */
  readonly evaluations?: readonly { readonly step: number; readonly figure: number }[];
}

export interface TrainedCurve {
  readonly first: number;
  readonly every: number;
  readonly losses: readonly number[];
  readonly by?: string | undefined;
  readonly unit?: Unit | undefined;
}

export interface StepRecord {
  readonly id: string;
  /** "train 2" if several steps have the same id; "prune, round 3 of 10". */
  readonly name: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly changes: readonly Change[];
  readonly misses: readonly { readonly at: string | undefined; readonly reason: string }[];
  /** Losses and evaluations by epoch, for training steps. */
  readonly history: readonly TrainedEpoch[] | undefined;
  /** For training steps: mean losses over `every` steps each, after the `first`. */
  readonly curve?: TrainedCurve | undefined;
  readonly learnt?: Learnt | undefined;
  readonly seconds: number;
  /** The step's measured result; undefined if not measured. */
  readonly after?: Measured;
  readonly comparison?: Comparison;
  readonly agreement?: Estimate | undefined;
}

export interface Disagreement {
  readonly sample: number;
  readonly label: number | undefined;
  readonly original: number;
  readonly variant: number;
  readonly shown?: SampleView | undefined;
}

export type SampleView =
  /** A small PNG as a data URL. */
  | { readonly kind: "image"; readonly address: string; readonly width: number; readonly height: number }
  | { readonly kind: "text"; readonly text: string }
  /** The first values of each input. */
  | {
      readonly kind: "numbers";
      readonly inputs: readonly {
        readonly name: string;
        readonly numbers: readonly number[];
        readonly count: number;
      }[];
    };

export interface Noise {
  readonly samples: number;
  readonly layers: readonly LayerNoise[];
  readonly misses: readonly { readonly at: string | undefined; readonly reason: string }[];
}

export interface LayerNoise extends Omit<LayerDifference, "signalToNoise"> {
  /** Decibels; undefined if nothing differs. */
  readonly signalToNoise: number | undefined;
}
