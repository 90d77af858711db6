/** Opens a single file as a dataset by its extension: tables, arrays, text, sound, tokens or a user's module. */
import { extensionOf, importModule, openFile } from "#platform";
import { PithError } from "../../core/errors.ts";
import { dimsText } from "../../core/tensor/dims.ts";
import type { ByteSource } from "../../core/tensor/types.ts";
import type { ModelInput } from "../batches/bind.ts";
import { mapBatches } from "../batches/indexed.ts";
import type { Dataset, Part } from "../batches/types.ts";
import { readAll } from "../files/bytes.ts";
import { type Column, fromColumns } from "../files/columns.ts";
import { type FrameOptions, frames } from "../files/frames.ts";
import { idxColumn } from "../files/idx.ts";
import { withLabel } from "../files/labels.ts";
import { textLines, textOf } from "../files/lines.ts";
import { npyColumn, npzColumns } from "../files/npy.ts";
import { csv, jsonl } from "../files/table.ts";
import { openWav } from "../files/wav.ts";
import { missingTokenizerError, type TextTokenizer } from "../text/tokenizer.ts";
import { type TokenFile, tokensInFile, tokensOfText } from "../text/tokens.ts";
import { moduleSource } from "./module.ts";
import { mapParts, type Source, sourceOfPart, sourceOfParts, sourceOfSamples } from "./source.ts";

/** Options for reading the contents of files. */
export interface Reading {
  /** The inputs of the model. A column with the name of an input is fed to it and is not the label, even if it is called "y" or "score". */
  readonly inputs?: readonly ModelInput[];
  /** The class names for labels that are names, in the model's order. */
  readonly classes?: readonly string[] | undefined;
  /** For language models: reads text as one running text in windows of `length` tokens, 128 by default. */
  readonly running?: {
    readonly tokenizer: TextTokenizer | undefined;
    readonly length?: number;
    /** Sidecar files that were not copied to the model's folder. */
    readonly missingFiles?: string | undefined;
  };
  readonly frames?: FrameOptions | undefined;
  /** Is called with warnings about skipped contents, as sentences. */
  readonly warn?: ((text: string) => void) | undefined;
  /** Is called with notes about how contents were interpreted, as sentences. */
  readonly note?: ((text: string) => void) | undefined;
}

export const accepted =
  "Accepted: a folder of images (class folders, labels.csv, train/ and val/), of WAV files, of idx files (MNIST) or CIFAR .bin files; .npz, .npy, .csv, .tsv, .jsonl, .txt, .wav, .jpg, .png, .webp; token ids (name_u16le.bin); an ES module (.mjs, .js, .ts) that exports batches.";

/** The default number of tokens per window. Small language models were trained with this length, and it suffices for comparing large ones. */
const defaultWindow = 128;

export async function openSingle(path: string, reading: Reading): Promise<Source> {
  const extension = extensionOf(path);
  if ([".mjs", ".js", ".ts", ".mts"].includes(extension))
    return moduleSource(path, await importModule(path, "E_DATA"), reading.inputs);
  const source = await openFile(path);
  const text = async (): Promise<string> => textOf(await readAll(source), path);
  switch (extension === ".gz" ? extensionOf(path.slice(0, -".gz".length)) : extension) {
    case ".npz":
      return openArrays(path, await npzColumns(source), reading);
    case ".npy":
      return sourceOfSamples(fromColumns(path, { data: await npyColumn(source) }));
    case ".csv":
    case ".tsv":
      return sourceOfSamples(csv(path, await text(), reading));
    case ".jsonl":
      return sourceOfSamples(jsonl(path, await text(), reading));
    case ".wav":
      return sourceOfPart(path, "test", () => openSounds(path, [path], reading));
    case ".txt":
      return sourceOfPart(path, "test", () => openText(source, reading));
  }
  const firstBytes = await source.read(0, Math.min(4, source.size));
  // An idx file with another name is recognized by its header.
  if (firstBytes[0] === 0 && firstBytes[1] === 0 && firstBytes.length === 4)
    return sourceOfSamples(fromColumns(path, { data: await idxColumn(source) }));
  throw new PithError("E_DATA", `"${path}" is not a data set in a known format.`, { hint: accepted });
}

async function openText(source: ByteSource, { running }: Reading): Promise<Dataset> {
  if (running === undefined) return textLines(source);
  const { tokenizer, length = defaultWindow, missingFiles } = running;
  const { name } = source;
  if (tokenizer !== undefined) return tokensOfText(name, textOf(await readAll(source), name), tokenizer, length);
  throw missingTokenizerError(name, missingFiles, ["Or pass token ids in a file called name_u16le.bin."]);
}

export async function openTokens(path: string, format: TokenFile, { running }: Reading): Promise<Dataset> {
  return tokensInFile(await openFile(path), format, running?.length ?? defaultWindow);
}

export async function openSounds(name: string, paths: readonly string[], reading: Reading): Promise<Dataset> {
  if (reading.frames === undefined) {
    const [input] = reading.inputs ?? [];
    if (input !== undefined && takesFeatures(input))
      throw new PithError(
        "E_DATA",
        `${name} is sound, and input "${input.name}" takes features of sound, with dimensions ${dimsText(input.type?.dims)}.`,
        { hint: "Compute the features as your application does, and pass them as arrays in an .npz file." },
      );
    throw new PithError("E_DATA", `${name} is sound, and the frame length of the model is unknown.`, {
      hint: 'Set the samples per frame and of context, and the sample rate: `preprocess: "frame=512 context=64 rate=16000"`.',
    });
  }
  const sounds = await Promise.all(paths.map(async (path) => openWav(await openFile(path))));
  return frames(name, sounds, reading.frames);
}

/** Returns whether an input takes several rows per sample, such as a spectrogram. A network that reads sound takes one row of it. */
const takesFeatures = ({ type }: ModelInput): boolean =>
  type?.type.startsWith("float") === true &&
  (type.dims ?? []).slice(1).filter((dim) => typeof dim === "number" && dim > 1).length > 1;

/** Opens the arrays of a .npz file. The arrays x_train, y_train, x_test and y_test form two splits. */
function openArrays(path: string, arrays: Readonly<Record<string, Column>>, { inputs }: Reading): Source {
  const withLabels = (name: string, columns: Readonly<Record<string, Column>>): Dataset =>
    mapBatches(fromColumns(name, columns), (batch) => withLabel(batch, path, inputs));
  const arraysOfPart = (part: Part) =>
    Object.entries(arrays).flatMap(([name, array]) =>
      name.endsWith(`_${part}`) ? [[name.slice(0, -part.length - 1), array] as const] : [],
    );
  const parts = mapParts({ train: arraysOfPart("train"), test: arraysOfPart("test") }, (columns, part) =>
    columns.length === 0 ? undefined : async () => withLabels(`${path} (${part})`, Object.fromEntries(columns)),
  );
  return parts.train || parts.test ? sourceOfParts(path, parts) : sourceOfSamples(withLabels(path, arrays));
}
