/** A run as plain data, as in `run.json`. A run compares variants of one model on the same samples, and keeps at most one. */
import type { ErrorCode, Estimate, Unit } from "#ir";
import type { Change, Learnt } from "#pass";
import type { Latency, LatencyReport } from "../../runtime/run/latency.ts";
import type { TargetName } from "../../runtime/run/run-target.ts";
import type { CompressedSize } from "../../runtime/run/size.ts";
import type { Likeness } from "../compare/compare-function.ts";
import type { Comparison, Goal, Verdict } from "../compare/goal.ts";
import type { OnTarget } from "../compare/target-check.ts";

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
  /** Undefined if no drop is checked: the original is at chance level, or any drop is allowed, also by default after training without labels. */
  readonly goal: Goal | undefined;
  readonly original: Measured;
  readonly variants: readonly Variant[];
  /** Index in `variants` of the kept variant; undefined if no variant was kept. */
  readonly chosen: number | undefined;
  readonly choice?: Choice;
  /** Index of the variant that won on the validation samples but failed on the test samples, so that nothing is kept. */
  readonly missed?: number | undefined;
  readonly rejected?: { readonly code: ErrorCode; readonly message: string };
  /** Candidates of a search, compared on the search samples. `variants` contains the best of them. */
  readonly search?: SearchRecord;
  /** Interleaved timing of all models; undefined if no model was timed. */
  readonly latency: Timing | undefined;
  /** Index of the variant whose predictions and layers are compared in detail: the kept variant, or without one, that with the smallest drop. */
  readonly examined?: number;
  /** Some samples, evenly spread, on which the predictions of the original and the examined variant differ. */
  readonly disagreements: readonly Disagreement[];
  /** Difference between the layers of the examined variant and the original on some test samples. */
  readonly noise?: Noise;
  readonly warnings: readonly string[];
}

export interface SearchRecord {
  readonly samples: number;
  /** Whether the search samples are disjoint from the test samples. */
  readonly apart: boolean;
  /** Present while the search continues: the best result so far was evaluated on the search samples. */
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
  /** Number of evaluated samples. It is lower than `SearchRecord.samples` if fewer samples showed that the goal is missed. */
  readonly samples?: number | undefined;
  /** Drop in the metric's unit, positive if worse. `interval`: 95 % confidence, or 99.73 % if not all search samples were used. */
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

/** Timing of models: first the original, then each variant in order. The timing of a variant without a result is undefined. */
export interface Timing extends Omit<LatencyReport, "models"> {
  readonly models: readonly (Latency | undefined)[];
  /** Input name → type and shape, such as "int64[1, 128]". */
  readonly inputs?: Readonly<Record<string, string>>;
  /** Runtime and browser, such as "WebAssembly in Chrome/156.0.0.0"; undefined for the native runtime. */
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
  /** Preprocessing of images, such as "imagenet", with a note if it was guessed; undefined for data that is fed unchanged. */
  readonly preprocessing: string | undefined;
  readonly train: Samples | undefined;
  readonly calibrate: Samples | undefined;
  readonly test: Samples;
  /** Number of samples of the test split for validation. Metrics use the other samples. */
  readonly validation?: number | undefined;
  /** Number of test samples in the data; undefined if all were used. */
  readonly available?: number | undefined;
  /** Class index → name, for `disagreements`. */
  readonly classes?: Readonly<Record<number, string>> | undefined;
  /** Accuracy of always predicting the most frequent class; undefined for models without classes. */
  readonly chance: number | undefined;
  /** Sentence for an original at chance level, for which no goal is checked. */
  readonly atChance?: string | undefined;
}

export interface Samples {
  /** Name of the split with its source, such as "cifar10 (train)". */
  readonly name?: string;
  /** Number of samples; undefined for a stream. */
  readonly count: number | undefined;
  /** Number of samples that the weights were trained on. */
  readonly fitted?: number | undefined;
  /** Number of validation samples that selected the best weights. */
  readonly checked?: number | undefined;
  readonly sha256: string | undefined;
}

export interface ModelSize extends Partial<CompressedSize> {
  /** Number of bytes without the exporter's metadata, which results do not contain. */
  readonly bytes: number;
  readonly metadata?: number | undefined;
  readonly parameters: number;
  /** Share of weights that are zero; undefined for quantized models and for weights above 64 MiB. */
  readonly zeros?: number | undefined;
}

/** Measurements of a model's file, in which pruning masks are already applied to the weights. */
export interface Measured extends ModelSize {
  readonly name: string;
  readonly sha256: string;
  /** Multiply-accumulates per sample; undefined if they depend on more than the input sizes. */
  readonly macs: number | undefined;
  readonly estimate: Estimate;
}

export interface Variant {
  /** Name of the variant: its recipe's name, or "10 × (prune + train) + quantize". */
  readonly name: string;
  readonly steps: readonly StepRecord[];
  /** Undefined if a step failed. */
  readonly result: Measured | undefined;
  /** File name if the variant was written in addition to the kept one. */
  readonly file?: string;
  readonly comparison: Comparison | undefined;
  /** Share of samples with the same prediction as the original; undefined for models without classes. */
  readonly agreement: Estimate | undefined;
  readonly verdict: Verdict | undefined;
  /** Reason why the variant cannot be kept, other than its drop, such as a failed step. */
  readonly rejected: string | undefined;
  /** Category of `rejected`. "not smaller" is used if there are other candidates. */
  readonly rejectedAs?: "failed" | "unchanged" | "lost" | "not smaller" | "no gain" | "off target";
  /** Comparison on the validation samples; undefined if no variant is chosen or there are too few samples. */
  readonly validation?: ValidationResult | undefined;
  /** Estimated drop on the search samples that are not test samples. */
  readonly searched?: { readonly drop: number; readonly samples: number };
  /** Comparison of all outputs if there are few samples or the metric measures distances, or the reason why they could not be compared. */
  readonly likeness?: Likeness | string;
  /** Comparison of outputs that the metric does not evaluate, or why there is none; undefined without such outputs and after training on labels. */
  readonly others?: Likeness | string;
  readonly targets?: readonly OnTarget[];
}

export interface ValidationResult {
  readonly comparison: Comparison;
  readonly verdict: Verdict | undefined;
}

export interface TrainedEpoch {
  readonly epoch: number;
  readonly loss: number;
  /** Metric values during this epoch, each with its step. The first value can be from before the training. */
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
  /** Name in messages, such as "train 2" if several steps have the same id, or "prune, round 3 of 10". */
  readonly name: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly changes: readonly Change[];
  readonly misses: readonly { readonly at: string | undefined; readonly reason: string }[];
  /** Losses and metric values by epoch; undefined for steps without training. */
  readonly history: readonly TrainedEpoch[] | undefined;
  /** Loss curve. Each loss is the mean over `every` training steps; the curve starts after `first` steps. Undefined for steps without training. */
  readonly curve?: TrainedCurve | undefined;
  readonly learnt?: Learnt | undefined;
  readonly seconds: number;
  /** Measurements of the model after this step; undefined if the step was not judged. */
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
  /** A series of numbers, such as sound, as the path of an SVG with the given width and height. */
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
  /** Ratio of signal to noise in decibels; undefined if the outputs are equal. */
  readonly signalToNoise: number | undefined;
}
