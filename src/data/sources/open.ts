/** Opens the dataset at a path: recognizes its format, files and splits by the names of files and folders. */

import { type Dataset, type ModelInput, mapBatches, type Part, streamOf } from "#batches";
import { type ByteSource, dataError, dimsText, fileError, groupBy, truncateList } from "#ir";
import { extensionOf, fileKind, fileNameOf, folderOf, importModule, joinPath, listFolder, openFile } from "#platform";
import { readAll } from "../files/bytes.ts";
import { cifar, cifarFile } from "../files/cifar.ts";
import { type Column, datasetOfColumns } from "../files/columns.ts";
import { type FrameOptions, frames } from "../files/frames.ts";
import { idx, idxColumn, idxFile } from "../files/idx.ts";
import { withLabel } from "../files/labels.ts";
import { textLines, textOf } from "../files/lines.ts";
import { npyColumn, npzColumns } from "../files/npy.ts";
import { csv, jsonl } from "../files/table.ts";
import { openWav } from "../files/wav.ts";
import {
  findImageFiles,
  imageFiles,
  images,
  isImageFile,
  isUnreadImage,
  listImageFiles,
} from "../images/image-folders.ts";
import { missingTokenizerError, type TextTokenizer } from "../text/tokenizer.ts";
import { defaultWindow, type TokenFile, tokenFile, tokensInFile, tokensOfText } from "../text/tokens.ts";
import { moduleSource } from "./module.ts";
import { mapParts, readPart, type Source, sourceOfPart, sourceOfParts, sourceOfSamples } from "./source.ts";

export interface SourceOptions extends ReadOptions {
  /** Whether to read the samples only in order, as a stream. */
  readonly inOrder?: boolean;
}

export interface OpenDatasetOptions extends SourceOptions {
  /**
   * The requested split; by default that of a named file, or test. Splits are recognized by names of files and folders (train, test, dev, val, …).
   * A table or array without splits is divided 80 : 20; without `part`, all its samples are used. Other data without splits is for the test.
   */
  readonly part?: Part;
}

/**
 * Opens the dataset at a path. Images are in the column "image" (uint8 N × C × H × W, or file paths), and classes in "label" (int64). Other columns
 * keep their names.
 * @throws PithError E_DATA for an unknown format, a damaged file, or a missing split; E_FILE if the path does not exist.
 * @example
 * const test = await openDataset("mnist/", { part: "test" });
 */
export async function openDataset(
  reference: string,
  { part, ...readingOptions }: OpenDatasetOptions = {},
): Promise<Dataset> {
  return readPart(await openSource(reference, readingOptions), part);
}

/** Opens the training split of a path. */
export async function trainPart<D extends Dataset | undefined>(data: D | string): Promise<D | Dataset> {
  return typeof data === "string" ? openDataset(data, { part: "train" }) : data;
}

/** Opens the data at a path without selecting a split. @throws PithError as `openDataset` does, except for missing splits. */
export async function openSource(reference: string, { inOrder, ...readingOptions }: SourceOptions): Promise<Source> {
  const source = await (await layoutOf(reference)).open(readingOptions);
  if (inOrder !== true) return source;
  const asStream = (read: () => Promise<Dataset>) => async () => streamOf(await read());
  return { ...source, openDefault: asStream(source.openDefault), parts: mapParts(source.parts, asStream) };
}

/** Returns the files of all splits. @throws PithError as `openDataset` does for a path without data. */
export async function dataFiles(reference: string): Promise<readonly string[]> {
  return (await layoutOf(reference)).files();
}

/** The files of a kind of data, and how they are opened. */
interface Layout {
  files(): Promise<readonly string[]>;
  open(readingOptions: ReadOptions): Promise<Source>;
}

async function layoutOf(reference: string): Promise<Layout> {
  const kind = await fileKind(reference);
  if (kind === "folder") return layoutOfFolder(reference);
  if (kind === "other")
    throw fileError(`"${reference}" is neither a file nor a folder, and data is read more than once.`, {
      hint: "Write its output to a file.",
    });
  if (kind !== "file") throw fileError(`There is no data at "${reference}".`, { hint: acceptedFormats });
  const name = fileNameOf(reference);
  const folder = folderOf(reference);
  const file = idxFile(name);
  if (file !== undefined) {
    const files = recognizeFiles(folder, await listFolder(folder), idxFile);
    const family = files.filter((other) => other.family === file.family);
    return idxLayout(folder, file.part === "train" ? family : family.filter(({ part }) => part === "test"), file.part);
  }
  const nameOfPart = namedPart(name);
  if (cifarFile(name) !== undefined || nameOfPart === undefined || !isDataFile(name)) return fileLayout(reference);
  // A training file includes the test file in the same folder; a test file is read without the training file.
  const siblings = nameOfPart.part === "train" ? partNamesOf(await listFolder(folder), nameOfPart.family) : {};
  return namedLayout(reference, folder, { ...siblings, [nameOfPart.part]: name }, nameOfPart.part);
}

