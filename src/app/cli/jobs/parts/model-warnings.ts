/** Warns about models: in the wrong order, equal, or with inputs that have a default. */
import { infer, isQuantized, keptChannelsKey, layers } from "#analysis";
import { joinList, type Model, passKey } from "#ir";
import { isCopy } from "../../../../core/files/hash.ts";
import { quoteWord } from "../../../../judge/record/shell-command.ts";
import type { JobContext } from "../../../../runtime/job/job.ts";
import { filesOfModel } from "../../files/file-paths.ts";

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
