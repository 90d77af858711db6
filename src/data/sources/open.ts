/** Opens the data set at a path. Its kind is detected by file names; splits never overlap. */
import { extensionOf, fileKind, fileNameOf, folderOf, joinPath, listFolder, openFile } from "#platform";
import { PithError, truncateList } from "../../core/errors.ts";
import { groupBy } from "../../core/tensor/group-by.ts";
import { streamOf } from "../batches/select.ts";
import type { Dataset, Part } from "../batches/types.ts";
import { cifar, cifarFile } from "../files/cifar.ts";
import { idx, idxFile } from "../files/idx.ts";
import { filesOfImages, findImageFiles, imageFiles, images, isImageFile, isUnreadImage } from "../images/images.ts";
import { tokenFile } from "../text/tokens.ts";
import { accepted, openSingle, openSounds, openTokens, type Reading } from "./open-file.ts";
import { ofPart, ofParts, partsOf, readPart, type Source } from "./source.ts";

export interface SourceReading extends Reading {
  /** Read the samples in order only (a stream). */
  readonly inOrder?: boolean;
}

export interface OpenDatasetOptions extends SourceReading {
  /**
   * The requested split; by default the test split. Files and folders are recognized by name (train, test, dev, val …): a
   * training file includes the test file beside it, a test file stands alone. A table or array without splits is divided 80 : 20,
   * reproducibly; without `part` all of it is used. Images, texts, tokens and sounds without splits are test samples.
   */
  readonly part?: Part;
}

/**
 * Opens the data set at a path; `accepted` lists the formats. Images are "image" (uint8 N×C×H×W, or file paths), classes "label"
 * (int64), other columns keep their names.
 * @throws PithError E_DATA for an unknown format, a damaged file, or a missing split; E_FILE if the path does not exist.
 * @example
 * const test = await openDataset("mnist/", { part: "test" });
 */
export async function openDataset(reference: string, { part, ...reading }: OpenDatasetOptions = {}): Promise<Dataset> {
  return readPart(await openSource(reference, reading), part);
}

/** Returns the data set, or for a path its training split. */
export async function trainPart<D extends Dataset | undefined>(data: D | string): Promise<D | Dataset> {
  return typeof data === "string" ? openDataset(data, { part: "train" }) : data;
}

/** Opens a path without selecting a split. @throws as `openDataset`, except for splits. */
export async function openSource(reference: string, { inOrder, ...reading }: SourceReading): Promise<Source> {
  const source = await openAny(reference, reading);
  if (inOrder !== true) return source;
  const ordered = (read: () => Promise<Dataset>) => async () => streamOf(await read());
  const parts = partsOf(source.parts, (read) => ordered(read));
  return { ...source, usual: ordered(source.usual), parts };
}

type Layout =
  | {
      readonly kind: "idx" | "cifar";
      readonly folder: string;
      readonly names: readonly string[];
      readonly usual?: Part;
    }
  | {
      readonly kind: "named";
      readonly owner: string;
      readonly folder: string;
      readonly names: Names;
      readonly usual?: Part;
    }
  | { readonly kind: "folders"; readonly folder: string; readonly names: Names }
  | { readonly kind: "images"; readonly folder: string }
  | { readonly kind: "sounds"; readonly folder: string; readonly paths: readonly string[] }
  | { readonly kind: "file"; readonly path: string };

const openAny = async (reference: string, reading: Reading): Promise<Source> =>
  openLayout(await layoutOf(reference), reading);

async function openLayout(layout: Layout, reading: Reading): Promise<Source> {
  switch (layout.kind) {
    case "idx":
      return openIdx(layout.folder, layout.names, layout.usual);
    case "cifar":
      return openCifar(layout.folder, layout.names);
    case "named":
      return openNamed(layout.owner, layout.folder, layout.names, reading, layout.usual);
    case "folders": {
      const { folder, names } = layout;
      const open = (name: string) => async () =>
        (await openLayout(await layoutOfFolder(joinPath(folder, name)), reading)).usual();
      return ofParts(folder, partsOf(names, open));
    }
    case "images":
      return ofPart(layout.folder, "test", () => images(layout.folder, reading));
    case "sounds":
      return ofPart(layout.folder, "test", () => openSounds(layout.folder, layout.paths, reading));
    case "file":
      return openOne(layout.path, reading);
  }
}

/** Returns the files that `openDataset` reads at a path, for all splits. @throws PithError as `openDataset` for a path without data. */
export async function dataFiles(reference: string): Promise<readonly string[]> {
  return filesOf(await layoutOf(reference));
}

