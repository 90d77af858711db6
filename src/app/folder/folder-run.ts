/** Options of `quantizeFolder`, and the state of a run over a folder. */
import type { Miss, PithError } from "#ir";
import type { Context } from "#pass";
import type { Encoding } from "#platform";
import type { CopySizes } from "../../core/files/compressed-copies.ts";
import type { FileHashes } from "../../core/files/own-files.ts";
import type { Purpose } from "../../judge/measure/objective.ts";
import { type DtypeName, dtypes } from "../../techniques/quantize/dtypes.ts";
import type { QuantizeOptions } from "../../techniques/quantize/index.ts";
import type { EndToEnd, ModulePaths } from "./end-to-end.ts";
import type { JointCheck } from "./joint-judge.ts";
import type { createLoaderCheck, Loader } from "./loader-check.ts";
import type { FileFigures, Records } from "./records.ts";

/** Work on the files of a folder that a command does in other processes. */
export interface FolderJobs {
  /** Makes a file, or throws a PithError to reject it. Default: quantizes, and compares on texts or random inputs. */
  readonly make?: ((variant: FolderVariant) => Promise<FileFigures>) | undefined;
  /** Whether `make` compares each file together with the originals of the other models. */
  readonly makesTogether?: boolean | undefined;
  /** Writes the compressed copies of files (default: in this process). */
  readonly compress?: ((files: readonly string[], encodings: readonly Encoding[]) => Promise<CopySizes>) | undefined;
  readonly time?:
    | ((file: Pick<FolderVariant, "source" | "out">) => Promise<Pick<FileFigures, "speeds" | "work">>)
    | undefined;
  /** transformers.js, or the reason why it is not available. */
  readonly loader?: Loader | Miss | undefined;
  /** Compares one variant of each model end to end, instead of the default comparison on `texts`. */
  readonly compareEndToEnd?: ((modules: readonly ModulePaths[]) => Promise<EndToEnd>) | undefined;
  /** Searches each model over all techniques. A result better than the variants replaces the copy of the original. */
  readonly search?: ModuleSearch | undefined;
}

export interface FolderOptions extends FolderJobs {
  /** Dtypes of the variants, by the names of transformers.js, or "all". */
  readonly dtypes: readonly DtypeName[] | "all";
  /** Output folder. If it is the input folder, the variants are written next to the existing files. */
  readonly out: string;
  /** Maximum bytes of a weight file (default: 2e9), because hosts and phones limit file sizes. */
  readonly fileBytes?: number | undefined;
  /** Encodings of compressed copies. */
  readonly precompress?: readonly Encoding[] | undefined;
  readonly quantize?: Omit<QuantizeOptions, "scheme" | "dtype"> | undefined;
  /** Further settings that affect results and are recorded. */
  readonly settings?: Readonly<Record<string, unknown>> | undefined;
  /** Hash of the samples and texts. */
  readonly judgedBy?: string | undefined;
  /** Texts on which variants of text generators are compared with the originals and repaired end to end. */
  readonly texts?: readonly string[] | undefined;
  /** Whether only the best acceptable variant of each module is kept. */
  readonly keepSmallest?: boolean | undefined;
  /** Objective of `keepSmallest` (default: the smallest file with about the original's processor time or less). */
  readonly purpose?: Purpose | undefined;
  /** Command of the user, such as `pith compress`, to be written into README.md. */
  readonly madeWith?: string | undefined;
}

export interface ModuleSearch {
  readonly settings: Readonly<Record<string, unknown>>;
  /** Searches one module. @param share share of the search time. @returns the best model, then others. @throws PithError if none. */
  find(module: FolderModule, share: number): Promise<readonly ModuleResult[]>;
}

/** Result of a search for one module. */
export interface ModuleResult {
  readonly path: string;
  readonly drop: number;
  readonly figures: FileFigures;
}

export interface FolderModule {
  readonly base: string;
  readonly source: string;
  readonly hash: string;
}

export interface FolderVariant {
  readonly source: string;
  readonly out: string;
  readonly dtype: DtypeName;
  readonly fileBytes: number;
  /** Models with which the file failed end to end. */
  readonly jointCheck?: JointCheck | undefined;
  /** Whether the precision fallback is used. */
  readonly fallback?: boolean | undefined;
  /** Size of the original after brotli, which the first variant measures. */
  readonly originalBrotli: number | undefined;
  readonly originalSampled?: boolean | undefined;
}

/** Dtype of a file. "searched" is the result of a search, which replaces the original. */
export type FileDtype = DtypeName | "searched";

export interface FolderFile extends Partial<FileFigures> {
  readonly dtype: FileDtype;
  /** Path in the folder, such as `onnx/model_q4.onnx`. */
  readonly file: string;
  /** "there": made by an earlier run. "passed over": another file is better. "unusable": transformers.js cannot run the folder. */
  readonly verdict: "kept" | "there" | "passed over" | "unusable" | "rejected";
  readonly reason?: string;
}

export interface FolderRun {
  readonly folder: string;
  readonly out: string;
  readonly options: FolderOptions;
  readonly context: Context;
  readonly requestedDtypes: readonly DtypeName[];
  readonly modules: readonly FolderModule[];
  /** Hashes of sidecar files that affect outputs. */
  readonly sidecarHashes: readonly string[];
  readonly mainBase: string;
  readonly make: NonNullable<FolderOptions["make"]>;
  readonly check: ReturnType<typeof createLoaderCheck> | undefined;
  /** Sentence, without its period, about files that transformers.js needs and the folder lacks. */
  missingFilesText: string | undefined;
  /** The first error of a file about options. */
  invalidRequest: PithError | undefined;
  readonly records: Map<string, Records[string]>;
  readonly rows: Map<string, FolderFile>;
  readonly written: FileHashes;
  readonly others: Readonly<Record<string, unknown>>;
  readonly isInPlace: boolean;
  readonly reportedFiles: Set<string>;
}

export const fileOf = (base: string, dtype: FileDtype): string =>
  `onnx/${base}${dtype === "searched" ? "" : dtypes[dtype].suffix}.onnx`;
