/** A run as plain data, as in `run.json`: variants of one model, compared on the same samples. */
import type { ErrorCode, Estimate, Unit } from "#ir";
import type { Change, Learnt } from "#pass";
import type { Latency, LatencyReport } from "../../runtime/run/latency.ts";
import type { CompressedSize } from "../../runtime/run/model-size.ts";
import type { TargetName } from "../../runtime/run/run-target.ts";
import type { Likeness } from "../compare/compare-function.ts";
import type { Comparison, Goal, Verdict } from "../compare/goal.ts";
import type { TargetCheck } from "../compare/target-check.ts";

export const runFormat = 1;

export interface Run {
  readonly format: typeof runFormat;
  readonly version: string;
  readonly date: string;
  /** Words of the command line, `pith` first; undefined for runs started by code. */
  readonly command: readonly string[] | undefined;
  /** Paths as given on the command line; undefined for runs started by code. */
  readonly paths?: { readonly original: string; readonly result: string } | undefined;
  readonly targets?: readonly TargetName[];
  readonly seed: number;
  readonly seconds: number;
  readonly machine: Machine | undefined;
  readonly data: RunData;
  readonly metric: { readonly name: string; readonly unit: Unit; readonly better: "higher" | "lower" };
  /** Undefined if no drop is checked. */
  readonly goal: Goal | undefined;
  readonly original: Measured;
  readonly variants: readonly Variant[];
  readonly chosen: number | undefined;
  readonly choice?: Choice;
  /** Index of the variant that won on the validation samples but failed on the test samples. */
  readonly missed?: number | undefined;
  readonly rejected?: { readonly code: ErrorCode; readonly message: string };
  /** Candidates of a search, compared on the search samples. */
  readonly search?: SearchRecord;
  /** Undefined if no model was timed. */
  readonly latency: Timing | undefined;
  /** Index of the variant whose predictions and layers are compared in detail. */
  readonly examined?: number;
  /** Some samples on which the predictions of the original and the examined variant differ. */
  readonly disagreements: readonly Disagreement[];
  readonly noise?: Noise;
  readonly warnings: readonly string[];
}

export interface SearchRecord {
  readonly samples: number;
  /** Whether the search samples are disjoint from the test samples. */
  readonly apart: boolean;
  /** Present while the search continues. */
  readonly isInterim?: true;
  readonly points: readonly SearchedPoint[];
}

