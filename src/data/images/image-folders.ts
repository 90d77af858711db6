/** Opens folders of image files as datasets. The column "image" contains paths; `preprocess` reads and decodes the files. */

import { firstBatch, type IndexedDataset, memory } from "#batches";
import { type Dense, dataError, joinList, nearest, type PithError, truncateList } from "#ir";
import { extensionOf, fileKind, imageExtensions, joinPath, listFolder, readText } from "#platform";
import { records } from "../files/delimited.ts";
import { classNumber, classOrder, labelName, requireDistinct } from "../files/labels.ts";

/** Images that some platform decodes. `imageExtensions` are those of this one. */
const decodableExtensions = [".jpg", ".jpeg", ".png", ".webp"];
const unreadExtensions = [".webp", ".heic", ".heif", ".avif", ".gif", ".bmp", ".tif", ".tiff", ".jxl", ".jfif"];

export function isUnreadImage(name: string): boolean {
  return unreadExtensions.includes(extensionOf(name));
}

export function isImageFile(name: string): boolean {
  return decodableExtensions.includes(extensionOf(name));
}

export interface ImagesOptions {
  /** Class names in the model's order. Default: lines of names.txt or classes.txt, or the sorted names of folders or labels. */
  readonly classes?: readonly string[] | undefined;
  /** Is called with warnings about skipped files, as sentences. */
  readonly warn?: ((text: string) => void) | undefined;
  /** Is called with the classes if only the names of folders determine them. */
  readonly note?: ((text: string) => void) | undefined;
}

/**
 * Opens JPEG and PNG files in a folder: one subfolder per class, files with a table labels.csv (file, label), or files without labels. The column
 * "image" contains paths, and "label" contains classes as int64.
 * @throws PithError E_DATA if there are no images, for an unknown class, or if labels.csv names a missing file beside it.
 * @example
 * const photos = await images("photos/");
 * const [input] = model.graph.feeds;
 * if (input) preprocess(photos, input, { ...presets.imagenet, resize: 256, crop: { height: 224, width: 224 } });
 */
export async function images(folder: string, options: ImagesOptions = {}): Promise<IndexedDataset> {
  const contents = await findImageFiles(folder);
  if (contents === undefined) throw dataError(`"${folder}" holds no images (.jpg, .jpeg, .png).`);
  if (contents.skipped.length > 0) options.warn?.(skippedImagesText(folder, contents.skipped));
  const warnOfUnusedImages = (unusedFiles: readonly string[], why: string): void => {
    if (unusedFiles.length > 0) options.warn?.(unusedImagesText(folder, unusedFiles, why));
  };
  const names = await listFolder(folder);
  const classFile = names.find((name) => name === "names.txt" || name === "classes.txt");
  const classes = options.classes ?? (classFile === undefined ? undefined : await linesOf(joinPath(folder, classFile)));
  const table = names.find((name) => /^labels\.(csv|tsv)$/i.test(name));
  const allFiles = await readableImages(folder);
  if (contents.kind === "folders") {
    const folders = new Set(contents.folders);
    const unusedFiles = allFiles.filter((file) => file.split("/").length > 2 || !folders.has(file.split("/")[0] ?? ""));
    warnOfUnusedImages(unusedFiles, "they are in subfolders of class folders");
    const { dataset, counts } = await readClassFolders(folder, contents.folders, classes);
    if (classes === undefined) options.note?.(`classes by folder: ${joinList(counts, maxClassesShown)}`);
    return dataset;
  }
  if (table !== undefined) {
    const { dataset, used: usedFiles } = await readImageTable(folder, joinPath(folder, table), new Set(names), classes);
    warnOfUnusedImages(
      allFiles.filter((file) => !usedFiles.has(file)),
      `${table} does not name them`,
    );
    return dataset;
  }
  warnOfUnusedImages(
    allFiles.filter((file) => file.includes("/")),
    "they are in folders beside images without classes",
  );
  return imageFiles(
    folder,
    contents.files.map((file) => joinPath(folder, file)),
  );
}

const maxClassesShown = 8;