async function layoutOfFolder(folder: string): Promise<Layout> {
  const names = (await listFolder(folder)).filter((name) => !name.startsWith("."));
  const idxFiles = recognizeFiles(folder, names, idxFile);
  const families = new Set(idxFiles.map(({ family }) => family));
  if (families.size > 1) {
    throw dataError(`"${folder}" holds several sets of idx files: ${[...families].join(", ")}.`, {
      hint: "Name one of the files instead of the folder.",
    });
  }
  if (idxFiles.length > 0) return idxLayout(folder, idxFiles);
  const records = recognizeFiles(folder, names, cifarFile);
  if (records.length > 0) return cifarLayout(folder, records);

  const folders = await partFolders(folder, names);
  if (folders !== undefined) return foldersLayout(folder, folders);
  if ((await findImageFiles(folder)) !== undefined)
    return {
      files: () => listImageFiles(folder),
      open: async (readingOptions) => sourceOfPart(folder, "test", () => images(folder, readingOptions)),
    };
  const sounds = names.filter((name) => extensionOf(name) === ".wav").map((name) => joinPath(folder, name));
  if (sounds.length > 0)
    return {
      files: async () => sounds,
      open: async (readingOptions) => sourceOfPart(folder, "test", () => openSounds(folder, sounds, readingOptions)),
    };
  return layoutOfTables(folder, names);
}

/** Selects the files of a dataset among tables and arrays: train.csv and dev.csv, or the only file. Tables take precedence over .txt files. */
function layoutOfTables(folder: string, names: readonly string[]): Layout {
  const files = names.filter(isDataFile);
  const tables = files.filter((name) => extensionOf(name) !== ".txt");
  const candidates = tables.length > 0 ? tables : files;
  const families = new Set(candidates.flatMap((name) => namedPart(name)?.family ?? []));
  const [family] = families;
  if (families.size === 1 && family !== undefined) return namedLayout(folder, folder, partNamesOf(candidates, family));
  const [onlyFile] = candidates;
  if (candidates.length === 1 && onlyFile !== undefined) return fileLayout(joinPath(folder, onlyFile));
  const contents = names.length === 0 ? "it is empty" : `it holds ${truncateList(names)}`;
  const kinds = [...new Set(names.filter(isUnreadImage).map(extensionOf))].toSorted();
  const otherHint = files.some((name) => /^\.np[yz]$/.test(extensionOf(name))) ? oneArrayHint : acceptedFormats;
  const hint = kinds.length === 0 ? otherHint : `Convert the ${kinds.join(", ")} files to .jpg or .png.`;
  throw dataError(`No data set is recognized in "${folder}": ${contents}.`, { hint });
}

function fileLayout(path: string): Layout {
  return { files: async () => [path], open: (readingOptions) => openFileAt(path, readingOptions) };
}

function namedLayout(sourceName: string, folder: string, names: PartNames, defaultPart?: Part): Layout {
  const paths = mapParts(names, (name) => joinPath(folder, name));
  return {
    files: async () => Object.values(paths),
    open: async (readingOptions) => {
      const open = (path: string) => async () => (await openFileAt(path, readingOptions)).openDefault();
      return sourceOfParts(sourceName, mapParts(paths, open), defaultPart);
    },
  };
}

function foldersLayout(folder: string, names: PartNames): Layout {
  const paths = mapParts(names, (name) => joinPath(folder, name));
  return {
    async files() {
      const files = Object.values(paths).map(async (path) => (await layoutOfFolder(path)).files());
      return (await Promise.all(files)).flat();
    },
    async open(readingOptions) {
      const open = (path: string) => async () =>
        (await (await layoutOfFolder(path)).open(readingOptions)).openDefault();
      return sourceOfParts(folder, mapParts(paths, open));
    },
  };
}

/** Creates the layout of idx or CIFAR files, whose names contain their split. */
function groupedLayout<F extends PartFile>(
  folder: string,
  files: readonly F[],
  open: (files: readonly F[], name: string, part: Part) => Promise<Dataset>,
  defaultPart?: Part,
): Layout {
  const groups: { readonly [part in Part]?: F[] } = Object.fromEntries(groupBy(files, ({ part }) => part));
  const parts = mapParts(groups, (group, part) => () => open(group, `${folder} (${part})`, part));
  return {
    files: async () => files.map(({ path }) => path),
    open: async () => sourceOfParts(folder, parts, defaultPart),
  };
}