async function filesOf(layout: Layout): Promise<readonly string[]> {
  switch (layout.kind) {
    case "idx":
    case "cifar":
    case "named":
      return Object.values(layout.names).map((name) => joinPath(layout.folder, name));
    case "folders": {
      const folders = Object.values(layout.names).map((name) => joinPath(layout.folder, name));
      return (await Promise.all(folders.map(async (folder) => filesOf(await layoutOfFolder(folder))))).flat();
    }
    case "images":
      return filesOfImages(layout.folder);
    case "sounds":
      return layout.paths;
    case "file":
      return [layout.path];
  }
}

async function layoutOf(reference: string): Promise<Layout> {
  const kind = await fileKind(reference);
  if (kind === "folder") return layoutOfFolder(reference);
  if (kind === "other")
    throw new PithError("E_FILE", `"${reference}" is neither a file nor a folder, and data is read more than once.`, {
      hint: "Write its output to a file.",
    });
  if (kind !== "file") throw new PithError("E_FILE", `There is no data at "${reference}".`, { hint: accepted });
  const name = fileNameOf(reference);
  const folder = folderOf(reference);
  const own = idxFile(name);
  if (own !== undefined) {
    const { part, family } = own;
    const names = (await listFolder(folder)).filter((file) => {
      const found = idxFile(file);
      return found?.family === family && (part === "train" || found.part === "test");
    });
    return { kind: "idx", folder, names, usual: part };
  }
  const named = namedPart(name);
  if (cifarFile(name) !== undefined || named === undefined || !isDataFile(name))
    return { kind: "file", path: reference };
  // A training file includes the test file beside it; a test file stands alone.
  const beside = named.part === "train" ? namesOf(await listFolder(folder), named.family) : {};
  return { kind: "named", owner: reference, folder, names: { ...beside, [named.part]: name }, usual: named.part };
}

function isDataFile(name: string): boolean {
  return /\.(npz|npy|csv|tsv|jsonl|txt|wav)(\.gz)?$/i.test(name) || tokenFile(name) !== undefined;
}

async function openOne(path: string, reading: Reading): Promise<Source> {
  const record = cifarFile(fileNameOf(path));
  if (record !== undefined)
    return ofPart(path, record.part, async () => cifar(path, [await openFile(path)], record.labels));
  const tokens = tokenFile(fileNameOf(path));
  if (tokens !== undefined) return ofPart(path, "test", () => openTokens(path, tokens, reading));
  if (isImageFile(path)) return ofPart(path, "test", async () => imageFiles(path, [path]));
  return openSingle(path, reading);
}

type Names = { readonly [part in Part]?: string };

function openNamed(owner: string, folder: string, names: Names, reading: Reading, usual?: Part): Source {
  const open = (name: string) => async () => (await openOne(joinPath(folder, name), reading)).usual();
  return ofParts(owner, partsOf(names, open), usual);
}

async function layoutOfFolder(folder: string): Promise<Layout> {
  const names = (await listFolder(folder)).filter((name) => !name.startsWith("."));
  const families = new Set(names.flatMap((name) => idxFile(name)?.family ?? []));
  if (families.size > 1) {
    throw new PithError("E_DATA", `"${folder}" holds several sets of idx files: ${[...families].join(", ")}.`, {
      hint: "Name one of the files instead of the folder.",
    });
  }
  const idxNames = names.filter((name) => idxFile(name) !== undefined);
  if (idxNames.length > 0) return { kind: "idx", folder, names: idxNames };
  const records = names.filter((name) => cifarFile(name) !== undefined);
  if (records.length > 0) return { kind: "cifar", folder, names: records };

  const folders = await partFolders(folder, names);
  if (folders !== undefined) return { kind: "folders", folder, names: folders };
  if ((await findImageFiles(folder)) !== undefined) return { kind: "images", folder };
  const paths = names.filter((name) => extensionOf(name) === ".wav").map((name) => joinPath(folder, name));
  if (paths.length > 0) return { kind: "sounds", folder, paths };
  return layoutOfTables(folder, names);
}

async function partFolders(folder: string, names: readonly string[]): Promise<Names | undefined> {
  const candidates = names.filter((name) => namedPart(name)?.family === "*");
  const kinds = await Promise.all(candidates.map((name) => fileKind(joinPath(folder, name))));
  const found = namesOf(
    candidates.filter((_, index) => kinds[index] === "folder"),
    "*",
  );
  return Object.keys(found).length === 0 ? undefined : found;
}

