/** Names, checks and measures the files that commands read and write. */
import { realpath, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { allValues, type Model, modelError, optionError } from "#ir";

export function filesOfModel(model: Model, path: string): readonly string[] {
  const files = new Set([resolve(path)]);
  for (const { tensor } of allValues(model.graph))
    if (tensor?.stored !== undefined) files.add(resolve(tensor.stored.source.name));
  return [...files];
}

export async function totalBytes(files: readonly string[]): Promise<number> {
  const sizes = await Promise.all(files.map(async (file) => (await stat(file)).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Returns a path with a suffix: `models/resnet20.onnx` and ".pruned" → `models/resnet20.pruned.onnx`. */
export function outputName(path: string, suffix: string): string {
  return `${pathNextTo(path, suffix)}.onnx`;
}

/** Matches the folder of a model in the cache of the Hugging Face Hub, or a file in it: `models--owner--name/snapshots/…/onnx/model.onnx`. */
const hubSnapshot = /[/\\]models--(?:[^/\\]+--)?([^/\\]+)[/\\]snapshots[/\\][^/\\]+[/\\]?(.*)$/;

/** Returns a path next to a model or folder: `minilm/` and ".quantized" → `minilm.quantized`. For the Hub's cache: in the current folder. */
export function pathNextTo(path: string, suffix: string): string {
  const [, name, file = ""] = hubSnapshot.exec(resolve(path)) ?? [];
  const input = name === undefined ? path : /^(onnx[/\\])?(model\.onnx)?$/.test(file) ? name : basename(file);
  return join(input, "..", `${basename(resolve(input)).replace(/\.onnx$/i, "")}${suffix}`);
}

/** @throws PithError E_OPTION if the output would overwrite an input, also through links. */
export async function requireNotInput(
  out: string,
  inputs: readonly (readonly [name: string, path: unknown])[],
): Promise<void> {
  for (const [name, path] of inputs) {
    if (typeof path !== "string" || !(await isSameFile(out, path))) continue;
    throw optionError(`"${out}" is ${name}: the result would overwrite it.`, { hint: "Choose another file." });
  }
}

/** @throws PithError E_MODEL if a model has no outputs, because its nodes would be removed as unused. */
export function requireOutputs(model: Model, path: string): void {
  if (model.graph.outputs.length > 0) return;
  throw modelError(`"${path}" has no outputs: there is nothing to compute.`, {
    hint: "The file may have been extracted from a larger model; name the outputs when you export it.",
  });
}

export async function requireNotWeights(out: string, model: Model, path: string): Promise<void> {
  const [, ...weights] = filesOfModel(model, path);
  await requireNotInput(
    out,
    weights.map((file) => ["a file of the model's weights", file] as const),
  );
}

export async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

export async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true;
}

export async function isSameFile(a: string, b: string): Promise<boolean> {
  return (await realPathOf(a)) === (await realPathOf(b));
}

async function realPathOf(path: string): Promise<string> {
  return realpath(path).catch(() => resolve(path));
}
