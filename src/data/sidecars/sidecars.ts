/** Reads sidecar files: files in a model's folder (configuration, tokenizer) that determine how the model's data is read. */

import { findStates, type ModelInput } from "#batches";
import type { Model } from "#ir";
import { fileKind, fileNameOf, folderOf, joinPath, leavesFolder, realPath } from "#platform";
import type { FrameOptions } from "../files/frames.ts";
import { type Preprocessing, parsePreprocessorConfig } from "../images/presets.ts";
import type { OpenDatasetOptions } from "../sources/open.ts";
import { sidecarNames } from "../text/sidecar-names.ts";
import { isLanguageModel, tokenInput } from "../text/token-inputs.ts";
import { openTokenizer, readSettings, type TextTokenizer } from "../text/tokenizer.ts";
import { defaultWindow } from "../text/tokens.ts";
import type { HasMetadata, PreprocessingSpec } from "./preprocessing-spec.ts";

export interface Sidecars {
  readonly preprocessing: Preprocessing | undefined;
  readonly tokenizer: TextTokenizer | undefined;
  /** Class names of id2label in config.json, in the order of ids. */
  readonly classes: readonly string[] | undefined;
  /** Architecture in config.json, such as "BertForSequenceClassification". */
  readonly architecture: string | undefined;
  /** Files that were not copied with the model, as text, each with the name of its original folder. */
  readonly missingFiles?: string | undefined;
}

/** Reads the files that exporters write into a model's folder or its parent folder. @throws PithError E_DATA that names an invalid file. */
export async function readSidecars(modelPath: string): Promise<Sidecars> {
  const modelFolder = folderOf(modelPath);
  const folders = [modelFolder, joinPath(modelFolder, "..")];
  const firstFound = async <T>(read: (folder: string) => Promise<T | undefined>): Promise<T | undefined> => {
    for (const folder of folders) {
      const contents = await read(folder);
      if (contents !== undefined) return contents;
    }
    return undefined;
  };
  const config = await firstFound((folder) => readSettings(joinPath(folder, "config.json")));
  const images = await firstFound((folder) => readSettings(joinPath(folder, "preprocessor_config.json")));
  const { architectures } = config ?? {};
  return {
    // Feature extractors of sound use the same file name, but have a sampling rate.
    preprocessing:
      images === undefined || images.sampling_rate !== undefined ? undefined : parsePreprocessorConfig(images),
    tokenizer: await firstFound(openTokenizer),
    classes: classNames(config?.id2label),
    architecture: Array.isArray(architectures) && typeof architectures[0] === "string" ? architectures[0] : undefined,
  };
}

export const sidecarsOf = (modelPath: string): Promise<readonly NamedPath[]> => sidecarsAt(folderOf(modelPath));

/** Returns the sidecar files that a model in another folder would not find, because they are not in or above that folder. */
export async function listMissingSidecars(modelPath: string, folder: string): Promise<readonly NamedPath[]> {
  const existing = new Map(await sidecarsAt(folder));
  return (await sidecarsOf(modelPath)).filter(([name]) => !existing.has(name));
}

/** Returns links to a target outside of their folder. Such a target can be private, and results are published. */
export async function outerLinksAmong(files: readonly NamedPath[]): Promise<readonly NamedPath[]> {
  const areOuter = await Promise.all(files.map(([name, path]) => leavesFolder(folderOf(path), name)));
  return files.filter((_, index) => areOuter[index]);
}

/** Metadata key for sidecar files that were not copied, such as "minilm/config.json, minilm/tokenizer.json". */
const sidecarsKey = "pith.sidecars";

export const missingSidecars = ({ header }: HasMetadata): string | undefined => header.metadata.get(sidecarsKey);

/** Records the sidecar files that are missing in a model's new folder, by folder name, not path. Returns the paths of the files. */
export async function storeMissingSidecars(
  model: HasMetadata,
  source: string,
  out: string,
): Promise<readonly string[]> {
  const missingEntries = await listMissingSidecars(source, folderOf(out));
  const folders = await Promise.all(missingEntries.map(async ([, path]) => fileNameOf(folderOf(await realPath(path)))));
  const text = missingEntries.map(([name], index) => joinPath(folders[index] ?? "", name)).join(", ");
  if (text !== "") model.header.metadata.set(sidecarsKey, text);
  return missingEntries.map(([, path]) => path);
}

type NamedPath = readonly [name: string, path: string];

async function sidecarsAt(folder: string): Promise<readonly NamedPath[]> {
  const files: NamedPath[] = [];
  for (const name of sidecarNames)
    for (const path of [joinPath(folder, name), joinPath(folder, "..", name)])
      if (files.at(-1)?.[0] !== name && (await fileKind(path)) === "file") files.push([name, path]);
  return files;
}

/** Returns undefined if a name is a placeholder ("LABEL_0") or an id is missing. */
function classNames(id2label: unknown): readonly string[] | undefined {
  if (typeof id2label !== "object" || id2label === null) return undefined;
  const names = Object.entries(id2label)
    .map(([id, name]) => ({ id: Number(id), name: String(name) }))
    .sort((a, b) => a.id - b.id);
  const areUsable = names.every(({ id, name }, index) => id === index && !/^LABEL_\d+$/.test(name));
  return areUsable && names.length > 0 ? names.map(({ name }) => name) : undefined;
}

/** Returns the options for opening datasets for a model: class names, tokenizer, and frames of sound. */
export function datasetOptionsFor(
  model: Model,
  sidecars: Sidecars,
  spec: PreprocessingSpec,
): Omit<OpenDatasetOptions, "part"> {
  const { feeds, outputs } = model.graph;
  const { tokenizer, classes, architecture, missingFiles } = sidecars;
  const isLanguage = isLanguageModel(feeds, outputs, tokenizer?.vocabularySize, architecture);
  const { length } = spec;
  const window = length ?? Math.min(defaultWindow, tokenizer?.longest ?? defaultWindow);
  const frames = spec.frames ?? fixedFrames(model);
  // A token cache (KV cache) is a state, too, but it is empty at the start of each sequence.
  const isStateful = tokenInput(feeds) === undefined && findStates(model, []).length > 0;
  return {
    inputs: feeds,
    classes,
    ...(isLanguage ? { runningText: { tokenizer, length: window, missingFiles } } : {}),
    frames,
    ...(isStateful ? { inOrder: true } : {}),
  };
}

/** Returns the first float input that is not a state. If all are states, returns the first float input. */
export function soundInput(model: Model): ModelInput | undefined {
  const states = findStates(model, []).map(({ input }) => input);
  const floatInputs = model.graph.feeds.filter(({ type }) => type?.type === "float32" || type?.type === "float16");
  return floatInputs.find(({ name }) => !states.includes(name)) ?? floatInputs[0];
}

export function rateInput(inputs: readonly ModelInput[]): ModelInput | undefined {
  return inputs.find(({ name, type }) => /^(?:sr|(?:sample|sampling)_?rate)$/i.test(name) && type?.type !== "string");
}

/** Returns the frame length of the sound input; undefined if the model does not fix it. */
function fixedFrames(model: Model): FrameOptions | undefined {
  const dims = soundInput(model)?.type?.dims;
  const lastDim = dims?.at(-1);
  const otherDims = dims?.slice(0, -1) ?? [];
  const isFlat = otherDims.every((dim, axis) => dim === 1 || (axis === 0 && typeof dim !== "number"));
  return isFlat && typeof lastDim === "number" && lastDim > 1 && otherDims.length <= 2 ? { frame: lastDim } : undefined;
}
