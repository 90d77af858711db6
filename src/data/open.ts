/** From a path to a data set: what lies there is recognised by names, and parts of it never overlap. */
import { extensionOf, fileKind, fileNameOf, folderOf, importModule, joinPath, listFolder, openFile } from "#platform";
import { PithError } from "../errors.ts";
import type { Dense } from "../tensor/types.ts";
import { readAll } from "./bytes.ts";
import { cifar, cifarFile } from "./cifar.ts";
import { idx, idxFile, parseIdx } from "./idx.ts";
import { isIndexed, memory } from "./indexed.ts";
import { withLabel } from "./labels.ts";
import { fromModule } from "./module.ts";
import { parseNpy, parseNpz } from "./npy.ts";
import { split } from "./select.ts";
import { csv, jsonl } from "./table.ts";
import type { Dataset, Part } from "./types.ts";

/** Of a file that says nothing about parts, this share is for training, drawn with the seed 0; the rest is for testing. */
const trainShare = 0.8;

const accepted =
  "Accepted: a folder with idx files (MNIST), CIFAR .bin files, or train and test as .npz, .csv or .jsonl; a single .npz, .npy, .csv, .tsv, .jsonl file; an ES module (.mjs, .js, .ts) that exports batches.";

export interface OpenDatasetOptions {
  /**
   * The part that is wanted. Where a source has parts and none is named, the test part. A single file without parts is divided
   * 80 : 20 at random, always in the same way; without `part` all of it is taken.
   */
  readonly part?: Part;
}

/**
 * Opens the data set at a path: MNIST's idx files, CIFAR's binary files (gzipped or not), .npz, .npy, .csv, .tsv, .jsonl, or a user's ES module.
 * Images come as "image" (uint8, N×C×H×W), classes as "label" (int64), other arrays under their names.
 * @throws PithError E_DATA if nothing is recognised, a file is damaged, or the part is not there; E_FILE if nothing is there at all.
 * @example
 * const test = await openDataset("mnist/", { part: "test" });
 */
export async function openDataset(reference: string, options: OpenDatasetOptions = {}): Promise<Dataset> {
  const kind = await fileKind(reference);
  if (kind === "folder") return openFolder(reference, options.part);
  if (kind !== "file") throw new PithError("E_FILE", `There is no data at "${reference}".`, { hint: accepted });
  const name = fileNameOf(reference);
  const part = idxFile(name);
  if (part !== undefined) {
    return openIdx(folderOf(reference), await listFolder(folderOf(reference)), options.part ?? part.part, part.family);
  }
  const record = cifarFile(name);
  if (record !== undefined) {
    requirePart(options.part, [record.part], reference);
    return cifar(reference, [await openFile(reference)], record.labels);
  }
  return openSingle(reference, options.part);
}

async function openFolder(folder: string, part: Part | undefined): Promise<Dataset> {
  const names = await listFolder(folder);
  const families = new Set(names.flatMap((name) => idxFile(name)?.family ?? []));
  if (families.size > 1) {
    throw new PithError("E_DATA", `"${folder}" holds several sets of idx files: ${[...families].join(", ")}.`, {
      hint: "Name one of the files instead of the folder.",
    });
  }
  for (const family of families) return openIdx(folder, names, part, family);
  const records = names.filter((name) => cifarFile(name) !== undefined);
  if (records.length > 0) return openCifar(folder, records, part);
  for (const extension of [".npz", ".csv", ".tsv", ".jsonl"]) {
    const parts = (["train", "test"] as const).filter((stem) => names.includes(stem + extension));
    if (parts.length === 0) continue;
    const wanted = requirePart(part, parts, folder);
    return openSingle(joinPath(folder, wanted + extension), undefined);
  }
  const single = names.filter((name) => /\.(npz|csv|tsv|jsonl)$/i.test(name));
  const [only] = single;
  if (single.length === 1 && only !== undefined) return openSingle(joinPath(folder, only), part);
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
  const files = names.flatMap((name) => {
    const file = idxFile(name);
    return file?.family === family ? [{ ...file, path: joinPath(folder, name) }] : [];
  });
  const parts = (["train", "test"] as const).filter((one) => files.some((file) => file.part === one));
  const wanted = requirePart(part, parts, folder);
  const path = (holds: "images" | "labels"): string => {
    const file = files.find((one) => one.part === wanted && one.holds === holds);
    if (file !== undefined) return file.path;
    throw new PithError("E_DATA", `"${folder}": the ${wanted} part has no idx file of ${holds}.`);
  };
  return idx(`${folder} (${wanted})`, await openFile(path("images")), await openFile(path("labels")));
}