/** Returns the paths of the images that `images` reads from a folder, and of the lists of classes and labels in it. */
export async function listImageFiles(folder: string): Promise<readonly string[]> {
  const dataset = await images(folder);
  const lists = (await listFolder(folder)).filter((name) => /^(names|classes)\.txt$|^labels\.(csv|tsv)$/i.test(name));
  const { image } = await firstBatch(dataset, dataset.count);
  const paths = image?.type === "string" ? image.data : [];
  return [...lists.map((name) => joinPath(folder, name)), ...new Set(paths)];
}

export function imageFiles(
  name: string,
  paths: readonly string[],
  labels?: readonly number[],
  classes?: readonly string[],
): IndexedDataset {
  const image: Dense = { type: "string", dims: [paths.length], data: paths };
  if (labels === undefined) return memory(name, { image });
  const data = BigInt64Array.from(labels, BigInt);
  return memory(name, { image, label: { type: "int64", dims: [labels.length], data } }, classes);
}

/** Depth of subfolders that are searched for unused images. */
const maxDepth = 3;

async function readableImages(folder: string, subfolder = "", depth = maxDepth): Promise<readonly string[]> {
  const readable = await imageExtensions();
  const files: string[] = [];
  for (const name of await listFolder(joinPath(folder, subfolder))) {
    if (name.startsWith(".")) continue;
    const path = subfolder === "" ? name : `${subfolder}/${name}`;
    if (readable.includes(extensionOf(name))) files.push(path);
    // The extension is tested first, because testing for a folder reads the disk.
    else if (depth > 0 && (await fileKind(joinPath(folder, path))) === "folder")
      files.push(...(await readableImages(folder, path, depth - 1)));
  }
  return files;
}

function unusedImagesText(folder: string, files: readonly string[], reason: string): string {
  const count = files.length === 1 ? "1 image" : `${files.length} images`;
  return `${count} of ${folder} ${files.length === 1 ? "is" : "are"} not used, because ${reason}: ${joinList(files, 4)}`;
}

function skippedImagesText(folder: string, skippedFiles: readonly string[]): string {
  const kinds = [...new Set(skippedFiles.map(extensionOf))].sort();
  const files = skippedFiles.length === 1 ? "1 image is" : `${skippedFiles.length} images are`;
  const sharp = kinds.includes(".webp") ? "; .webp requires sharp (npm install sharp)" : "";
  const why = `${kinds.join(", ")} ${kinds.length === 1 ? "is" : "are"} not read${sharp}`;
  return `${files} skipped in ${folder}, because ${why}: convert ${joinList(skippedFiles, 4)} to .jpg or .png`;
}

type ImageFiles = { readonly skipped: readonly string[] } & (
  | { readonly kind: "files"; readonly files: readonly string[] }
  | { readonly kind: "folders"; readonly folders: readonly string[] }
);

/** Returns the image files in a folder, or without a table, its subfolders that contain images; undefined if neither exist. */
export async function findImageFiles(folder: string): Promise<ImageFiles | undefined> {
  const names = await listFolder(folder);
  const readable = await imageExtensions();
  const isRead = (name: string): boolean => readable.includes(extensionOf(name));
  const isSkipped = (name: string): boolean => !isRead(name) && unreadExtensions.includes(extensionOf(name));
  const files = names.filter(isRead);
  const skipped = names.filter(isSkipped);
  if (files.length > 0) return { kind: "files", files, skipped };
  const hasTable = names.some((name) => /^labels\.(csv|tsv)$/i.test(name));
  const folders: string[] = [];
  for (const name of names) {
    const path = joinPath(folder, name);
    if (name.startsWith(".") || (await fileKind(path)) !== "folder") continue;
    const fileNames = await listFolder(path);
    if (!fileNames.some(isRead)) continue;
    folders.push(name);
    skipped.push(...fileNames.filter(isSkipped).map((file) => `${name}/${file}`));
  }
  if (folders.length === 0) return undefined;
  return hasTable ? { kind: "files", files: [], skipped: [] } : { kind: "folders", folders, skipped };
}

