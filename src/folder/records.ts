/** quantize_config.json: what was made of a folder, of which bytes and with which settings, and how near it is to its originals. */
import * as v from "valibot";
import { fileKind, fileNameOf, joinPath, listFolder, removeFile } from "#platform";
import { fileHash } from "../data/file-hash.ts";
import { type FileHashes, isAuthored, parseWritten } from "../data/own-files.ts";
import { readSettings } from "../data/tokenizer.ts";
import { Miss, PithError } from "../errors.ts";
import { passKey } from "../graph/emit.ts";
import { allNodes, allValues } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { parseDataName, removeUnread } from "../onnx/data-files.ts";
import { open } from "../onnx/index.ts";
import { dtypeNames } from "../quantize/dtypes.ts";
import { endToEnd, nearness } from "./end-to-end.ts";
import { dataFilesOf, mostChunks } from "./layout.ts";
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
  dtype: v.picklist(dtypeNames),
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

/** Whether a path in a folder is a model's, or a file's of its weights. */
export function isOf(file: string, path: string): boolean {
  const data = parseDataName(path);
  return path === file || (data?.model === file && data.final === path);
}

/**
 * The first of a variant's files that Pith did not write, or that was changed since: it stays. What cannot be read is what is left of a model; one of
 * which nothing is recorded, with nodes that Pith wrote, was made by a process that was killed before it recorded it.
 */
export async function authoredModel(out: string, file: string, written: FileHashes): Promise<string | undefined> {
  const there = await filesOf(out, file);
  let changed: string | undefined;
  for (const one of there) if (await isAuthored(out, one, written)) changed ??= one;
  if (changed === undefined || !there.includes(file)) return changed;
  const model = await modelIn(joinPath(out, file));
  if (model instanceof Miss) return undefined;
  return !written.has(file) && model !== undefined && isPiths(model) ? undefined : changed;
}

/** Undefined where it needs what Pith does not know. @returns Miss where it is no model, or not all of one. */
export async function modelIn(path: string): Promise<Model | Miss | undefined> {
  try {
    return await open(path);
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    return error.code === "E_UNSUPPORTED" ? undefined : new Miss(error.message);
  }
}

const isPiths = ({ graph }: Model): boolean => [...allNodes(graph)].some(({ metadata }) => metadata.has(passKey));

/** A model and its weights, as far as they are there. */
async function filesOf(out: string, file: string): Promise<readonly string[]> {
  const names = await listFolder(joinPath(out, "onnx")).catch((): string[] => []);
  return names.map((name) => `onnx/${name}`).filter((path) => isOf(file, path));
}

/** The names of the files in which a model has its weights beside its own. */
export function weightFilesOf({ graph }: Model): ReadonlySet<string> {
  const used = new Set<string>();
  for (const { tensor } of allValues(graph))
    if (tensor?.stored !== undefined) used.add(tensor.stored.source.name.replace(/^.*[/\\]/, ""));
  return used;
}

/**
 * The hashes of a model and its weights; what else lies under their names, and no model reads, goes. @throws PithError E_FILE if weights have
 * names that transformers.js does not look for, E_OPTION if there are too many of them.
 */
export async function hashesOf(out: string, file: string): Promise<FileHashes> {
  const [folder, name] = [joinPath(out, "onnx"), fileNameOf(file)];
  const used = weightFilesOf(await open(joinPath(out, file)));
  const data = dataFilesOf(name, await listFolder(folder));
  await removeUnread(
    joinPath(out, file),
    data.filter((one) => !used.has(one)),
  );
  const files = [name, ...data.filter((one) => used.has(one))];
  if (files.length - 1 > mostChunks) {
    const text = `"${name}" has ${files.length - 1} files of weights; transformers.js reads ${mostChunks}.`;
    throw new PithError("E_OPTION", text, { hint: "Allow larger files (`fileBytes`)." });
  }
  const stray = [...used].find((one) => !files.includes(one));
  if (stray !== undefined)
    throw new PithError("E_FILE", `The weights of "${name}" are in "${joinPath(folder, stray)}".`, {
      hint: "Another model reads the file that they should be in. Write to another folder.",
    });
  const hashes = files.map(async (one) => [`onnx/${one}`, [await fileHash(joinPath(folder, one))]] as const);
  return new Map(await Promise.all(hashes));
}

/** Removes a file and its weights: what does not hold must not be loaded. */
export async function removeModel(out: string, file: string): Promise<void> {
  const data = (await filesOf(out, file)).filter((one) => one !== file).map(fileNameOf);
  await removeFile(joinPath(out, file));
  await removeUnread(joinPath(out, file), data);
}

/** Whether a model and its weights are there as Pith wrote them. */
export async function isWhole(out: string, file: string, written: FileHashes): Promise<boolean> {
  const paths = [...written.keys()].filter((path) => isOf(file, path));
  for (const path of paths)
    if ((await fileKind(joinPath(out, path))) !== "file" || (await isAuthored(out, path, written))) return false;
  return paths.includes(file);
}
