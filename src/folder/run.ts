/** What a run on a folder is given, and what stands in the folder that it writes. */

import type { FileHashes } from "../data/own-files.ts";
import type { Miss } from "../errors.ts";
import type { Context } from "../passes/pass.ts";
import { type DtypeName, dtypes } from "../quantize/dtypes.ts";
import type { QuantizeOptions } from "../quantize/index.ts";
import type { Purpose } from "../recipe/objective.ts";
import type { EndToEnd, ModulePaths } from "./end-to-end.ts";
import type { Loader, loaderCheck } from "./loader.ts";
import type { FileFigures, Records } from "./records.ts";
import type { Together } from "./text-search.ts";

export interface FolderOptions {
  /** Variants by the names of transformers.js, or "all". */
  readonly dtypes: readonly DtypeName[] | "all";
  /** The folder to write; the folder itself keeps its own files and gets the variants. */
  readonly out: string;
  /** Bytes of a file of weights, at most (2e9): hosts and phones limit them. */
  readonly fileBytes?: number | undefined;
  /** Other settings of `quantize`, for every variant. */
  readonly quantize?: Omit<QuantizeOptions, "scheme" | "dtype"> | undefined;
  /** What else the result depends on, for the record: a variant that was made otherwise is made again. */
  readonly settings?: Readonly<Record<string, unknown>> | undefined;
  /** What stands for the samples and texts that figures are of: those of other ones are dropped. */
  readonly judgedBy?: string | undefined;
  /** Makes a file, or refuses by a PithError: in place of a comparison on random inputs. */
  readonly make?: ((variant: Variant) => Promise<FileFigures>) | undefined;
  /** How fast a file is beside its original, as far as that can be said. */
  readonly time?:
    | ((file: Pick<Variant, "source" | "out">) => Promise<Pick<FileFigures, "speeds" | "work">>)
    | undefined;
  /** Lines that each variant of all models together is tried on, and repaired by: by what continues a text, else by `together` alone. */
  readonly texts?: readonly string[] | undefined;
  /** Keep of each module only the best variant that passes its check. */
  readonly keepSmallest?: boolean | undefined;
  /** What "best" means (the smallest file whose processor time is about that of the original). */
  readonly purpose?: Purpose | undefined;
  /** What a user called, for the card: `pith compress`. */
  readonly madeWith?: string | undefined;
  /** transformers.js itself, which loads and runs every variant, or why it cannot be asked. */
  readonly loader?: Loader | Miss | undefined;
  /** Runs a variant of all models together, given the paths of originals and results by module: in place of `texts`. */
  readonly together?: ((modules: readonly ModulePaths[]) => Promise<EndToEnd>) | undefined;
  /** With `keepSmallest`: searches each model over all techniques. What is found lies in the place of the original's copy where it is the best. */
  readonly search?: ModuleSearch | undefined;
}

export interface ModuleSearch {
  /** What its results depend on beside the rest, for the record. */
  readonly settings: Readonly<Record<string, unknown>>;
  /**
   * @param share of the time: that of the bytes.
   * @returns the best model, and larger ones that lose less.
   * @throws PithError where there is none.
   */
  find(module: Module, share: number): Promise<readonly Found[]>;
}

/** A model that a search has found. */
export interface Found {
  /** Of a single file. */
  readonly path: string;
  /** As a share of what may be lost. */
  readonly drop: number;
  readonly figures: FileFigures;
}

export interface Module {
  readonly base: string;
  readonly source: string;
  /** Over the file and its weights. */
  readonly hash: string;
}

/** A file to be made. */
export interface Variant {
  readonly source: string;
  readonly out: string;
  readonly dtype: DtypeName;
  readonly fileBytes: number;
  /** What it was found not to hold together with: layers are spared until it does. */
  readonly together?: Together | undefined;
}

/** "searched": in the place of the original, which transformers.js calls fp32. */
export type FileDtype = DtypeName | "searched";

export interface FolderFile extends Partial<FileFigures> {
  readonly dtype: FileDtype;
  /** In the folder: `onnx/model_q4.onnx`. */
  readonly file: string;
  /**
   * "there": a run before made it with the same settings. "passed over": it passes its check, and another is better (`keepSmallest`). "unusable": so
   * does it, and transformers.js does not run the folder (`loader.reason`).
   */
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
  /** Hashes of what answers depend on beside the models. */
  readonly sidecars: readonly string[];
  /** The module whose answers are compared. */
  readonly main: string;
  readonly check: ReturnType<typeof loaderCheck> | undefined;
  /** What transformers.js needs and the folder lacks, in a sentence without its full stop. */
  missing: string | undefined;
  /** Files that were made and hold. */
  readonly records: Map<string, Records[string]>;
  readonly rows: Map<string, FolderFile>;
  readonly written: FileHashes;
  /** What else the record in the folder says. */
  readonly others: Readonly<Record<string, unknown>>;
  /** The folder that is written is the one that is read. */
  readonly inPlace: boolean;
  /** Files of authors of which it was said that they stay. */
  readonly said: Set<string>;
}

export const fileOf = (base: string, dtype: FileDtype): string =>
  `onnx/${base}${dtype === "searched" ? "" : dtypes[dtype].suffix}.onnx`;
