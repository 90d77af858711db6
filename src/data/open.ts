/** From a path to a data set: what lies there is recognised by names, and parts of it never overlap. */
import { extensionOf, fileKind, fileNameOf, folderOf, joinPath, listFolder, openFile } from "#platform";
import { PithError } from "../errors.ts";
import type { ByteSource } from "../tensor/types.ts";
import { cifar, cifarFile } from "./cifar.ts";
import { idx, idxFile } from "./idx.ts";
import { findImageFiles, imageFiles, images, isImageFile } from "./images.ts";
import { accepted, openSingle, openSounds, openTokens, type Reading } from "./open-file.ts";
import { streamOf } from "./select.ts";
import { tokenFile } from "./tokens.ts";
import type { Dataset, Part } from "./types.ts";

export interface OpenDatasetOptions extends Reading {
  /**
   * The part that is wanted. Where a source has parts and none is named, the test part. Parts are told by names (train and test, dev, val …) of
   * files and folders: a folder has all that are in it, a training file has the test file beside it, and a test file is all there is. A table or an array without parts is divided 80 : 20 at random, always in the same way, and without `part` all of
   * it is taken. Images, texts, tokens and sounds without parts are test samples.
   */
  readonly part?: Part;
  /** Samples follow each other: they are read in their order only (a stream). */
  readonly inOrder?: boolean;
}

/**
 * Opens the data set at a path: see `accepted` for what may lie there.
 * Images come as "image" (uint8 N×C×H×W, or the paths of files), classes as "label" (int64), other columns under their names.
 * @throws PithError E_DATA if nothing is recognised, a file is damaged, or the part is not there; E_FILE if nothing is there at all.
 * @example
 * const test = await openDataset("mnist/", { part: "test" });
 */
export async function openDataset(reference: string, options: OpenDatasetOptions = {}): Promise<Dataset> {
  const dataset = await openAny(reference, options);
  return options.inOrder === true ? streamOf(dataset) : dataset;
}

/** A data set, or of the one at a path the part to train and to calibrate on. */
export async function trainPart<D extends Dataset | undefined>(data: D | string): Promise<D | Dataset> {
  return typeof data === "string" ? openDataset(data, { part: "train" }) : data;
}

async function openAny(reference: string, options: OpenDatasetOptions): Promise<Dataset> {
  const kind = await fileKind(reference);
  if (kind === "folder") return openFolder(reference, options);
  if (kind !== "file") throw new PithError("E_FILE", `There is no data at "${reference}".`, { hint: accepted });
  const name = fileNameOf(reference);
  const folder = folderOf(reference);
  const part = idxFile(name);
  if (part !== undefined) {
    const files = (await listFolder(folder)).filter((file) => part.part === "train" || idxFile(file)?.part === "test");
    return openIdx(folder, files, options.part ?? part.part, part.family);
  }
  const record = cifarFile(name);
  if (record !== undefined) {
    requirePart(options.part, [record.part], reference);
    return cifar(reference, [await openFile(reference)], record.labels);
  }
  const own = namedPart(name);
  if (own === undefined || !isDataFile(name)) return openPart(reference, options.part, undefined, options);
  // A training file brings the test file beside it. A test file brings nothing.
  const beside = own.part === "train" ? partsOf(await listFolder(folder), own.family) : {};
  const parts = { ...beside, [own.part]: name };
  const wanted = requirePart(options.part ?? own.part, partNames(parts), reference);
  return openPart(joinPath(folder, parts[wanted] ?? name), undefined, wanted, options);
}

function isDataFile(name: string): boolean {
  return /\.(npz|npy|csv|tsv|jsonl|txt|wav)(\.gz)?$/i.test(name) || tokenFile(name) !== undefined;
}

function partNames(parts: { readonly [part in Part]?: string }): readonly Part[] {
  return (["train", "test"] as const).filter((part) => parts[part] !== undefined);
}

/** A file: divided where `part` is asked for and it can be, or the whole of it as the part that it is. */
async function openPart(
  path: string,
  part: Part | undefined,
  is: Part | undefined,
  options: OpenDatasetOptions,
): Promise<Dataset> {
  const name = fileNameOf(path);
  // Without parts: test samples.
  const whole = (): void => {
    if (is === undefined) requirePart(part, ["test"], path);
  };
  const tokens = tokenFile(name);
  if (tokens !== undefined) {
    whole();
    return openTokens(path, tokens, options);
  }
  if (isImageFile(name)) {
    whole();
    return imageFiles(path, [path]);
  }
  if (/\.(wav|txt)$/i.test(name)) whole();
  return openSingle(path, part, options);
}

async function openFolder(folder: string, options: OpenDatasetOptions): Promise<Dataset> {
  const { part } = options;
  const names = (await listFolder(folder)).filter((name) => !name.startsWith("."));
  const families = new Set(names.flatMap((name) => idxFile(name)?.family ?? []));
  if (families.size > 1) {
    throw new PithError("E_DATA", `"${folder}" holds several sets of idx files: ${[...families].join(", ")}.`, {
      hint: "Name one of the files instead of the folder.",
    });
  }
  for (const family of families) return openIdx(folder, names, part, family);
  const records = names.filter((name) => cifarFile(name) !== undefined);
  if (records.length > 0) return openCifar(folder, records, part);

  const folders = await partFolders(folder, names);
  if (folders !== undefined) {
    const wanted = requirePart(part, partNames(folders), folder);
    const { part: _, ...rest } = options;
    return openFolder(joinPath(folder, folders[wanted] ?? ""), rest);
  }
  if ((await findImageFiles(folder)) !== undefined) {
    requirePart(part, ["test"], folder);
    return images(folder, options);
  }
  const sounds = names.filter((name) => extensionOf(name) === ".wav");
  if (sounds.length > 0) {
    requirePart(part, ["test"], folder);
    return openSounds(
      folder,
      sounds.map((name) => joinPath(folder, name)),
      options,
    );
  }
  return openTables(folder, names, options);
}

