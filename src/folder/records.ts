/** quantize_config.json: what was made of a folder, of which bytes and with which settings, and how near it is to its originals. */
import * as v from "valibot";
import { fileKind, joinPath, listFolder, removeFile } from "#platform";
import { readSettings } from "../data/tokenizer.ts";
import { PithError } from "../errors.ts";
import { allValues } from "../graph/graph.ts";
import { open } from "../onnx/index.ts";
import { dtypeNames } from "../quantize/dtypes.ts";
import { endToEnd, nearness } from "./end-to-end.ts";
import { fileHash } from "./files.ts";
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
  /** How near it is to its original. */
  measured: v.string(),
  /** The same in fields, of a comparison on samples, or on random inputs in decibels. */
  nearness: v.optional(nearness),
  /** Runtimes that `target` names and that it is right on; "webgpu?" where this machine cannot tell. */
  rightOn: v.optional(v.array(v.string())),
  /** On the targets on which the machine was idle enough to tell. */
  speeds: v.optional(v.array(speed)),
  /** All models of the folder in this variant. */
  together: v.optional(endToEnd),
  /** What transformers.js itself does with it. */
  loader: v.optional(loaderOutcome),
});

/** What a file that was made weighs, and how near it is to its original. */
export type Made = v.InferOutput<typeof made>;

const record = v.object({
  dtype: v.picklist(dtypeNames),
  source: v.string(),
  /** Over the source with its weights. */
  source_hash: v.string(),
  /** Over that, the settings and the version of Pith. */
  made_from: v.string(),
  /** Over the samples and texts that the figures are of. */
  judged_by: v.optional(v.string()),
  /** The file and those of its weights, with their hashes. */
  files: v.record(v.string(), v.string()),
  ...made.entries,
});

/** Of each file, by its path in the folder. */
export type Records = Readonly<Record<string, v.InferOutput<typeof record>>>;

/** What runs before have made. A record of somebody else's says nothing. */
export async function recordsOf(out: string): Promise<Records> {
  const found = await readSettings(joinPath(out, recordName)).catch(() => undefined);
  const parsed = v.safeParse(v.record(v.string(), record), found?.files);
  return parsed.success ? parsed.output : {};
}

/**
 * The hashes of a file and those of its weights; what else lies under their names goes. @throws PithError E_FILE if weights have names that
 * transformers.js does not look for, E_OPTION if there are too many of them.
 */
export async function hashesOf(folder: string, name: string): Promise<Readonly<Record<string, string>>> {
  const used = new Set<string>();
  for (const { tensor } of allValues((await open(joinPath(folder, name))).graph))
    if (tensor?.stored !== undefined) used.add(tensor.stored.source.name.replace(/^.*[/\\]/, ""));
  const data = dataFilesOf(name, await listFolder(folder));
  for (const file of data) if (!used.has(file)) await removeFile(joinPath(folder, file));
  const files = [name, ...data.filter((file) => used.has(file))];
  if (files.length - 1 > mostChunks) {
    const text = `"${name}" has ${files.length - 1} files of weights; transformers.js reads ${mostChunks}.`;
    throw new PithError("E_OPTION", text, { hint: "Allow larger files (`fileBytes`)." });
  }
  const stray = [...used].find((file) => !files.includes(file));
  if (stray !== undefined)
    throw new PithError("E_FILE", `The weights of "${name}" are in "${joinPath(folder, stray)}".`, {
      hint: "Another model reads the file that they should be in. Write to another folder.",
    });
  const hashes = files.map(async (file) => [file, await fileHash(joinPath(folder, file))] as const);
  return Object.fromEntries(await Promise.all(hashes));
}

/** Removes a file and its weights: what does not hold must not be loaded. */
export async function removeModel(folder: string, name: string): Promise<void> {
  const names = await listFolder(folder);
  for (const file of [name, ...dataFilesOf(name, names)])
    if (names.includes(file)) await removeFile(joinPath(folder, file));
}

export async function areWhole(folder: string, files: Readonly<Record<string, string>>): Promise<boolean> {
  for (const [name, hash] of Object.entries(files)) {
    const path = joinPath(folder, name);
    if ((await fileKind(path)) !== "file" || (await fileHash(path)) !== hash) return false;
  }
  return true;
}