interface PartFile {
  readonly part: Part;
  readonly path: string;
}

function recognizeFiles<F>(
  folder: string,
  names: readonly string[],
  parse: (name: string) => F | undefined,
): readonly (F & Pick<PartFile, "path">)[] {
  return names.flatMap((name) => {
    const file = parse(name);
    return file === undefined ? [] : [{ ...file, path: joinPath(folder, name) }];
  });
}

function idxLayout(
  folder: string,
  files: readonly (PartFile & { readonly holds: "images" | "labels" })[],
  defaultPart?: Part,
): Layout {
  const open = async (group: typeof files, name: string, part: Part): Promise<Dataset> => {
    const [image, label] = (["images", "labels"] as const).map((holds) => {
      const file = group.find((candidate) => candidate.holds === holds);
      if (file !== undefined) return file.path;
      throw dataError(`"${folder}": the ${part} part has no idx file of ${holds}.`);
    });
    return idx(name, await openFile(image ?? ""), await openFile(label ?? ""));
  };
  return groupedLayout(folder, files, open, defaultPart);
}

function cifarLayout(folder: string, files: readonly (PartFile & { readonly labels: 1 | 2 })[]): Layout {
  return groupedLayout(folder, files, async (group, name) => {
    const labels = group[0]?.labels ?? 1;
    if (group.some((file) => file.labels !== labels)) {
      const fileList = group.map(({ path }) => fileNameOf(path)).join(", ");
      throw dataError(`"${folder}" holds files of CIFAR-10 and of CIFAR-100: ${fileList}.`);
    }
    return cifar(name, await Promise.all(group.map(({ path }) => openFile(path))), labels);
  });
}

function isDataFile(name: string): boolean {
  return /\.(npz|npy|csv|tsv|jsonl|txt|wav)(\.gz)?$/i.test(name) || tokenFile(name) !== undefined;
}

async function openFileAt(path: string, readingOptions: ReadOptions): Promise<Source> {
  const cifarFormat = cifarFile(fileNameOf(path));
  if (cifarFormat !== undefined)
    return sourceOfPart(path, cifarFormat.part, async () => cifar(path, [await openFile(path)], cifarFormat.labels));
  const tokenFormat = tokenFile(fileNameOf(path));
  if (tokenFormat !== undefined) return sourceOfPart(path, "test", () => openTokens(path, tokenFormat, readingOptions));
  if (isImageFile(path)) return sourceOfPart(path, "test", async () => imageFiles(path, [path]));
  return openSingle(path, readingOptions);
}

type PartNames = { readonly [part in Part]?: string };

async function partFolders(folder: string, names: readonly string[]): Promise<PartNames | undefined> {
  const candidates = names.filter((name) => namedPart(name)?.family === "*");
  const kinds = await Promise.all(candidates.map((name) => fileKind(joinPath(folder, name))));
  const folders = candidates.filter((_, index) => kinds[index] === "folder");
  return folders.length === 0 ? undefined : partNamesOf(folders, "*");
}

/** In `partWords`, the words of test splits follow, in descending priority. */
const trainWords = ["train", "training"];
const partWords = [...trainWords, "test", "testing", "dev", "val", "valid", "validation", "eval"];

const partPattern = new RegExp(`(^|[._-])(${partWords.join("|")})(?=[._-]|$)`, "i");

interface NamedPart {
  readonly part: Part;
  /** Name without split and number of rows. Files with equal families are splits of one dataset. */
  readonly family: string;
  /** Priority among names of one split, where lower is better: "test" precedes "dev". */
  readonly rank: number;
}

function namedPart(name: string): NamedPart | undefined {
  const [, before = "", word] = partPattern.exec(name) ?? [];
  if (word === undefined) return undefined;
  const family = name.replace(partPattern, `${before}*`).replace(/\d+(?=x\d+[._-])/, "n");
  const rank = partWords.indexOf(word.toLowerCase());
  return { part: rank < trainWords.length ? "train" : "test", family: family.toLowerCase(), rank };
}

/** Returns for each split the file or folder with the highest priority. */
function partNamesOf(names: readonly string[], family: string): PartNames {
  const candidates = names.flatMap((name) => {
    const nameOfPart = namedPart(name);
    return nameOfPart?.family === family ? [{ ...nameOfPart, name }] : [];
  });
  const byPriority = candidates.sort((a, b) => a.rank - b.rank).toReversed();
  return mapParts<string, string>(Object.fromEntries(byPriority.map(({ part, name }) => [part, name])), (name) => name);
}

