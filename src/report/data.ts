/**
 * A run as plain data: what `run.json` holds and what reports are made from. Nothing here needs a model at hand.
 *
 * A run tries one or more variants of one model, measures each on the same samples as the original, and keeps at most one of them.
 */
import type { ErrorCode } from "../errors.ts";
import type {
  Comparison,
  Estimate,
  Goal,
  Latency,
  LatencyReport,
  LayerDifference,
  Likeness,
  Unit,
  Verdict,
} from "../evaluate/index.ts";
import type { OnTarget } from "../evaluate/right-on.ts";
import type { TargetName } from "../evaluate/run-target.ts";
import type { Change, Learnt } from "../passes/index.ts";

/** The number of this form of the data; another number is another form. */
export const runFormat = 1;

export interface Run {
  readonly format: typeof runFormat;
  /** Version of Pith, where it was given. */
  readonly version: string;
  /** When it began, as ISO 8601. */
  readonly date: string;
  /** Words of the command line, `pith` first; undefined when it was started by code. */
  readonly command: readonly string[] | undefined;
  /** As the command line named them; undefined when it was started by code. */
  readonly paths?: { readonly original: string; readonly result: string } | undefined;
  /** Runtimes that the result is for, where they were named. */
  readonly targets?: readonly TargetName[];
  readonly seed: number;
  readonly seconds: number;
  readonly machine: Machine | undefined;
  readonly data: RunData;
  /** Of the compressor behind `Measured.brotli`. */
  readonly brotliQuality: number;
  readonly metric: { readonly name: string; readonly unit: Unit; readonly better: "higher" | "lower" };
  /** Undefined where nothing could be lost: the original is at chance, or the result was trained and there are no labels. */
  readonly goal: Goal | undefined;
  readonly original: Measured;
  readonly variants: readonly Variant[];
  /** Position in `variants` of the one that is kept; undefined where none is. */
  readonly chosen: number | undefined;
  /** Why that one, where there were several. */
  readonly choice?: Choice;
  /** Position of the one that was chosen on the validation samples, where the test samples say no: then nothing is kept. */
  readonly missed?: number | undefined;
  /** Why nothing is kept. */
  readonly refused?: { readonly code: ErrorCode; readonly message: string };
  /** What was tried before, on other samples, where combinations were searched: the variants are the best of them. */
  readonly search?: SearchRecord;
  /** All models timed in turns; undefined where none was. */
  readonly latency: Timing | undefined;
  /** Position of the variant whose samples and layers are looked at: the one that is kept, else the one that lost least. */
  readonly examined?: number;
  /** Samples that the original and that variant answer differently: some, spread over all of those. */
  readonly disagreements: readonly Disagreement[];
  /** How far the layers of that variant say other than the original's, on some samples of the judged part. */
  readonly noise?: Noise;
  readonly warnings: readonly string[];
}

export interface SearchRecord {
  /** Samples that were searched on. */
  readonly samples: number;
  /** None of them are test samples. */
  readonly apart: boolean;
  /** The search goes on: what is best so far was judged on them. */
  readonly isInterim?: true;
  /** In the order in which they were tried. */
  readonly points: readonly SearchedPoint[];
}

/** What a combination of techniques has come to on the samples that were searched on. */
export interface SearchedPoint {
  readonly name: string;
  readonly bytes?: number | undefined;
  readonly brotli?: number | undefined;
  /** How many times as fast as the original; undefined where it was not timed. */
  readonly speed?: number | undefined;
  /** On which it was measured: fewer than the search has, where these showed that it misses the goal. */
  readonly samples?: number | undefined;
  /** How much worse than the original, and its interval: 95 %, or 99.73 % where it was measured on fewer samples than the search has. */
  readonly drop?: number | undefined;
  readonly interval?: { readonly low: number; readonly high: number } | undefined;
  /** No other is at least as good in bytes, speed and drop, and better in one of them. */
  readonly isOnFront: boolean;
  readonly refused?: string | undefined;
  readonly seconds: number;
  /** As YAML. */
  readonly recipe: string;
}

/** Which variant is kept, and why. */
export interface Choice {
  /** Its position in `variants`. */
  readonly place: number;
  /**
   * "only": no other is sound. "loss": none is sound, and it lost least. "force": none is sound, and it is the smallest. "none allowed": none is as fast as it should be, and it is the
   * fastest. Else what was looked for: "usual" the smallest that is about as fast as the original, where `over` is smaller and slower; "size", "speed", "download", "target-size", "faster".
   */
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
  /** Position of the smaller one that was passed over. */
  readonly over?: number;
}

/** Original first, then the variants in their order; undefined for one that has no result. */
export interface Timing extends Omit<LatencyReport, "models"> {
  readonly models: readonly (Latency | undefined)[];
  /** The machine was too busy to measure speed by these times. */
  readonly unsteady?: boolean;
  /** Input → "int64[1, 128]": what models were given. */
  readonly inputs?: Readonly<Record<string, string>>;
  /** "WebAssembly in Chrome/156.0.0.0", where it was not the native runtime. */
  readonly where?: string;
}

export interface Machine {
  readonly platform: string;
  readonly cpu: string;
  readonly threads: number;
  readonly memory: number;
  /** Of what it ran on by name: node, onnxruntime-node. */
  readonly versions: Readonly<Record<string, string>>;
}

