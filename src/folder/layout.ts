/** Where transformers.js looks for the files of a model. */
import { sidecarNames } from "../data/sidecars.ts";
import { dataName, parseDataName } from "../onnx/data-files.ts";
import { dtypes } from "../quantize/dtypes.ts";

/** Every suffix that transformers.js knows: files with one are variants of those without. */
const suffixes = [...Object.values(dtypes).map(({ suffix }) => suffix), "_q1", "_q1f16"];

/** At most so many files of weights belong to a model. */
export const mostChunks = 100;

/**
 * Names of the original models of a folder, without ".onnx". A file with another dot in its name was written by Pith and is no original:
 * `model.pruned.onnx`.
 */
export function basesIn(files: readonly string[]): readonly string[] {
  return files
    .filter((file) => file.endsWith(".onnx") && !isVariant(file))
    .map((file) => file.slice(0, -".onnx".length))
    .filter((base) => !base.includes("."))
    .sort();
}

/** The module that answers; it alone, where there are no others that it works with. */
export function mainOf(bases: readonly string[]): { readonly base: string; readonly isAlone: boolean } {
  const isAlone = !bases.includes("decoder_model_merged");
  return { base: isAlone ? "model" : "decoder_model_merged", isAlone };
}

/** Files beside the models that transformers.js reads, and licences. */
export function isCopied(name: string): boolean {
  return sidecarNames.includes(name) || /^(licen[cs]e|copying|notice)\b/i.test(name);
}

/** Whether a file is a variant or holds weights of one: `model_q4.onnx`, `model_q4.onnx_data_1`. */
export function isVariant(file: string): boolean {
  const model = parseDataName(file)?.model ?? file;
  return suffixes.some((suffix) => model.endsWith(`${suffix}.onnx`));
}

/** Of each model how many files of weights it has. */
export function chunksOf(names: readonly string[]): ReadonlyMap<string, number> {
  const models = names.filter((name) => name.endsWith(".onnx"));
  return new Map(models.map((name) => [name, dataFilesOf(name, names).length]));
}

/** Those files of a model's weights that are there. */
export function dataFilesOf(file: string, names: readonly string[]): readonly string[] {
  const found: string[] = [];
  while (names.includes(dataName(file, found.length))) found.push(dataName(file, found.length));
  return found;
}
