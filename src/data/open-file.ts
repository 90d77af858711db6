/** One file, or some of one kind, as a data set. */
import { extensionOf, importModule, openFile } from "#platform";
import { PithError } from "../errors.ts";
import type { ModelInput } from "./bind.ts";
import { readAll } from "./bytes.ts";
import { type Column, fromColumns, held } from "./columns.ts";
import { type FrameOptions, frames } from "./frames.ts";
import { idxColumn } from "./idx.ts";
import { isIndexed, mapBatches } from "./indexed.ts";
import { jsonl } from "./jsonl.ts";
import { withLabel } from "./labels.ts";
import { textLines, textOf } from "./lines.ts";
import { fromModule } from "./module.ts";
import { npyColumn, parseNpz } from "./npy.ts";
import { split } from "./select.ts";
import { csv } from "./table.ts";
import type { TextTokenizer } from "./tokenizer.ts";
import { type TokenFile, tokensInFile, tokensOfText } from "./tokens.ts";
import type { Dataset, Part } from "./types.ts";
import { openWav } from "./wav.ts";

/** What must be known of a model to read data for it. */
export interface Reading {
  /** Its inputs: a column of such a name is fed to it, even one called "y" or "score", which else is the label. */
  readonly inputs?: readonly ModelInput[];
  /** The names of its classes, for labels that are names. */
  readonly classes?: readonly string[] | undefined;
  /** It is a language model: text is one running text, in windows of so many tokens (128). */
  readonly running?: { readonly tokenizer: TextTokenizer | undefined; readonly length?: number };
  readonly frames?: FrameOptions | undefined;
}

export const accepted =
  "Accepted: a folder of images (class folders, labels.csv, train/ and val/), of WAV files, of idx files (MNIST) or CIFAR .bin files; .npz, .npy, .csv, .tsv, .jsonl, .txt, .wav, .jpg, .png; token ids (name_u16le.bin); an ES module (.mjs, .js, .ts) that exports batches.";

/** Of a file that says nothing about parts, this share is for training, drawn with the seed 0; the rest is for testing. */
const trainShare = 0.8;

/** A usual length, that small language models were trained on and large ones can be told apart with. */
const usualWindow = 128;

/** A file by its extension; where it can be divided, the part of it that is wanted. */
export async function openSingle(path: string, part: Part | undefined, reading: Reading): Promise<Dataset> {
  const extension = extensionOf(path);
  if ([".mjs", ".js", ".ts", ".mts"].includes(extension))
    return fromModule(path, await loadModule(path), part, reading.inputs);
  const source = await openFile(path);
  const text = async (): Promise<string> => textOf(await readAll(source), path);
  switch (extension === ".gz" ? extensionOf(path.slice(0, -".gz".length)) : extension) {
    case ".npz": {
      const arrays = Object.entries(parseNpz(await readAll(source), path));
      const columns = Object.fromEntries(arrays.map(([name, dense]) => [name, held(dense)]));
      return openArrays(path, columns, part, reading);
    }
    case ".npy":
      return portion(fromColumns(path, { data: await npyColumn(source) }), part);
    case ".csv":
    case ".tsv":
      return portion(csv(path, await text(), reading), part);
    case ".jsonl":
      return portion(jsonl(path, await text(), reading), part);
    case ".wav":
      return openSounds(path, [path], reading);
    case ".txt": {
      const { running } = reading;
      if (running === undefined) return textLines(source);
      const { tokenizer, length = usualWindow } = running;
      if (tokenizer !== undefined) return tokensOfText(path, await text(), tokenizer, length);
      throw new PithError("E_DATA", `${path} is text, and there is no tokenizer.json beside the model.`, {
        hint: "Put the tokenizer.json of the model beside it or in the folder above; or give token ids, in a file called name_u16le.bin.",
      });
    }
  }
  const head = await source.read(0, Math.min(4, source.size));
  // An idx file under another name still has its header.
  if (head[0] === 0 && head[1] === 0 && head.length === 4) {
    return portion(fromColumns(path, { data: await idxColumn(source) }), part);
  }
  throw new PithError("E_DATA", `"${path}" is not a data set in a known format.`, { hint: accepted });
}

export async function openTokens(path: string, format: TokenFile, { running }: Reading): Promise<Dataset> {
  return tokensInFile(await openFile(path), format, running?.length ?? usualWindow);
}

export async function openSounds(name: string, paths: readonly string[], reading: Reading): Promise<Dataset> {
  if (reading.frames === undefined) {
    throw new PithError("E_DATA", `${name} is sound, and how many samples the model takes at a time is not known.`, {
      hint: 'Set the samples of a frame, and those of the frame before it: `preprocess: "frame=512 context=64"`.',
    });
  }
  const sounds = await Promise.all(paths.map(async (path) => openWav(await openFile(path))));
  return frames(name, sounds, reading.frames);
}

/** Arrays of a .npz file; x_train, y_train, x_test, y_test are two parts. */
function openArrays(
  path: string,
  arrays: Readonly<Record<string, Column>>,
  part: Part | undefined,
  { inputs }: Reading,
): Dataset {
  const names = Object.keys(arrays);
  const labelled = (name: string, columns: Readonly<Record<string, Column>>): Dataset =>
    mapBatches(fromColumns(name, columns), (batch) => withLabel(batch, path, inputs));
  const parts = (["train", "test"] as const).filter((one) => names.some((name) => name.endsWith(`_${one}`)));
  if (parts.length === 0) return portion(labelled(path, arrays), part);
  const wanted = part ?? (parts.includes("test") ? "test" : "train");
  if (!parts.includes(wanted)) throw new PithError("E_DATA", `"${path}" has no ${wanted} part, only ${parts.join()}.`);
  const columns = Object.entries(arrays).flatMap(([name, array]) =>
    name.endsWith(`_${wanted}`) ? [[name.slice(0, -wanted.length - 1), array] as const] : [],
  );
  return labelled(`${path} (${wanted})`, Object.fromEntries(columns));
}

async function loadModule(path: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return await importModule(path);
  } catch (cause) {
    if (cause instanceof PithError) throw cause;
    const message = cause instanceof Error ? cause.message : String(cause);
    const typescript = /\.m?ts$/.test(path)
      ? "Node before 22.18 does not run TypeScript: compile the module, or start Pith through tsx."
      : undefined;
    throw new PithError("E_DATA", `${path} cannot be imported: ${message}.`, {
      cause,
      hint: typescript,
    });
  }
}

/** A share of a data set that has no parts of its own; one too small to have two is test samples. */
function portion(dataset: Dataset, part: Part | undefined): Dataset {
  if (part === undefined || !isIndexed(dataset)) return dataset;
  const [train = dataset, test = dataset] = split(dataset, [trainShare, 1 - trainShare], 0);
  if (test.count > 0) return { ...(part === "train" ? train : test), name: `${dataset.name} (${part})` };
  if (part === "test") return dataset;
  const found = `${dataset.name} has ${dataset.count} ${dataset.count === 1 ? "sample" : "samples"}`;
  throw new PithError("E_DATA", `${found}, too few to split into training and test samples.`);
}