async function partFolders(
  folder: string,
  names: readonly string[],
): Promise<{ readonly [part in Part]?: string } | undefined> {
  const candidates = names.filter((name) => namedPart(name)?.family === "*");
  const kinds = await Promise.all(candidates.map((name) => fileKind(joinPath(folder, name))));
  const parts = partsOf(
    candidates.filter((_, index) => kinds[index] === "folder"),
    "*",
  );
  return partNames(parts).length === 0 ? undefined : parts;
}

/** Files of one data set among others: train.csv and dev.csv, or the only one of its kind. Notes in .txt do not count beside tables. */
async function openTables(folder: string, names: readonly string[], options: OpenDatasetOptions): Promise<Dataset> {
  const { part } = options;
  const files = names.filter(isDataFile);
  const tables = files.filter((name) => extensionOf(name) !== ".txt");
  const chosen = tables.length > 0 ? tables : files;
  const families = new Set(chosen.flatMap((name) => namedPart(name)?.family ?? []));
  const [family] = families;
  if (families.size === 1 && family !== undefined) {
    const parts = partsOf(chosen, family);
    const wanted = requirePart(part, partNames(parts), folder);
    return openPart(joinPath(folder, parts[wanted] ?? ""), undefined, wanted, options);
  }
  const [only] = chosen;
  if (chosen.length === 1 && only !== undefined) return openPart(joinPath(folder, only), part, undefined, options);
  const found =
    names.length === 0 ? "it is empty" : `it holds ${names.slice(0, 6).join(", ")}${names.length > 6 ? ", …" : ""}`;
  throw new PithError("E_DATA", `No data set is recognised in "${folder}": ${found}.`, { hint: accepted });
}

async function openIdx(
  folder: string,
  names: readonly string[],
  part: Part | undefined,
  family: string,
): Promise<Dataset> {
  const { files, name, wanted } = filesOfPart(folder, names, part, (file) => {
    const found = idxFile(file);
    return found?.family === family ? found : undefined;
  });
  const file = (holds: "images" | "labels"): Promise<ByteSource> => {
    const found = files.find((one) => one.holds === holds);
    if (found !== undefined) return openFile(found.path);
    throw new PithError("E_DATA", `"${folder}": the ${wanted} part has no idx file of ${holds}.`);
  };
  return idx(name, await file("images"), await file("labels"));
}

async function openCifar(folder: string, names: readonly string[], part: Part | undefined): Promise<Dataset> {
  const { files, name } = filesOfPart(folder, names, part, cifarFile);
  const labels = files[0]?.labels ?? 1;
  if (files.some((file) => file.labels !== labels)) {
    const listed = files.map((file) => file.name).join(", ");
    throw new PithError("E_DATA", `"${folder}" holds files of CIFAR-10 and of CIFAR-100: ${listed}.`);
  }
  return cifar(name, await Promise.all(files.map((file) => openFile(file.path))), labels);
}

/** The files of one part, as their names say, and what the part is called. */
function filesOfPart<F extends { readonly part: Part }>(
  folder: string,
  names: readonly string[],
  part: Part | undefined,
  read: (name: string) => F | undefined,
) {
  const all = names.flatMap((name) => {
    const file = read(name);
    return file === undefined ? [] : [{ ...file, name, path: joinPath(folder, name) }];
  });
  const parts = (["train", "test"] as const).filter((one) => all.some((file) => file.part === one));
  const wanted = requirePart(part, parts, folder);
  return { files: all.filter((file) => file.part === wanted), name: `${folder} (${wanted})`, wanted };
}

function requirePart(part: Part | undefined, parts: readonly Part[], owner: string): Part {
  const wanted = part ?? (parts.includes("test") ? "test" : "train");
  if (parts.includes(wanted)) return wanted;
  throw new PithError("E_DATA", `"${owner}" has no ${wanted} part, only ${parts.join(" and ")}.`);
}

const training = ["train", "training"];
/** In the order in which they are believed to be the test part. */
const testing = ["test", "testing", "dev", "val", "valid", "validation", "eval"];

const pattern = new RegExp(`(^|[._-])(${[...training, ...testing].join("|")})(?=[._-]|$)`, "i");

export interface NamedPart {
  readonly part: Part;
  /** The name without the word: files of one family hold parts of one data set. */
  readonly family: string;
  /** How far from being the part itself: of "test" and "dev", "test" is. */
  readonly rank: number;
}

/** What the name of a file or folder says of parts; undefined where it says nothing. */
export function namedPart(name: string): NamedPart | undefined {
  const [, before = "", found] = pattern.exec(name) ?? [];
  if (found === undefined) return undefined;
  const word = found.toLowerCase();
  const family = name.replace(pattern, `${before}*`).toLowerCase();
  return training.includes(word)
    ? { part: "train", family, rank: training.indexOf(word) }
    : { part: "test", family, rank: testing.indexOf(word) };
}

/** Of some names, those of the parts of one family: the first that is believed of each. */
export function partsOf(names: readonly string[], family: string): { readonly [part in Part]?: string } {
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