interface ReadOptions {
  /** The model's inputs. A column with the name of an input is fed to it and is not the label, even if it is called "y" or "score". */
  readonly inputs?: readonly ModelInput[];
  /** Class names for labels that are names, in the model's order. */
  readonly classes?: readonly string[] | undefined;
  /** For language models: reads text as one running text in windows of `length` tokens. */
  readonly runningText?: {
    readonly tokenizer: TextTokenizer | undefined;
    readonly length?: number;
    readonly missingFiles?: string | undefined;
  };
  readonly frames?: FrameOptions | undefined;
  /** Is called with warnings about skipped contents, as sentences. */
  readonly warn?: ((text: string) => void) | undefined;
  /** Is called with notes about how contents were interpreted, as sentences. */
  readonly note?: ((text: string) => void) | undefined;
}

const oneArrayHint =
  'Write one file with all samples, whose axis 0 is the batch axis: np.savez("data.npz", x=np.stack(samples)). A single sample is array[None]. If their lengths differ, write an ES module that exports batches.';

const acceptedFormats =
  "Accepted: a folder of images (class folders, labels.csv, train/ and val/), of WAV files, of idx files (MNIST) or CIFAR .bin files; .npz, .npy, .csv, .tsv, .jsonl, .txt, .wav, .jpg, .png, .webp; token ids (name_u16le.bin); an ES module (.mjs, .js, .ts) that exports batches.";

async function openSingle(path: string, reading: ReadOptions): Promise<Source> {
  const extension = extensionOf(path);
  if ([".mjs", ".js", ".ts", ".mts"].includes(extension))
    return moduleSource(path, await importModule(path, "E_DATA"), reading.inputs);
  const source = await openFile(path);
  const text = async (): Promise<string> => textOf(await readAll(source), path);
  switch (extension === ".gz" ? extensionOf(path.slice(0, -".gz".length)) : extension) {
    case ".npz":
      return openArrays(path, await npzColumns(source), reading);
    case ".npy":
      return sourceOfSamples(datasetOfColumns(path, { data: await npyColumn(source) }));
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
    return sourceOfSamples(datasetOfColumns(path, { data: await idxColumn(source) }));
  throw dataError(`"${path}" is not a data set in a known format.`, { hint: acceptedFormats });
}

async function openText(source: ByteSource, { runningText: running }: ReadOptions): Promise<Dataset> {
  if (running === undefined) return textLines(source);
  const { tokenizer, length = defaultWindow, missingFiles } = running;
  const { name } = source;
  if (tokenizer !== undefined) return tokensOfText(name, textOf(await readAll(source), name), tokenizer, length);
  throw missingTokenizerError(name, missingFiles, ["Or pass token ids in a file called name_u16le.bin."]);
}

async function openTokens(path: string, format: TokenFile, { runningText: running }: ReadOptions): Promise<Dataset> {
  return tokensInFile(await openFile(path), format, running?.length ?? defaultWindow);
}

export async function openSounds(name: string, paths: readonly string[], reading: ReadOptions): Promise<Dataset> {
  if (reading.frames === undefined) {
    const [input] = reading.inputs ?? [];
    if (input !== undefined && takesFeatures(input))
      throw dataError(
        `${name} is sound, and input "${input.name}" takes features of sound, with dimensions ${dimsText(input.type?.dims)}.`,
        {
          hint: "Pass the folder of the model, for instance pith quantize whisper/; or pass the features as arrays in an .npz file.",
        },
      );
    throw dataError(`${name} is sound, and the frame length of the model is unknown.`, {
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

/** Divides arrays named x_train, y_train, x_test and y_test into two splits. */
function openArrays(path: string, arrays: Readonly<Record<string, Column>>, { inputs }: ReadOptions): Source {
  const withLabels = (name: string, columns: Readonly<Record<string, Column>>): Dataset =>
    mapBatches(datasetOfColumns(name, columns), (batch) => withLabel(batch, path, inputs));
  const arraysOfPart = (part: Part) =>
    Object.entries(arrays).flatMap(([name, array]) =>
      name.endsWith(`_${part}`) ? [[name.slice(0, -part.length - 1), array] as const] : [],
    );
  const parts = mapParts({ train: arraysOfPart("train"), test: arraysOfPart("test") }, (columns, part) =>
    columns.length === 0 ? undefined : async () => withLabels(`${path} (${part})`, Object.fromEntries(columns)),
  );
  return parts.train || parts.test ? sourceOfParts(path, parts) : sourceOfSamples(withLabels(path, arrays));
}