/** Which samples were used for what. The parts never overlap. */
export interface RunData {
  readonly name: string;
  /** How images were prepared: "imagenet", or that it was guessed; undefined where they were fed as they are. */
  readonly preprocessing: string | undefined;
  readonly train: Samples | undefined;
  readonly calibrate: Samples | undefined;
  readonly test: Samples;
  /** So many samples of the test part are validation samples, drawn by the seed; all figures are of the others. Undefined where none are. */
  readonly validation?: number | undefined;
  /** Test samples that there are, where not all of them were used. */
  readonly available?: number | undefined;
  /** Number → name of the classes in `disagreements`, where the data names them. */
  readonly classes?: Readonly<Record<number, string>> | undefined;
  /** What always predicting the most frequent class would score; undefined for models that give no class. */
  readonly chance: number | undefined;
  /** That the original does no better than that, as a sentence: then no loss can be seen, and no goal is judged. */
  readonly atChance?: string | undefined;
}

export interface Samples {
  /** Of the part of the data, with where it lies: "cifar10 (train)". */
  readonly name?: string;
  /** Undefined for a stream. */
  readonly count: number | undefined;
  /** Of samples to learn from, how many were, and how many others decided what was kept. */
  readonly fitted?: number | undefined;
  readonly checked?: number | undefined;
  /** SHA-256 of the samples (`contentHash`). */
  readonly sha256: string | undefined;
}

/** A model as it would be shipped: masks folded in, encoded. */
export interface Measured {
  /** The file's name, without folders; for a variant the name of what was done. */
  readonly name: string;
  readonly sha256: string;
  readonly bytes: number;
  /** Bytes after brotli; undefined where there is no compressor. */
  readonly brotli: number | undefined;
  readonly parameters: number;
  /** The share of zeros among them; undefined for codes, and where the size after brotli is sampled. */
  readonly zeros?: number | undefined;
  /** Multiply-accumulates for one sample; undefined where they depend on more than the batch. */
  readonly macs: number | undefined;
  /** The metric on the test samples. */
  readonly estimate: Estimate;
}

export interface Variant {
  /** "10 × (prune + train) + quantize", or what else the recipe is called. */
  readonly name: string;
  readonly steps: readonly StepRecord[];
  /** Undefined where a step failed. */
  readonly result: Measured | undefined;
  /** The name of its file, of those that were written beside the one that is kept. */
  readonly file?: string;
  /** With the original, sample by sample. */
  readonly comparison: Comparison | undefined;
  /** Share of samples answered as the original answers them; undefined for models that give no class. */
  readonly agreement: Estimate | undefined;
  readonly verdict: Verdict | undefined;
  /** Why it is no candidate: a step failed, nothing changed, nothing was gained. Undefined for one that is fine but for its verdict. */
  readonly refused: string | undefined;
  /** The same as a word; "not smaller" where another candidate may be. */
  readonly refusedAs?: "failed" | "unchanged" | "lost" | "not smaller" | "no gain" | "off target";
  /** Undefined where there was no choice, or too few samples to set some aside. */
  readonly validation?: Validated | undefined;
  /** Where there were next to no samples: held against the original on random inputs too, or why it was not. */
  readonly likeness?: Likeness | string;
  /** The outputs that the metric does not judge, compared with the original's on some of the samples, or why they were not. Undefined where there are none, and after training on labels. */
  readonly others?: Likeness | string;
  /** On each runtime that the result is for. */
  readonly targets?: readonly OnTarget[];
}

export interface Validated {
  readonly comparison: Comparison;
  readonly verdict: Verdict | undefined;
}

export interface TrainedEpoch {
  readonly epoch: number;
  readonly loss: number;
  /** Figures of evaluations in this epoch, in order, and after how many steps: the first may be from before there was one. */
  readonly evaluations?: readonly { readonly step: number; readonly figure: number }[];
}

export interface TrainedCurve {
  readonly first: number;
  readonly every: number;
  readonly losses: readonly number[];
  /** The metric, or "loss"; undefined where nothing was evaluated. */
  readonly by?: string | undefined;
  readonly unit?: Unit | undefined;
}

export interface StepRecord {
  readonly id: string;
  /** "train 2", where several steps have the same id; "prune, round 3 of 10". */
  readonly name: string;
  /** As they were used, defaults filled in. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly changes: readonly Change[];
  readonly misses: readonly { readonly at: string | undefined; readonly reason: string }[];
  /** Loss by epoch, and what was evaluated in it, of steps that train. */
  readonly history: readonly TrainedEpoch[] | undefined;
  /** Of steps that train: mean losses over stretches of `every` steps each behind the `first`, and what evaluations were by. */
  readonly curve?: TrainedCurve | undefined;
  /** Number of samples that a training step learned from. */
  readonly learnt?: Learnt | undefined;
  readonly seconds: number;
  /** What the step made, measured; undefined where it was not. */
  readonly after?: Measured;
  readonly comparison?: Comparison;
  readonly agreement?: Estimate | undefined;
}

export interface Disagreement {
  readonly sample: number;
  readonly label: number | undefined;
  readonly original: number;
  readonly variant: number;
  /** What the models were asked; left out where it was not kept. */
  readonly shown?: SampleView | undefined;
}

export type SampleView =
  /** A small PNG, as a data address. */
  | { readonly kind: "image"; readonly address: string; readonly width: number; readonly height: number }
  | { readonly kind: "text"; readonly text: string }
  /** The first numbers of each input. */
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

/** What a layer says in the result beside what it says in the original. */
export interface LayerNoise extends Omit<LayerDifference, "signalToNoise"> {
  /** Decibels; undefined where nothing differs. */
  readonly signalToNoise: number | undefined;
}
