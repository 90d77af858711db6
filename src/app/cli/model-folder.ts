/** Finds the model in a folder as downloaded from a hub: at its top or in `onnx/`, next to configuration and tokenizer. */
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { failure } from "../../core/platform/node-failure.ts";
import type { Terminal } from "./terminal.ts";

const places = [["model.onnx"], ["onnx", "model.onnx"]] as const;

type Taken = (file: string, variants: readonly string[]) => void;

export const saidOn =
  (terminal: Terminal): Taken =>
  (file, variants) =>
    terminal.note(
      "model",
      variants.length === 0
        ? `a folder: the model in it is ${file}`
        : `a folder: the original in it is ${file}; to use a variant next to it, give its file: ${variants.join(", ")}`,
    );

const modelFlags = ["against", "original", "teacher", "otherTeachers", "errorOf", "from"];

/** Returns the path, or the model in the named folder if there is exactly one; with variants, the original. */
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

/** Run before the checks of results, whose default names derive from the model. @throws PithError E_FILE if the model does not exist. */
export async function requireModel(path: string): Promise<void> {
  if (/^(https?|file):/i.test(path)) return;
  await stat(path).catch((cause) => {
    throw failure(`"${path}" cannot be opened`, cause);
  });
}

export async function modelsOfFlags<T>(flags: T, fileOf: (path: string) => Promise<string>): Promise<T> {
  if (typeof flags !== "object" || flags === null) return flags;
  const files: Record<string, unknown> = {};
  const isPath = (value: unknown): value is string => typeof value === "string";
  for (const [flag, value] of Object.entries(flags)) {
    if (!modelFlags.includes(flag)) continue;
    if (isPath(value)) files[flag] = await fileOf(value);
    else if (Array.isArray(value) && value.every(isPath)) files[flag] = await Promise.all(value.map(fileOf));
  }
  return { ...flags, ...files };
}
