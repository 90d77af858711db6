/** Finds the model in a folder as downloaded from a hub, at the top or in `onnx/`. */
import { readdir, stat } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { asFileError } from "../../../core/platform/node-file-errors.ts";
import type { Terminal } from "../print/terminal.ts";
import { isFolder } from "./file-paths.ts";

/** Names of command and pass options whose values are models. */
const modelFlags = ["original", "teacher", "otherTeachers", "from"];

/** Replaces the path of a folder by that of its single model, and prints a note. */
export async function findModel(path: string, terminal: Pick<Terminal, "note">): Promise<string> {
  if (!(await isFolder(path))) return path;
  const models: string[] = [];
  for (const file of [join(path, "model.onnx"), join(path, "onnx", "model.onnx")])
    if ((await stat(file).catch(() => undefined))?.isFile() === true) models.push(file);
  const [file] = models;
  if (file === undefined || models.length > 1) return path;
  const { basesIn } = await import("../../folder/file-names.ts");
  const names = await readdir(dirname(file));
  const bases = new Set(basesIn(names).map((base) => `${base}.onnx`));
  const variants = names.filter((name) => name.endsWith(".onnx") && !bases.has(name)).sort();
  const advice = variants.length === 0 ? "" : `; to use a variant, give its file: ${variants.join(", ")}`;
  terminal.note("model", `${path} is a folder: its original model is ${relative(path, file)}${advice}`);
  return file;
}

/** @throws PithError E_FILE if a model does not exist. */
export async function requireModel(path: string): Promise<void> {
  if (/^(https?|file):/i.test(path)) return;
  await stat(path).catch((cause) => {
    throw asFileError(`"${path}" cannot be opened`, cause);
  });
}

/** Checks that a file is a complete model. @throws PithError E_NOT_ONNX and E_MODEL. */
export async function requireIntact(path: string): Promise<void> {
  const { open } = await import("../../../core/onnx/index.ts");
  await open(path).catch((error) => {
    if (["E_NOT_ONNX", "E_MODEL"].includes(error.code)) throw error;
  });
}

/** Returns options in which folders are replaced by the models in them. */
export async function withModelFiles<T>(options: T, fileOf: (path: string) => Promise<string>): Promise<T> {
  if (typeof options !== "object" || options === null) return options;
  const files: Record<string, unknown> = {};
  const isPath = (value: unknown): value is string => typeof value === "string";
  for (const [name, value] of Object.entries(options)) {
    if (!modelFlags.includes(name)) continue;
    if (isPath(value)) files[name] = await fileOf(value);
    else if (Array.isArray(value) && value.every(isPath)) files[name] = await Promise.all(value.map(fileOf));
  }
  return { ...options, ...files };
}
