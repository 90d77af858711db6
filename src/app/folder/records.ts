/** quantize_config.json: the variants, their sources and settings, and their similarity to the originals. */
import * as v from "valibot";
import { joinPath } from "#platform";
import { encodings } from "../../core/files/compressed-copies.ts";
import { type FileHashes, parseWritten } from "../../core/files/own-files.ts";
import { readSettings } from "../../data/text/tokenizer.ts";
import { dtypeNames } from "../../techniques/quantize/dtypes.ts";
import { endToEnd, nearness } from "./end-to-end.ts";
import { loaderOutcome } from "./loader.ts";

export const recordName = "quantize_config.json";

const speed = v.object({
  target: v.string(),
  /** "WebAssembly in HeadlessChrome/156.0.0.0" */
  where: v.string(),
  /** Speed relative to the original: median over rounds, 10th and 90th percentile. */
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
  /** Encodings of the compressed copies, whose sizes `gzip` and `brotli` are. */
  copies: v.optional(v.array(v.picklist(encodings))),
  measured: v.string(),
  /** Comparison on samples, or on random inputs in decibels. */
  nearness: v.optional(nearness),
  /** Samples and preprocessing, in lines: "tested on: reviews.tsv (872)". */
  judgedOn: v.optional(v.array(v.string())),
  /** For repaired files: layers at higher precision, with format and reason. */
  spared: v.optional(v.array(v.string())),
  /** For search results: the steps in words and as a recipe. */
  recipe: v.optional(v.object({ name: v.string(), text: v.string() })),
  /** Target runtimes on which it is correct; "webgpu?" if this machine cannot check. */
  rightOn: v.optional(v.array(v.string())),
  /** Only targets on which the machine was idle. */
  speeds: v.optional(v.array(speed)),
  /** Processor time of a run on the first target relative to the original's; absent if it cannot be read. */
  work: v.optional(v.number()),
  together: v.optional(endToEnd),
  loader: v.optional(loaderOutcome),
});

/** Size, speed and similarity to the original of a file. */
export type FileFigures = v.InferOutput<typeof figuresSchema>;

const record = v.object({
  dtype: v.picklist([...dtypeNames, "searched"]),
  source: v.string(),
  /** Hash of the source with its weights. */
  source_hash: v.string(),
  /** Hash of source, settings and Pith's version. */
  made_from: v.string(),
  /** Hash of the samples and texts. */
  judged_by: v.optional(v.string()),
  ...figuresSchema.entries,
});

export function figuresOf(fileRecord: v.InferOutput<typeof record>): FileFigures {
  return v.parse(figuresSchema, fileRecord);
}

/** By path in the folder. */
export type Records = Readonly<Record<string, v.InferOutput<typeof record>>>;

/** Contents of quantize_config.json. Keys of other programs are kept. */
export interface FolderRecord {
  readonly files: Records;
  readonly written: FileHashes;
  readonly others: Readonly<Record<string, unknown>>;
}

export async function recordOf(out: string): Promise<FolderRecord> {
  const { files, written, ...others } = (await readSettings(joinPath(out, recordName))) ?? {};
  const parsed = v.safeParse(v.record(v.string(), record), files);
  return { files: parsed.success ? parsed.output : {}, written: parseWritten(written), others };
}
