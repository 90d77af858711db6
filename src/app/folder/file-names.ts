/** Recognizes the files of a folder in the layout of transformers.js by their names. */
import { dataName, parseDataName } from "#ir";
import { sidecarNames } from "../../data/text/sidecar-names.ts";
import { dtypes } from "../../techniques/quantize/dtypes.ts";

const suffixes = [...Object.values(dtypes).map(({ suffix }) => suffix), "_bnb4", "_q1", "_q1f16"];

export const maxChunks = 100;

/** Returns the names of original models without ".onnx". Names with another dot are results of Pith. */
export function basesIn(files: readonly string[]): readonly string[] {
  return files
    .filter((file) => file.endsWith(".onnx") && !isVariant(file))
    .map((file) => file.slice(0, -".onnx".length))
    .filter((base) => !base.includes("."))
    .sort();
}

/** Returns the models that transformers.js runs: not the two decoders that a merged one replaces. */
export function usedBases(bases: readonly string[]): readonly string[] {
  const replacedBases = bases.includes("decoder_model_merged") ? ["decoder_model", "decoder_with_past_model"] : [];
  return bases.filter((base) => !replacedBases.includes(base));
}

/** Returns the module whose outputs are the predictions, and whether it runs without other modules. */
export function mainOf(bases: readonly string[]): { readonly base: string; readonly isAlone: boolean } {
  const isAlone = !bases.includes("decoder_model_merged");
  return { base: isAlone ? "model" : "decoder_model_merged", isAlone };
}

/** Returns whether a file is copied: a file that Pith or transformers.js reads next to the models, or a license. */
export function isSidecarFile(name: string): boolean {
  return sidecarNames.includes(name) || /^(licen[cs]e|copying|notice)\b/i.test(name);
}

/** Returns whether a file is a variant or contains weights of one: `model_q4.onnx`, `model_q4.onnx_data_1`. */
export function isVariant(file: string): boolean {
  const model = parseDataName(file)?.model ?? file;
  return suffixes.some((suffix) => model.endsWith(`${suffix}.onnx`));
}

export function dataFileCounts(names: readonly string[]): ReadonlyMap<string, number> {
  const models = names.filter((name) => name.endsWith(".onnx"));
  return new Map(models.map((name) => [name, dataFilesOf(name, names).length]));
}

export function dataFilesOf(file: string, names: readonly string[]): readonly string[] {
  const dataFiles: string[] = [];
  while (names.includes(dataName(file, dataFiles.length))) dataFiles.push(dataName(file, dataFiles.length));
  return dataFiles;
}
