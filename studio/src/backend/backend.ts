/** Types of the calls that the page makes. Two backends answer them: a worker in the tab, and the server of `pith studio`. */
import type { Inspection } from "pith";
import type { Run } from "pith/compress";
import type { Estimate, Latency, LayerErrors } from "pith/evaluate";
import type { OpenedTask } from "pith/task";
import type { SampleView, Summary } from "../../../src/app/report/index.ts";

/** A file of the server of `pith studio`, by its path in the server's folder. */
export interface StoredFile {
  readonly storedAt: string;
}

/** Files under the paths that they have in the folder that the user chose. */
export type ChosenFiles = readonly (readonly [path: string, file: File])[];

/** A dtype of transformers.js. */
export interface DtypeView {
  readonly name: string;
  readonly bits: number;
  /** End of the file's name before ".onnx". */
  readonly suffix: string;
  readonly meaning: string;
}

export type PresetId =
  | "static"
  | "weights"
  | "bits"
  | "float16"
  | "channels"
  | "low-rank"
  | "download"
  | "search"
  | "dtype";

/** How weights are stored after pruning or factorization. */
export type Storage = "static" | "float32";

export interface Settings {
  readonly preset: PresetId;
  /** Position of the preset's slider: a share, or a number of bits. */
  readonly amount: number;
  readonly storage: Storage;
  /** Whether training continues where the quick recovery ends. */
  readonly isTrained?: boolean;
  readonly isFast?: boolean;
  /** Dtype of transformers.js; undefined for other presets. */
  readonly dtype?: DtypeView;
}

export interface ModelView {
  readonly name: string;
  readonly inspection: Inspection;
  /** Contradictions in the file, as sentences. */
  readonly warnings: readonly string[];
  readonly dtypes: readonly DtypeView[];
}

export interface SamplesRequest {
  /** Path of a file or folder of the chosen files. */
  readonly data: string;
  readonly preprocess?: string | undefined;
  /** Largest number of test samples (default: `partSizes.samples`). */
  readonly samples?: number | undefined;
  /** Tells these files from others of the same name. */
  readonly choice?: string | undefined;
}

/** The model and the samples of a call. A backend that has something else open opens it first, for example after a crash, or for another tab. */
export interface Subject {
  /** Path or URL of the model. */
  readonly model: string;
  readonly samples: SamplesRequest | undefined;
}

/** An image as RGBA bytes. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray<ArrayBuffer>;
}

/** A sample as the user gave it, as the network receives it, and what the original predicts. */
export interface ShownSample {
  readonly position: number;
  readonly stored: SampleView | undefined;
  readonly input: Pixels | undefined;
  readonly label: number | undefined;
  /** The classes with the highest scores; empty for models without classes. */
  readonly top: readonly { readonly index: number; readonly share: number }[];
}

/** How an image becomes the model's input: x = (byte · scale − mean) / std of its resized and cropped pixels. */
export interface ImageInput extends Pick<Pixels, "width" | "height"> {
  readonly channels: number;
  readonly isChannelsFirst: boolean;
  /** Length of the shorter side before the crop; undefined if the proportions are not kept. */
  readonly shortSide: number | undefined;
  readonly scale: number;
  /** By red, green and blue, or one for all. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly isBgr: boolean;
}

export interface SamplesView {
  readonly name: string;
  readonly tested: number;
  /** Number of test samples that the data has; undefined for a stream. */
  readonly available: number | undefined;
  readonly calibrated: number;
  readonly isLabeled: boolean;
  readonly preprocessing: string | undefined;
  readonly preset: string | undefined;
  /** Undefined for other samples than images. */
  readonly image?: ImageInput | undefined;
  /** The preprocessings that were tried if the preprocessing is a guess, the chosen one first. */
  readonly tried: OpenedTask["tried"];
  readonly metric: Pick<Run["metric"], "name" | "unit" | "better">;
  /** The metric of the original; undefined if its own outputs are the truth. */
  readonly original: Estimate | undefined;
  readonly classes: readonly string[] | undefined;
  readonly shown: readonly ShownSample[];
  readonly warnings: readonly string[];
}

/** A recipe as `recipeFrom` reads it. */
export interface PlainRecipe {
  readonly version: 1;
  /** Present if a step is fitted on training samples. */
  readonly samples?: { readonly calibration: number; readonly training: "all" };
  readonly steps: readonly object[];
}

