import type { Encoding } from "#platform";
import type { Miss } from "../../core/errors.ts";
import type { FileHashes } from "../../core/files/own-files.ts";
import type { Context } from "../../core/pass/pass.ts";
import type { Purpose } from "../../judge/run/objective.ts";
import type { Size } from "../../runtime/run/size.ts";
import { type DtypeName, dtypes } from "../../techniques/quantize/dtypes.ts";
import type { QuantizeOptions } from "../../techniques/quantize/index.ts";
import type { EndToEnd, ModulePaths } from "./end-to-end.ts";
import type { Loader, loaderCheck } from "./loader.ts";
import type { FileFigures, Records } from "./records.ts";
import type { Together } from "./text-search.ts";

export interface FolderOptions {
  /** Variants by the names of transformers.js, or "all". */
  readonly dtypes: readonly DtypeName[] | "all";
  /** The output folder. If it is the input folder, that keeps its files and gets the variants. */
  readonly out: string;
  /** Maximum bytes of a weight file (2e9): hosts and phones limit them. */
  readonly fileBytes?: number | undefined;
  /** Encodings of compressed copies, which are written next to each file that is kept. */
  readonly precompress?: readonly Encoding[] | undefined;
  /** Other settings of `quantize` for every variant. */
  readonly quantize?: Omit<QuantizeOptions, "scheme" | "dtype"> | undefined;
  /** Other settings that affect results, for the record. A variant with different settings is made again. */
  readonly settings?: Readonly<Record<string, unknown>> | undefined;
  /** Identifies samples and texts; measurements on others are dropped. */
  readonly judgedBy?: string | undefined;
  /** Makes a file, or rejects it with a PithError. Default: a comparison on random inputs. */
  readonly make?: ((variant: Variant) => Promise<FileFigures>) | undefined;
  readonly time?:
    | ((file: Pick<Variant, "source" | "out">) => Promise<Pick<FileFigures, "speeds" | "work">>)
    | undefined;
  /** Texts for comparing and repairing each variant end to end; used by text generators, and else by `together` only. */
  readonly texts?: readonly string[] | undefined;
  /** Keep only the best acceptable variant of each module. */
  readonly keepSmallest?: boolean | undefined;
  /** Objective of `keepSmallest` (the smallest file with about the original's processor time). */
  readonly purpose?: Purpose | undefined;
  /** The user's command, for the card: `pith compress`. */
  readonly madeWith?: string | undefined;
  /** transformers.js, which runs every variant, or why it is not available. */
  readonly loader?: Loader | Miss | undefined;
  /** Compares a variant of all models end to end. Replaces the comparison on `texts`. */
  readonly together?: ((modules: readonly ModulePaths[]) => Promise<EndToEnd>) | undefined;
  /** With `keepSmallest`: searches each model over all techniques. A result that wins replaces the copy of the original. */
  readonly search?: ModuleSearch | undefined;
}

export interface ModuleSearch {
  /** Other settings that affect results, for the record. */
  readonly settings: Readonly<Record<string, unknown>>;
  /**
   * @param share of the time, by bytes.
   * @returns the best model, and larger ones that lose less.
   * @throws PithError if there is none.
   */
  find(module: Module, share: number): Promise<readonly Found[]>;
}

/** A result of a search for one module. */
export interface Found {
  /** A single file. */
  readonly path: string;
  readonly drop: number;
  readonly figures: FileFigures;
}

export interface Module {
  readonly base: string;
  readonly source: string;
  readonly hash: string;
}

/** A file to make. */
export interface Variant {
  readonly source: string;
  readonly out: string;
  readonly dtype: DtypeName;
  readonly fileBytes: number;
  /** Models with which it failed end to end; layers are kept at higher precision until they pass jointly. */
  readonly together?: Together | undefined;
}

/** "searched": replaces the original, which transformers.js calls fp32. */
export type FileDtype = DtypeName | "searched";

export interface FolderFile extends Partial<FileFigures> {
  readonly dtype: FileDtype;
  /** In the folder: `onnx/model_q4.onnx`. */
  readonly file: string;
  /** "there": made by an earlier run. "passed over": another is better. "unusable": transformers.js cannot run the folder (`loader.reason`). */
  readonly verdict: "kept" | "there" | "passed over" | "unusable" | "refused";
  readonly reason?: string;
}

export interface FolderRun {
  readonly folder: string;
  readonly out: string;
  readonly options: FolderOptions;
  readonly context: Context;
  readonly asked: readonly DtypeName[];
  readonly modules: readonly Module[];
  /** Hashes of other files that affect outputs. */
  readonly sidecars: readonly string[];
  readonly main: string;
  readonly check: ReturnType<typeof loaderCheck> | undefined;
  /** Files that transformers.js needs and the folder lacks, in a sentence without its period. */
  missing: string | undefined;
  readonly records: Map<string, Records[string]>;
  readonly rows: Map<string, FolderFile>;
  readonly written: FileHashes;
  readonly others: Readonly<Record<string, unknown>>;
  readonly inPlace: boolean;
  /** By path. */
  readonly originalSizes: Map<string, Promise<Size>>;
  /** User files that were already reported as kept. */
  readonly said: Set<string>;
}

export const fileOf = (base: string, dtype: FileDtype): string =>
  `onnx/${base}${dtype === "searched" ? "" : dtypes[dtype].suffix}.onnx`;
