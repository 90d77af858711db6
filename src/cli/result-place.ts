/**
 * Where the result of a command goes: into a file; or, where the model was named by a folder as transformers.js lays it out, into a folder like it:
 *
 *     minilm/config.json  minilm/onnx/model.onnx   →   minilm.pruned/config.json  minilm.pruned/onnx/model.onnx
 */
import { realpath } from "node:fs/promises";
import { basename, dirname, isAbsolute, join, relative, resolve } from "node:path";
import { PithError } from "../errors.ts";
import { besideFolder, outputName } from "./files.ts";
import type { Terminal } from "./terminal.ts";
import { requireWritable, requireWritableFolder } from "./writable.ts";

/** Said of the argument that names the model. */
export const folderForFolder = "a folder that transformers.js loads gives a folder";

export interface ResultPlace {
  /** The file of the result. */
  readonly out: string;
  /** The folder that it belongs to, and the one that it was made of. */
  readonly folder?: { readonly out: string; readonly source: string };
}

/**
 * @param word what was named: the model, or its folder.
 * @param named by `--out`: a file, or, of a folder, a folder.
 * @param suffix of the name that the result gets otherwise: ".pruned".
 */
export function resultPlace(word: string, model: string, named: string | undefined, suffix: string): ResultPlace {
  const inFolder = join("onnx", "model.onnx");
  if (model !== join(word, inFolder) || /\.onnx$/i.test(named ?? ""))
    return { out: named ?? outputName(model, suffix) };
  const out = named ?? besideFolder(word, suffix);
  return { out: join(out, inFolder), folder: { out, source: word } };
}

/** @throws PithError E_FILE before any work is done, if the result could not be written. */
export async function requireWritablePlace({ out, folder }: ResultPlace): Promise<void> {
  if (folder === undefined) return requireWritable(out);
  await requireOutside(folder.source, folder.out);
  await requireWritableFolder(folder.out, []);
  await requireWritableFolder(dirname(out), ["model.onnx"]);
}

/** Copies into the folder of a result what belongs to the model there. */
export async function completePlace({ out, folder }: ResultPlace, terminal: Terminal): Promise<void> {
  if (folder === undefined) return;
  const { copyBeside } = await import("../folder/originals.ts");
  await copyBeside(folder.source, folder.out, basename(out, ".onnx"), {
    log: ({ id, text, level }) => terminal.note(id, text, level),
  });
}

/** @throws PithError E_OPTION for a folder inside the one that is copied. */
export async function requireOutside(folder: string, out: string): Promise<void> {
  const path = relative(await realpath(folder), resolve(out));
  if (path === "" || path.startsWith("..") || isAbsolute(path)) return;
  throw new PithError("E_OPTION", `--out: "${out}" is inside "${folder}", which is copied into it.`, {
    hint: `Write beside it, or into "${folder}" itself.`,
  });
}