export interface MakeRequest {
  readonly id: string;
  readonly name: string;
  /** The settings of the page from which `made` follows. */
  readonly settings?: Settings;
  /** A recipe as plain data, or a search. */
  readonly made: PlainRecipe | { readonly minutes: number };
  /** Largest accepted loss, in the unit of the metric. */
  readonly maxDrop: number;
}

/** Interleaved timing of the original and a candidate. */
export interface Timing {
  readonly original: Latency;
  readonly candidate: Latency;
  /** Whether the machine was too busy to measure speed. */
  readonly isUnsteady: boolean;
}

export interface Candidate extends Pick<MakeRequest, "id" | "name" | "settings"> {
  readonly recipe: string;
  /** Options of `pith quantize` that make the same file; undefined with samples, where `pith compress` makes it. */
  readonly options: Readonly<Record<string, unknown>> | undefined;
  readonly sha256: string;
  readonly inspection: Inspection;
  /** Undefined without samples. */
  readonly run: Run | undefined;
  /** Whether it was tested on other samples than the original, because some of these fitted it. */
  readonly hasOtherTest: boolean;
  readonly summary: Summary;
  /** Undefined if the runtime could not time the models. */
  readonly timing: Timing | undefined;
  /** The model's file. It is kept outside of the worker, so that it survives the worker. */
  readonly file: Blob;
}

export interface Progress {
  readonly stage?: string;
  readonly done?: number;
  readonly total?: number | undefined;
  readonly note?: string;
  /** Loss of the training step `done`. */
  readonly loss?: number | undefined;
}

/** Numbers of samples. More for calibration change the ranges little. Each candidate runs on all that are tested. */
export const partSizes = { calibrate: 200, samples: 500 };

/** Bytes of a file as web servers send it; undefined if the compressor does not load. */
export interface DownloadSizes {
  readonly gzip: number | undefined;
  readonly brotli: number | undefined;
}

/** Bits of a weight after compression by format, estimated from the weights of the model. */
export interface DownloadRates {
  /** The model without what quantization removes, such as metadata of an exporter. */
  readonly simplified: Inspection;
  readonly int8: number;
  /** By number of bits, with a scale for each block of weights. */
  readonly blocks: Readonly<Record<number, number>>;
  /** By number of bits, with a scale for each output. */
  readonly rows: Readonly<Record<number, number>>;
}

/** Sizes of larger files are estimated, because compression takes seconds: for each megabyte with brotli, for all of these bytes with gzip. */
export const maxExactBytes = { gzip: 2 ** 26, brotli: 2 ** 21 } as const;

export interface Calls {
  addFiles(files: ChosenFiles): void;
  openModel(place: string): ModelView;
  graph(subject: Subject): string;
  openSamples(model: string, request: SamplesRequest): SamplesView;
  make(subject: Subject, request: MakeRequest): Candidate;
  layerErrors(subject: Subject, file: Candidate["file"]): LayerErrors;
  /** Times a candidate again; undefined if the runtime cannot. */
  time(subject: Subject, file: Candidate["file"]): Timing | undefined;
  /** The speed on WebGPU as text, or why it was not measured. */
  timeOnGpu(subject: Subject, file: Candidate["file"]): string;
  /** Sizes of a candidate, or of the model at a place. Above `maxExactBytes` they are estimated. */
  downloadSizes(file: Candidate["file"] | string): DownloadSizes;
  downloadRates(model: string): DownloadRates;
  /** Bytes after brotli of the preset "smallest download" at its initial settings. Another call that computes ends it. */
  smallestDownload(subject: Subject): number | undefined;
  /** A candidate's file after brotli, as a web server sends it. */
  brotli(file: Candidate["file"]): Blob;
  /** The report of a run as a page. */
  report(run: Run): string;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

export interface Backend {
  /** @throws Failure with a sentence, a hint and a code. */
  call<K extends keyof Calls>(
    name: K,
    parameters: Parameters<Calls[K]>,
    options?: CallOptions,
  ): Promise<ReturnType<Calls[K]>>;
}

/** An error as the page shows it. `isCrash` if the backend ended. */
export class Failure extends Error {
  constructor(
    message: string,
    readonly code: string,
    readonly hint: string | undefined,
    readonly isCrash = false,
  ) {
    super(message);
  }
}