async function readClassFolders(
  folder: string,
  folders: readonly string[],
  classes: readonly string[] | undefined,
): Promise<{ readonly dataset: IndexedDataset; readonly counts: readonly string[] }> {
  // If all folder names are numbers, these are the class numbers. torchvision would sort "10" before "2".
  const readable = await imageExtensions();
  const areNumbers = folders.every((name) => /^\d+$/.test(name));
  const order = classes ?? (areNumbers ? undefined : folders);
  const paths: string[] = [];
  const labels: number[] = [];
  const counts: string[] = [];
  for (const name of folders) {
    const countBefore = paths.length;
    const label = order === undefined ? Number(name) : classNumber(name, order, `"${folder}"`);
    for (const file of await listFolder(joinPath(folder, name))) {
      if (!readable.includes(extensionOf(file))) continue;
      paths.push(joinPath(folder, name, file));
      labels.push(label);
    }
    counts.push(`${name} (${paths.length - countBefore})`);
  }
  return { dataset: imageFiles(folder, paths, labels, order), counts };
}

async function readImageTable(
  folder: string,
  path: string,
  names: ReadonlySet<string>,
  classes: readonly string[] | undefined,
): Promise<{ readonly dataset: IndexedDataset; readonly used: ReadonlySet<string> }> {
  const rows = records(await readText(path), path);
  const [first] = rows;
  if (first === undefined) throw dataError(`${path} has no rows.`);
  const titles = first.fields.map((title) => title.trim().toLowerCase());
  const hasHeader = !first.fields.some((field) => isImageFile(field.trim()));
  if (hasHeader) requireDistinct(first.fields, path);
  const fileColumn = hasHeader ? titles.findIndex((title) => fileColumnTitles.includes(title)) : 0;
  const label = labelName(titles);
  const labelColumn = hasHeader ? (label === undefined ? -1 : titles.indexOf(label)) : 1;
  if (fileColumn < 0 || labelColumn < 0) {
    throw dataError(`${path} has the columns ${truncateList(first.fields)}: expected file and label.`, {
      hint: "Write the column names file,label in the first line, and rows such as photo.jpg,3 below.",
    });
  }
  const dataRows = hasHeader ? rows.slice(1) : rows;
  const order = classOrder(
    dataRows.flatMap(({ fields }) => fields[labelColumn]?.trim() ?? []),
    classes,
  );
  const files: string[] = [];
  const labels: number[] = [];
  for (const { fields, line } of dataRows) {
    const [file, text] = [fields[fileColumn]?.trim(), fields[labelColumn]?.trim()];
    const location = `${path}, line ${line}`;
    if (file === undefined || text === undefined || file === "" || text === "") {
      throw dataError(`${location}: expected a file and a label, got "${fields.join(",")}".`);
    }
    if (file.split(/[/\\]/).includes(".."))
      throw dataError(`${location}: "${file}" is outside the folder of the table.`);
    // Files in subfolders are checked when they are read.
    if (!file.includes("/") && !names.has(file)) throw missingFile(file, location, names);
    files.push(file);
    labels.push(/^\d+$/.test(text) ? Number(text) : classNumber(text, order, location));
  }
  // Numeric labels are class numbers, so there are no class names.
  const hasClassNames = classes !== undefined || !order.every((name) => /^\d+$/.test(name));
  const paths = files.map((file) => joinPath(folder, file));
  const used = new Set(files.map((file) => file.replace(/^(\.\/)+/, "")));
  return { dataset: imageFiles(folder, paths, labels, hasClassNames ? order : undefined), used };
}

function missingFile(file: string, location: string, names: ReadonlySet<string>): PithError {
  const suggestion = nearest(file, names);
  const hint =
    suggestion === undefined
      ? "Add the file, or remove the row. Names are relative to the folder of the table."
      : `Did you mean "${suggestion}"?`;
  return dataError(`${location}: the file "${file}" does not exist.`, { hint });
}

const fileColumnTitles = ["file", "filename", "file_name", "image", "path", "name"];

async function linesOf(path: string): Promise<readonly string[]> {
  const lines = (await readText(path)).split(/\r?\n/).map((line) => line.trim());
  while (lines.at(-1) === "") lines.pop();
  return lines;
}