export interface SearchedPoint {
  readonly name: string;
  readonly bytes?: number | undefined;
  /** Bytes after brotli; undefined unless the search compares these. */
  readonly brotli?: number | undefined;
  /** Speed relative to the original; undefined if it was not timed. */
  readonly speed?: number | undefined;
  /** Number of evaluated samples. */
  readonly samples?: number | undefined;
  /** Drop in the metric's unit, positive if worse. */
  readonly drop?: number | undefined;
  readonly interval?: { readonly low: number; readonly high: number } | undefined;
  readonly isOnFront: boolean;
  readonly rejected?: string | undefined;
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

/** First the original, then each variant; undefined for a variant without a result. */
export interface Timing extends Omit<LatencyReport, "models"> {
  readonly models: readonly (Latency | undefined)[];
  /** Input name → type and shape, such as "int64[1, 128]". */
  readonly inputs?: Readonly<Record<string, string>>;
  /** "WebAssembly in Chrome/156.0.0.0"; undefined for the native runtime. */
  readonly where?: string;
}

export interface Machine {
  readonly platform: string;
  readonly cpu: string;
  readonly threads: number;
  readonly memory: number;
  /** Versions of node and onnxruntime-node, by name. */
  readonly versions: Readonly<Record<string, string>>;
}

/** Samples by use. The splits are disjoint. */
export interface RunData {
  readonly name: string;
  /** Preprocessing of images, such as "imagenet"; undefined for data that is fed unchanged. */
  readonly preprocessing: string | undefined;
  readonly train: Samples | undefined;
  readonly calibrate: Samples | undefined;
  readonly test: Samples;
  /** Number of validation samples, which metrics do not use. */
  readonly validation?: number | undefined;
  /** Number of test samples in the data; undefined if all were used. */
  readonly available?: number | undefined;
  /** Class index → name, for `disagreements`. */
  readonly classes?: Readonly<Record<number, string>> | undefined;
  readonly chance: number | undefined;
  /** Sentence for an original at chance level. */
  readonly atChance?: string | undefined;
}

export interface Samples {
  /** "cifar10 (train)". */
  readonly name?: string;
  /** Undefined for a stream. */
  readonly count: number | undefined;
  /** Samples that the weights were trained on. */
  readonly fitted?: number | undefined;
  /** Validation samples that selected the best weights. */
  readonly checked?: number | undefined;
  readonly sha256: string | undefined;
}

export interface ModelSize extends Partial<CompressedSize> {
  /** Without the exporter's metadata, which results do not contain. */
  readonly bytes: number;
  readonly metadata?: number | undefined;
  readonly parameters: number;
  /** Share of weights that are zero. */
  readonly zeros?: number | undefined;
}

/** Measurements of a model's file, with masks applied to the weights. */
export interface Measured extends ModelSize {
  readonly name: string;
  readonly sha256: string;
  /** Multiply-accumulates per sample. */
  readonly macs: number | undefined;
  readonly estimate: Estimate;
}

/** The result of the comparisons of a model with its original. */
export interface ComparedResult {
  readonly comparison: Comparison | undefined;
  readonly verdict: Verdict | undefined;
  /** Comparison of all outputs, or why they could not be compared; undefined if the metric covers the main output. */
  readonly likeness?: Likeness | string | undefined;
  /** Comparison of the outputs that the metric does not evaluate, or why they could not be compared. */
  readonly others?: Likeness | string | undefined;
  /** Comparisons on the target runtimes, each with the original on the native runtime. */
  readonly targets?: readonly TargetCheck[];
}

export interface Variant extends ComparedResult {
  /** Name of the variant, such as "10 × (prune + train) + quantize". */
  readonly name: string;
  readonly steps: readonly StepRecord[];
  /** Undefined if a step failed. */
  readonly result: Measured | undefined;
  /** File name if the variant was written in addition to the kept one. */
  readonly file?: string;
  /** Share of samples with the same prediction as the original; undefined for models without classes. */
  readonly agreement: Estimate | undefined;
  /** Reason why the variant cannot be kept, other than its drop. */
  readonly rejected: string | undefined;
  readonly rejectedAs?: "failed" | "unchanged" | "lost" | "not smaller" | "no gain" | "off target";
  /** Comparison on the validation samples; undefined if no variant is chosen or there are too few samples. */
  readonly validation?: ValidationResult | undefined;
  /** Estimated drop on the search samples that are not test samples. */
  readonly searched?: { readonly drop: number; readonly samples: number };
}

export interface ValidationResult {
  readonly comparison: Comparison;
  readonly verdict: Verdict | undefined;
}

export interface TrainedEpoch {
  readonly epoch: number;
  readonly loss: number;
  /** Metric values during this epoch, each with its step. */
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
  /** "train 2", or "prune, round 3 of 10". */
  readonly name: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly changes: readonly Change[];
  readonly misses: readonly { readonly at: string | undefined; readonly reason: string }[];
  /** By epoch; undefined for steps without training. */
  readonly history: readonly TrainedEpoch[] | undefined;
  /** Each loss is the mean over `every` training steps; the curve starts after `first` steps. */
  readonly curve?: TrainedCurve | undefined;
  readonly learnt?: Learnt | undefined;
  readonly seconds: number;
  /** The model after this step; undefined if the step was not judged. */
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
  | { readonly kind: "image"; readonly address: string; readonly width: number; readonly height: number }
  | { readonly kind: "text"; readonly text: string }
  /** A series of numbers, such as sound, as the path of an SVG. */
  | {
      readonly kind: "series";
      readonly name: string;
      readonly path: string;
      readonly width: number;
      readonly height: number;
      readonly count: number;
    }
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

export interface LayerNoise {
  readonly layer: string;
  /** In decibels; undefined if the outputs are equal. */
  readonly signalToNoise: number | undefined;
}
