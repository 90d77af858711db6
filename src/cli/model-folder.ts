/**
 * A folder where a model is meant. What is downloaded from a hub is a folder, with the model at its top or in `onnx/` beside configuration and
 * tokenizer: there is one file that can be meant, and it is taken and said.
 */
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Terminal } from "./terminal.ts";

/** Where exporters put the model of a folder. */
const places = [["model.onnx"], ["onnx", "model.onnx"]] as const;

type Taken = (file: string, variants: readonly string[]) => void;

/** Says which model of a folder is taken. */
export const saidOn =
  (terminal: Terminal): Taken =>
  (file, variants) =>
    terminal.note(
      "model",
      variants.length === 0
        ? `a folder: the model in it is ${file}`
        : `a folder: the original in it is ${file}; beside it lie variants, which are named by their files: ${variants.join(", ")}`,
    );

const modelFlags: readonly string[] = ["against", "original", "student", "teacher"];

/**
 * The path, or that of the model in the folder that it names, if there is exactly one: the original, where variants of it lie beside it. What
 * else a folder holds, opening it says.
 */
export async function modelAt(path: string, taken: Taken): Promise<string> {
  if ((await stat(path).catch(() => undefined))?.isDirectory() !== true) return path;
  const found: string[] = [];
  for (const place of places) {
    const file = join(path, ...place);
    if ((await stat(file).catch(() => undefined))?.isFile() === true) found.push(file);
  }
  const [file] = found;
  if (file === undefined || found.length > 1) return path;
  const { basesIn } = await import("../folder/layout.ts");
  const names = await readdir(dirname(file));
  const bases = new Set(basesIn(names).map((base) => `${base}.onnx`));
  const variants = names.filter((name) => name.endsWith(".onnx") && !bases.has(name)).sort();
  taken(file, variants);
  return file;
}

/** The values of flags, those that name models by their files. */
export async function modelsOfFlags<T>(flags: T, taken: Taken): Promise<T> {
  if (typeof flags !== "object" || flags === null) return flags;
  const files: Record<string, string> = {};
  for (const [flag, value] of Object.entries(flags))
    if (modelFlags.includes(flag) && typeof value === "string") files[flag] = await modelAt(value, taken);
  return { ...flags, ...files };
}
