/** Defines and reads quantize_config.json: the variants with their sources, settings and figures. */
import * as v from "valibot";
import { joinPath } from "#platform";
import { encodings } from "../../core/files/compressed-copies.ts";
import { type FileHashes, parseFileHashes } from "../../core/files/own-files.ts";
import { readSettings } from "../../data/text/tokenizer.ts";
import { dtypeNames } from "../../techniques/quantize/dtypes.ts";
import { endToEndSchema, similaritySchema } from "./end-to-end.ts";
import { loaderOutcomeSchema } from "./loader-check.ts";

export const recordName = "quantize_config.json";

const speedSchema = v.object({
  target: v.string(),
  /** Runtime and browser, such as "WebAssembly in HeadlessChrome/156.0.0.0". */
  where: v.string(),
  /** Speed relative to the original: median, 10th and 90th percentile over the rounds. */
  factor: v.number(),
  low: v.number(),
  high: v.number(),
  milliseconds: v.number(),
});

const figuresSchema = v.object({
  bytes: v.number(),
  gzip: v.optional(v.number()),
  brotli: v.optional(v.number()),
  originalBrotli: v.optional(v.number()),
  /** Whether `brotli` is an estimate; `originalSampled`: whether `originalBrotli` is. */
  sampled: v.optional(v.boolean()),
  originalSampled: v.optional(v.boolean()),
  /** Encodings of the written compressed copies. */
  copies: v.optional(v.array(v.picklist(encodings))),
  /** Estimated bytes of a page that runs the file, and tensors above WebGPU's guaranteed buffer size. */
  memory: v.optional(v.number()),
  oversized: v.optional(v.array(v.string())),
  measured: v.string(),
  /** Similarity to the original: a metric value on samples or texts, or decibels on random inputs. */
  nearness: v.optional(similaritySchema),
  /** Lines about samples and preprocessing, such as "tested on: reviews.tsv (872)". */
  judgedOn: v.optional(v.array(v.string())),
  /** Layers at higher precision, with their format and the reason. */
  preciseLayers: v.optional(v.array(v.string())),
  /** Steps of a search result, in words and as the text of a recipe. */
  recipe: v.optional(v.object({ name: v.string(), text: v.string() })),
  /** Target runtimes on which the outputs are right. "webgpu?" means that this machine cannot check. */
  rightOn: v.optional(v.array(v.string())),
  /** Speeds on the target runtimes that could be timed. */
  speeds: v.optional(v.array(speedSchema)),
  /** Processor time of a run on the first target, relative to the original's. */
  work: v.optional(v.number()),
  together: v.optional(endToEndSchema),
  loader: v.optional(loaderOutcomeSchema),
});

export type FileFigures = v.InferOutput<typeof figuresSchema>;

const recordSchema = v.object({
  dtype: v.picklist([...dtypeNames, "searched"]),
  source: v.string(),
  /** Hash of the source file with its weights. */
  source_hash: v.string(),
  /** Hash of the source, its sidecar files, the samples and the settings (`sourcesHash`). */
  made_from: v.string(),
  judged_by: v.optional(v.string()),
  ...figuresSchema.entries,
});

export function fileFiguresOf(fileRecord: v.InferOutput<typeof recordSchema>): FileFigures {
  return v.parse(figuresSchema, fileRecord);
}

/** Records by path in the folder. */
export type Records = Readonly<Record<string, v.InferOutput<typeof recordSchema>>>;

/** `others` are entries of other programs, which Pith keeps. */
export interface FolderRecord {
  readonly files: Records;
  readonly written: FileHashes;
  readonly others: Readonly<Record<string, unknown>>;
}

export async function readFolderRecord(out: string): Promise<FolderRecord> {
  const { files, written, ...others } = (await readSettings(joinPath(out, recordName))) ?? {};
  const parsedFiles = v.safeParse(v.record(v.string(), recordSchema), files);
  return { files: parsedFiles.success ? parsedFiles.output : {}, written: parseFileHashes(written), others };
}
