/**
 * A folder where a model is meant. What is downloaded from a hub is a folder, with the model at its top or in `onnx/` beside configuration and
 * tokenizer: there is one file that can be meant, and it is taken and said.
 */
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { PithError } from "../errors.ts";
import type { Terminal } from "./terminal.ts";

/** Where exporters put the model of a folder. */
const places = [["model.onnx"], ["onnx", "model.onnx"]] as const;

/** Says which model of a folder is taken. */
export const saidOn = (terminal: Terminal) => (file: string) =>
  terminal.note("model", `a folder: the model in it is ${file}`);

const modelFlags: readonly string[] = ["against", "original", "student", "teacher"];

/**
 * The path, or that of the model in the folder that it names, if there is exactly one. What else a folder holds, opening it says.
 * @throws PithError E_FILE where variants of the model lie beside it.
 */
export async function modelAt(path: string, taken: (file: string) => void): Promise<string> {
  if ((await stat(path).catch(() => undefined))?.isDirectory() !== true) return path;
  const found: string[] = [];
  for (const place of places) {
    const file = join(path, ...place);
    if ((await stat(file).catch(() => undefined))?.isFile() === true) found.push(file);
  }
  const [file] = found;
  if (file === undefined || found.length > 1) return path;
  const { isVariant } = await import("../folder/layout.ts");
  const variants = (await readdir(dirname(file))).filter((name) => name.endsWith(".onnx") && isVariant(name)).sort();
  if (variants.length > 0)
    throw new PithError("E_FILE", `"${path}" has ${["model.onnx", ...variants].join(", ")}: name the file.`, {
      hint: `The original: ${file}.`,
    });
  taken(file);
  return file;
}

/** The values of flags, those that name models by their files. */
export async function modelsOfFlags<T>(flags: T, taken: (file: string) => void): Promise<T> {
  if (typeof flags !== "object" || flags === null) return flags;
  const files: Record<string, string> = {};
  for (const [flag, value] of Object.entries(flags))
    if (modelFlags.includes(flag) && typeof value === "string") files[flag] = await modelAt(value, taken);
  return { ...flags, ...files };
}
