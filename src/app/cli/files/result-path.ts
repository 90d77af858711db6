/**
 * Decides whether a result is written as a file or as a folder with the files next to the model:
 *     minilm/config.json  minilm/onnx/model.onnx   →   minilm.pruned/config.json  minilm.pruned/onnx/model.onnx
 */
import { statSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import * as v from "valibot";
import { optionError } from "#ir";
import { option } from "#pass";
import { encodings } from "../../../core/files/compressed-copies.ts";
import { quoteWord } from "../../../judge/record/shell-command.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { isVariant } from "../../folder/file-names.ts";
import type { Session } from "../command.ts";
import { outputName, pathNextTo } from "./file-paths.ts";
import { requireWritable, requireWritableFolder } from "./writable.ts";

export const precompressFlag = {
  precompress: option(v.array(v.picklist(encodings)), "also write compressed copies for web servers: .gz, .br", {
    value: "gzip,br",
  }),
};

export const folderOutputNote = "for a folder of transformers.js, the result is a folder";

export interface ResultPath {
  readonly out: string;
  /** Output folder, and input folder (`source`) from which other files are copied. */
  readonly folder?: { readonly out: string } & SourceFolder;
}

interface SourceFolder {
  readonly source: string;
  readonly file: string;
}

interface NamedModels {
  readonly model: string;
  readonly referenceModel?: unknown;
  /** Model file → folder that the user named instead of the file. */
  readonly namedFolders: Session["namedFolders"];
}

/** @param outOption value of `--out`: a file, or a folder if the model is in one. @param suffix of the default name, such as ".pruned". */
export function resolveResultPath(models: NamedModels, outOption: string | undefined, suffix: string): ResultPath {
  const source = /\.onnx$/i.test(outOption ?? "") ? undefined : sourceFolder(models, outOption);
  const isLoaded = source !== undefined && dirname(source.file) === "onnx";
  if (source === undefined || (outOption === undefined && !isLoaded))
    return { out: outOption ?? outputName(models.model, suffix) };
  const out = outOption ?? pathNextTo(source.source, suffix);
  return { out: join(out, source.file), folder: { ...source, out } };
}

function sourceFolder(
  { model, referenceModel, namedFolders }: NamedModels,
  outOption: string | undefined,
): SourceFolder | undefined {
  const namedFolder = namedFolders.get(model);
  if (namedFolder !== undefined) return { source: namedFolder, file: relative(namedFolder, model) };
  if (outOption === undefined || !isFolderName(outOption)) return undefined;
  const [modelFolder, name] = [dirname(model), basename(model)];
  if (basename(modelFolder) === "onnx" && !isVariant(name))
    return { source: dirname(modelFolder), file: join("onnx", name) };
  const aimFolder = typeof referenceModel === "string" ? namedFolders.get(referenceModel) : undefined;
  return aimFolder === undefined ? undefined : { source: aimFolder, file: relative(aimFolder, String(referenceModel)) };
}

function isFolderName(path: string): boolean {
  return /[/\\]$/.test(path) || statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

export async function requireWritableResult(
  { out, folder }: ResultPath,
  copies: readonly string[] = [],
): Promise<void> {
  if (folder === undefined) {
    requireModelName(out);
    for (const path of [out, ...copies]) await requireWritable(path);
    return;
  }
  await requireOutside(folder.source, folder.out);
  await requireWritableFolder(folder.out, []);
  await requireWritableFolder(
    dirname(out),
    [out, ...copies].map((path) => basename(path)),
  );
}

/** @throws PithError E_OPTION for a new output file without the extension .onnx. */
function requireModelName(out: string): void {
  const isOther = out === "-" || out === "" || /[/\\]$|\.onnx$/i.test(out);
  if (isOther || statSync(out, { throwIfNoEntry: false }) !== undefined) return;
  throw optionError(`--out: "${out}" is not the name of a model: expected a file that ends in .onnx.`, {
    hint: `-o ${quoteWord(`${out}.onnx`)}`,
  });
}

export async function completeFolder({ folder }: ResultPath, { log }: Pick<JobContext, "log">): Promise<void> {
  if (folder === undefined) return;
  const { copySidecars } = await import("../../folder/originals.ts");
  await copySidecars(folder.source, folder.out, folder.file, { log });
}

export async function requireOutside(folder: string, out: string): Promise<void> {
  const path = relative(await realpath(folder), resolve(out));
  if (path === "" || path.startsWith("..") || isAbsolute(path)) return;
  throw optionError(`--out: "${out}" is inside "${folder}", which is copied into it.`, {
    hint: `Choose a folder next to it, or write into "${folder}" itself.`,
  });
}