async function openCifar(folder: string, names: readonly string[], part: Part | undefined): Promise<Dataset> {
  const files = names.flatMap((name) => {
    const file = cifarFile(name);
    return file === undefined ? [] : [{ ...file, name }];
  });
  const parts = (["train", "test"] as const).filter((one) => files.some((file) => file.part === one));
  const wanted = requirePart(part, parts, folder);
  const chosen = files.filter((file) => file.part === wanted);
  const labels = chosen[0]?.labels ?? 1;
  if (chosen.some((file) => file.labels !== labels)) {
    throw new PithError(
      "E_DATA",
      `"${folder}" holds files of CIFAR-10 and of CIFAR-100: ${chosen.map((file) => file.name).join(", ")}.`,
    );
  }
  return cifar(
    `${folder} (${wanted})`,
    await Promise.all(chosen.map((file) => openFile(joinPath(folder, file.name)))),
    labels,
  );
}

async function openSingle(path: string, part: Part | undefined): Promise<Dataset> {
  const extension = extensionOf(path);
  if ([".mjs", ".js", ".ts", ".mts"].includes(extension)) return fromModule(path, await loadModule(path), part);
  const bytes = await readAll(await openFile(path));
  const text = (): string => new TextDecoder().decode(bytes);
  switch (extension === ".gz" ? extensionOf(path.slice(0, -".gz".length)) : extension) {
    case ".npz":
      return openArrays(path, parseNpz(bytes, path), part);
    case ".npy":
      return portion(memory(path, { data: parseNpy(bytes, path) }), part);
    case ".csv":
    case ".tsv":
      return portion(csv(path, text()), part);
    case ".jsonl":
      return portion(jsonl(path, text()), part);
  }
  // An idx file under another name still has its header.
  if (bytes[0] === 0 && bytes[1] === 0) return portion(memory(path, { data: parseIdx(bytes, path) }), part);
  throw new PithError("E_DATA", `"${path}" is not a data set that is known.`, { hint: accepted });
}

/** Arrays of a .npz file; x_train, y_train, x_test, y_test are two parts. */
function openArrays(path: string, arrays: Readonly<Record<string, Dense>>, part: Part | undefined): Dataset {
  const names = Object.keys(arrays);
  const parts = (["train", "test"] as const).filter((one) => names.some((name) => name.endsWith(`_${one}`)));
  if (parts.length === 0) return portion(memory(path, withLabel(arrays, path)), part);
  const wanted = requirePart(part, parts, path);
  const columns = Object.entries(arrays).flatMap(([name, array]) =>
    name.endsWith(`_${wanted}`) ? [[name.slice(0, -wanted.length - 1), array] as const] : [],
  );
  return memory(`${path} (${wanted})`, withLabel(Object.fromEntries(columns), path));
}

async function loadModule(path: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return await importModule(path);
  } catch (cause) {
    if (cause instanceof PithError) throw cause;
    const message = cause instanceof Error ? cause.message : String(cause);
    const typescript = /\.m?ts$/.test(path)
      ? "Node before 22.18 does not run TypeScript: compile the module, or start Pith through tsx."
      : "";
    throw new PithError("E_DATA", `${path} cannot be imported: ${message}.`, { cause, hint: typescript });
  }
}

function portion(dataset: Dataset, part: Part | undefined): Dataset {
  if (part === undefined || !isIndexed(dataset)) return dataset;
  const [train, test] = split(dataset, [trainShare, 1 - trainShare], 0);
  const chosen = part === "train" ? train : test;
  return chosen === undefined ? dataset : { ...chosen, name: `${dataset.name} (${part})` };
}

function requirePart(part: Part | undefined, parts: readonly Part[], owner: string): Part {
  const wanted = part ?? (parts.includes("test") ? "test" : "train");
  if (parts.includes(wanted)) return wanted;
  throw new PithError("E_DATA", `"${owner}" has no ${wanted} part, only ${parts.join(" and ")}.`);
}