/** Selects the files of one data set: train.csv and dev.csv, or the only one of its kind. .txt files beside tables are notes. */
function layoutOfTables(folder: string, names: readonly string[]): Layout {
  const files = names.filter(isDataFile);
  const tables = files.filter((name) => extensionOf(name) !== ".txt");
  const chosen = tables.length > 0 ? tables : files;
  const families = new Set(chosen.flatMap((name) => namedPart(name)?.family ?? []));
  const [family] = families;
  if (families.size === 1 && family !== undefined)
    return { kind: "named", owner: folder, folder, names: namesOf(chosen, family) };
  const [only] = chosen;
  if (chosen.length === 1 && only !== undefined) return { kind: "file", path: joinPath(folder, only) };
  const found = names.length === 0 ? "it is empty" : `it holds ${truncateList(names)}`;
  const kinds = [...new Set(names.filter(isUnreadImage).map(extensionOf))].toSorted();
  const hint = kinds.length === 0 ? accepted : `Convert the ${kinds.join(", ")} files to .jpg or .png.`;
  throw new PithError("E_DATA", `No data set is recognized in "${folder}": ${found}.`, { hint });
}

function openIdx(folder: string, names: readonly string[], usual?: Part): Source {
  const found = names.flatMap((name) => {
    const file = idxFile(name);
    return file === undefined ? [] : [{ ...file, path: joinPath(folder, name) }];
  });
  const open = (files: typeof found, part: Part) => async () => {
    const file = (holds: "images" | "labels") => {
      const one = files.find((candidate) => candidate.holds === holds);
      if (one !== undefined) return openFile(one.path);
      throw new PithError("E_DATA", `"${folder}": the ${part} part has no idx file of ${holds}.`);
    };
    return idx(`${folder} (${part})`, await file("images"), await file("labels"));
  };
  return ofParts(folder, partsOf(byPart(found), open), usual);
}

function openCifar(folder: string, names: readonly string[]): Source {
  const found = names.flatMap((name) => {
    const file = cifarFile(name);
    return file === undefined ? [] : [{ ...file, name }];
  });
  const open = (files: typeof found, part: Part) => async () => {
    const labels = files[0]?.labels ?? 1;
    if (files.some((file) => file.labels !== labels)) {
      const listed = files.map((file) => file.name).join(", ");
      throw new PithError("E_DATA", `"${folder}" holds files of CIFAR-10 and of CIFAR-100: ${listed}.`);
    }
    const sources = await Promise.all(files.map(({ name }) => openFile(joinPath(folder, name))));
    return cifar(`${folder} (${part})`, sources, labels);
  };
  return ofParts(folder, partsOf(byPart(found), open));
}

function byPart<F extends { readonly part: Part }>(files: readonly F[]): { readonly [part in Part]?: F[] } {
  return Object.fromEntries(groupBy(files, ({ part }) => part));
}

const training = ["train", "training"];
/** By priority as the test split. */
const testing = ["test", "testing", "dev", "val", "valid", "validation", "eval"];

const pattern = new RegExp(`(^|[._-])(${[...training, ...testing].join("|")})(?=[._-]|$)`, "i");

interface NamedPart {
  readonly part: Part;
  /** The name without split and row count: files of one family are splits of one data set. */
  readonly family: string;
  /** Priority: "test" precedes "dev". */
  readonly rank: number;
}

/** Returns the split in a file or folder name; undefined without one. */
function namedPart(name: string): NamedPart | undefined {
  const [, before = "", found] = pattern.exec(name) ?? [];
  if (found === undefined) return undefined;
  const word = found.toLowerCase();
  const family = name
    .replace(pattern, `${before}*`)
    .replace(/\d+(?=x\d+[._-])/, "n")
    .toLowerCase();
  return training.includes(word)
    ? { part: "train", family, rank: training.indexOf(word) }
    : { part: "test", family, rank: testing.indexOf(word) };
}

function namesOf(names: readonly string[], family: string): Names {
  const best = (wanted: Part): string | undefined =>
    names
      .flatMap((name) => {
        const found = namedPart(name);
        return found?.family === family && found.part === wanted ? [{ name, rank: found.rank }] : [];
      })
      .sort((a, b) => a.rank - b.rank)[0]?.name;
  const [train, test] = [best("train"), best("test")];
  return { ...(train === undefined ? {} : { train }), ...(test === undefined ? {} : { test }) };
}
