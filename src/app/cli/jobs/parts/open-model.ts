/** Opens the models of a command, and writes the result. */
import { infer, isQuantized, keptChannelsKey, layers } from "#analysis";
import { joinList, type Model, open, passKey, saveFiles } from "#ir";
import type { Context } from "#pass";
import { type Encoding, folderOf, makeFolder } from "#platform";
import type { Engine } from "../../../../core/engine/index.ts";
import { copiesOf, outdatedCopies, sizesOfCopies } from "../../../../core/files/compressed-copies.ts";
import { isCopy } from "../../../../core/files/hash.ts";
import { storeMissingSidecars } from "../../../../data/sidecars/sidecars.ts";
import { quoteWord } from "../../../../judge/record/shell-command.ts";
import type { JobContext } from "../../../../runtime/job/job.ts";
import type { CompressedSize } from "../../../../runtime/run/model-size.ts";
import { formatOutdated } from "../../../folder/precompressed.ts";
import { filesOfModel } from "../../files/file-paths.ts";
import { renderTemplate } from "./render-template.ts";

export async function openModel(path: string, { log }: Pick<JobContext, "log">): Promise<Model> {
  const model = await open(path, {
    warn: (text) => log({ id: "model", text: `"${path}": ${text}`, level: "warning" }),
  });
  // With inferred shapes, the engine can reject values of impossible sizes.
  infer(model);
  return model;
}

interface SaveOptions {
  readonly model: string;
  readonly out: string;
  readonly skipsSidecars: boolean;
  readonly fileBytes?: number | undefined;
  readonly precompress?: readonly Encoding[] | undefined;
}

/** Writes a result. Returns its files, and the sizes of compressed copies. */
export async function saveResult(
  result: Model,
  { model, out, skipsSidecars, fileBytes, precompress: encodings }: SaveOptions,
  { log, stage, writes }: Pick<JobContext, "log" | "stage" | "writes">,
): Promise<{ readonly files: readonly string[]; readonly copies: Partial<CompressedSize> }> {
  const missingSidecars = skipsSidecars ? [] : await storeMissingSidecars(result, model, out);
  await makeFolder(folderOf(out));
  const outdatedFiles = await outdatedCopies(out, encodings);
  if (outdatedFiles.length > 0) log({ id: "outdated", text: formatOutdated(out, outdatedFiles), level: "warning" });
  if (encodings !== undefined) stage("compress");
  writes([out, ...copiesOf(out, encodings)]);
  const files = await saveFiles(result, out, { fileBytes, precompress: encodings });
  if (missingSidecars.length > 0) log({ id: "sidecars", text: missingText(missingSidecars) });
  return { files, copies: encodings === undefined ? {} : await sizesOfCopies(files, encodings) };
}

function missingText(files: readonly string[]): string {
  return `not copied to the result: ${files.join(", ")}. Commands on texts and transformers.js need these files next to the model; to copy them, set \`--out\` to a folder`;
}

/** Signs that a model is a result and not an original, the most reliable first. */
const resultSigns: readonly (readonly [text: string, isOf: (model: Model) => boolean])[] = [
  ["its weights are quantized", (model) => layers(model, infer(model)).some(isQuantized)],
  ["its channels were cut by Pith", ({ header }) => header.metadata.has(keptChannelsKey)],
  ["Pith changed it", isResult],
];

export function isResult({ graph, header }: Model): boolean {
  return (
    [...header.metadata.keys()].some((key) => key.startsWith("pith.")) ||
    [...graph.nodes()].some(({ metadata }) => metadata.has(passKey))
  );
}

/** Warns if models are equal, or seem to be in the wrong order. */
export async function warnOfSwap(
  [first, ...laterModels]: readonly { readonly path: string; readonly model: Model }[],
  words: (original: string, result: string) => readonly string[],
  { log }: Pick<JobContext, "log">,
): Promise<void> {
  if (first === undefined) return;
  const [other, ...more] = laterModels;
  const resultSign = other && resultSigns.find(([, isOf]) => isOf(first.model) !== isOf(other.model));
  if (resultSign !== undefined && other !== undefined && more.length === 0 && resultSign[1](first.model)) {
    const line = ["pith", ...words(other.path, first.path)].map(quoteWord).join(" ");
    const text = `"${first.path}" was given as the original, and looks like a result of "${other.path}": ${resultSign[0]}. Did you mean: ${line}`;
    log({ id: "swapped", text, level: "warning" });
  }
  const files = filesOfModel(first.model, first.path);
  for (const { path, model } of laterModels) {
    const modelFiles = filesOfModel(model, path);
    if (modelFiles.length !== files.length) continue;
    const areEqual = await Promise.all(modelFiles.map((file, index) => isCopy(file, files[index] ?? "")));
    if (areEqual.every((isEqual) => isEqual))
      log({ id: "same", text: `"${path}" and "${first.path}" are the same, byte for byte.`, level: "warning" });
  }
}

/** Warns about inputs with a stored default, because the result stores a constant. */
export function warnOfDefaults({ graph, header }: Model, { log }: Pick<JobContext, "log">): void {
  const defaults = graph.inputs.filter(({ tensor }) => tensor !== undefined);
  if (header.irVersion < 4 || defaults.length === 0) return;
  const list = joinList(defaults.map(({ name }) => `"${name}"`));
  const text = `callers may override the stored value of ${list}: in the result ${defaults.length === 1 ? "it is a constant" : "they are constants"}, not an input`;
  log({ id: "defaults", text, level: "warning" });
}

export function contextOf<E extends Engine>(
  engine: E,
  { seed, dryRun }: { readonly seed: number; readonly dryRun?: boolean | undefined },
  context: JobContext,
): Context & JobContext & { readonly engine: E } {
  return { ...context, engine, seed, dryRun, open: (reference) => open(reference), renderTemplate };
}
