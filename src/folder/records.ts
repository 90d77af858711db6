/** quantize_config.json: what was made of a folder, of which bytes and with which settings, and how near it is to its originals. */
import * as v from "valibot";
import { joinPath } from "#platform";
import { type FileHashes, parseWritten } from "../data/own-files.ts";
import { readSettings } from "../data/tokenizer.ts";
import { dtypeNames } from "../quantize/dtypes.ts";
import { endToEnd, nearness } from "./end-to-end.ts";
import { loaderOutcome } from "./loader.ts";

export const recordName = "quantize_config.json";

/** On one target. */
const speed = v.object({
  target: v.string(),
  /** "WebAssembly in HeadlessChrome/156.0.0.0" */
  where: v.string(),
  /** Times as fast as the original: the median of rounds, and their 10th and 90th percentile. */
  factor: v.number(),
  low: v.number(),
  high: v.number(),
  milliseconds: v.number(),
});

const made = v.object({
  bytes: v.number(),
  brotli: v.optional(v.number()),
  /** The original's bytes after brotli. */
  originalBrotli: v.optional(v.number()),
  /** How near it is to its original. */
  measured: v.string(),
  /** The same in fields, of a comparison on samples, or on random inputs in decibels. */
  nearness: v.optional(nearness),
  /** What that is of, and how it was prepared: "tested on: reviews.tsv (872)", in a line each. */
  judgedOn: v.optional(v.array(v.string())),
  /** Of a file that was repaired: layers that keep more bits than the dtype says, in which form, and why. */
  spared: v.optional(v.array(v.string())),
  /** Of a file that a search has found: what was done, in words and as a recipe. */
  recipe: v.optional(v.object({ name: v.string(), text: v.string() })),
  /** Runtimes that `target` names and that it is right on; "webgpu?" where this machine cannot tell. */
  rightOn: v.optional(v.array(v.string())),
  /** On the targets on which the machine was idle enough to tell. */
  speeds: v.optional(v.array(speed)),
  /** Processor time of a run on the first target, as a share of the original's; absent where it cannot be read. */
  work: v.optional(v.number()),
  /** All models of the folder in this variant. */
  together: v.optional(endToEnd),
  /** What transformers.js itself does with it. */
  loader: v.optional(loaderOutcome),
});

/** What a file that was made weighs, and how near it is to its original. */
export type FileFigures = v.InferOutput<typeof made>;

const record = v.object({
  dtype: v.picklist([...dtypeNames, "searched"]),
  source: v.string(),
  /** Over the source with its weights. */
  source_hash: v.string(),
  /** Over that, the settings and the version of Pith. */
  made_from: v.string(),
  /** Over the samples and texts that the figures are of. */
  judged_by: v.optional(v.string()),
  ...made.entries,
});

/** What a record says of its file, without what it was made of. */
export function figuresOf(one: v.InferOutput<typeof record>): FileFigures {
  return v.parse(made, one);
}

/** Of each file, by its path in the folder. */
export type Records = Readonly<Record<string, v.InferOutput<typeof record>>>;

/** What quantize_config.json says. Other programs write it, too: their keys stay. */
export interface FolderRecord {
  readonly files: Records;
  readonly written: FileHashes;
  readonly others: Readonly<Record<string, unknown>>;
}

/** @throws PithError E_DATA if there is something else of that name. */
export async function recordOf(out: string): Promise<FolderRecord> {
  const { files, written, ...others } = (await readSettings(joinPath(out, recordName))) ?? {};
  const known = v.safeParse(v.record(v.string(), record), files);
  return { files: known.success ? known.output : {}, written: parseWritten(written), others };
}
