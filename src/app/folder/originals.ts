/** Finds, copies and restores the original files of a folder. */
import {
  bytesOfText,
  fileError,
  joinList,
  Miss,
  type Model,
  open,
  optionError,
  type PithError,
  sniff,
  throwIfAborted,
} from "#ir";
import type { Context } from "#pass";
import {
  fileKind,
  fileNameOf,
  folderOf,
  joinPath,
  leavesFolder,
  listFolder,
  makeFolder,
  writeFileAtomically,
} from "#platform";
import { bytesOfFile, fileHash, textHash } from "../../core/files/hash.ts";
import {
  type FileHashes,
  fileOfBytes,
  formatJson,
  formatKept,
  type NewFile,
  planWrites,
} from "../../core/files/own-files.ts";
import { readSettings } from "../../data/text/tokenizer.ts";
import { cardName, configName, writeRecorded } from "./description-files.ts";
import { basesIn, dataFilesOf, isSidecarFile, isVariant } from "./file-names.ts";
import { type FolderModule, type FolderRun, fileOf } from "./folder-run.ts";
import { configureOriginals } from "./loader-config.ts";
import { isFileOfModel, tryOpenModel, weightFilesOf } from "./model-files.ts";
import { recordName } from "./records.ts";

const maxListed = 6;

export interface Originals {
  readonly modules: readonly FolderModule[];
  readonly inputs: readonly string[];
  readonly copies: readonly NewFile[];
}

export async function findOriginals(folder: string): Promise<Originals> {
  const names = await listFolder(joinPath(folder, "onnx")).catch((): string[] => []);
  const bases = basesIn(names);
  if (bases.length === 0) throw await noModelsError(folder, names);
  const copies = await sidecarsIn(folder);
  const modules: FolderModule[] = [];
  const inputs: string[] = [];
  for (const base of bases) {
    const source = joinPath(folder, "onnx", `${base}.onnx`);
    const model = await open(source);
    inputs.push(...model.graph.feeds.map(({ name }) => name));
    const files = await filesOf(folder, base, model, names);
    copies.push(...files.filter(({ path }) => !copies.some((copy) => copy.path === path)));
    modules.push({ base, source, hash: await textHash(files.map(({ hash }) => hash).join()) });
  }
  return { modules, inputs, copies };
}

async function copiesOf(folder: string, { base, source }: FolderModule): Promise<readonly NewFile[]> {
  return filesOf(folder, base, await open(source), await listFolder(joinPath(folder, "onnx")));
}

async function filesOf(folder: string, base: string, model: Model, names: readonly string[]): Promise<NewFile[]> {
  const parts = new Set([`${base}.onnx`, ...dataFilesOf(`${base}.onnx`, names), ...weightFilesOf(model)]);
  const files: NewFile[] = [];
  for (const part of parts) if (names.includes(part)) files.push(await copyOf(folder, `onnx/${part}`));
  return files;
}

/** Copies the files next to a changed model into the folder of the result. @param file path of the model in both folders. */
export async function copySidecars(
  folder: string,
  out: string,
  file: string,
  { log }: Pick<Context, "log">,
): Promise<void> {
  const [subfolder, changedBase] = [folderOf(file), fileNameOf(file).replace(/\.onnx$/, "")];
  const names = await listFolder(joinPath(folder, subfolder));
  const bases = subfolder === "onnx" ? basesIn(names) : [changedBase];
  const copies = await sidecarsIn(folder);
  for (const base of bases.filter((base) => base !== changedBase)) {
    const model = await open(joinPath(folder, subfolder, `${base}.onnx`));
    copies.push(...(await filesOf(folder, base, model, names)));
  }
  const links = await outerLinks(folder);
  if (links.length > 0) log({ id: "links", text: outerLinksText(folder, links), level: "warning" });
  const config = links.includes(configName) ? undefined : await readSettings(joinPath(folder, configName));
  const writtenHashes: FileHashes = new Map();
  if (config !== undefined) {
    const modelNames = [...(await listFolder(joinPath(out, subfolder))), ...copies.map(({ path }) => fileNameOf(path))];
    const [before, after] = [await open(joinPath(folder, file)), await open(joinPath(out, file))].map(cachedLayers);
    const hasFewerLayers = before !== after && config.num_hidden_layers === before;
    if (hasFewerLayers) log({ id: "layers", text: `num_hidden_layers of ${joinPath(out, configName)} is ${after}` });
    const newConfig = configureOriginals(
      hasFewerLayers ? { ...config, num_hidden_layers: after } : config,
      bases,
      modelNames,
    );
    copies.push(await fileOfBytes(configName, bytesOfText(formatJson(newConfig))));
    // A config.json that differs only in the number of layers is one that Pith wrote for an earlier result.
    const earlierSettings = await readSettings(joinPath(out, configName));
    const layers = { num_hidden_layers: 0 };
    if (
      earlierSettings !== undefined &&
      formatJson({ ...earlierSettings, ...layers }) === formatJson({ ...newConfig, ...layers })
    )
      writtenHashes.set(configName, [await fileHash(joinPath(out, configName))]);
  }
  const { writes, kept } = await planWrites(out, copies, writtenHashes);
  for (const { path, parts } of writes) await writeFileAtomically(joinPath(out, path), parts());
  for (const path of kept) log({ id: "kept", text: formatKept(joinPath(out, path)), level: "warning" });
}

/** Returns the number of layers with a cache, for which transformers.js reads `num_hidden_layers` in config.json. */
function cachedLayers({ graph }: Model): number {
  return new Set(graph.feeds.flatMap(({ name }) => /^past_key_values\.(\d+)\./.exec(name)?.[1] ?? [])).size;
}

async function noModelsError(folder: string, names: readonly string[]): Promise<PithError> {
  const variants = names.filter((name) => name.endsWith(".onnx"));
  if (variants.length > 0)
    return fileError(`"${folder}" has only variants (${variants.join(", ")}): the original is missing.`, {
      hint: "Put it next to them, in float32, as onnx/model.onnx.",
    });
  const topFiles = await listFolder(folder).catch((): string[] => []);
  const model = topFiles.find((name) => name.endsWith(".onnx"));
  if (model !== undefined) {
    const isInner = fileNameOf(folder) === "onnx";
    const text = isInner
      ? `"${folder}" has only the models: expected the folder around it, with config.json.`
      : `"${joinPath(folder, model)}" is not in a folder "onnx", where transformers.js looks for models.`;
    const hint = isInner
      ? `Name the folder above: ${folderOf(folder)}.`
      : `mkdir ${joinPath(folder, "onnx")} && mv ${joinPath(folder, "*.onnx*")} ${joinPath(folder, "onnx")}`;
    return fileError(text, { hint });
  }
  const [other] = topFiles.flatMap((name) => sniff(new Uint8Array(), name) ?? []);
  return fileError(`"${folder}" contains no ONNX model.`, {
    hint: other?.hint ?? "transformers.js looks for onnx/model.onnx next to config.json.",
  });
}

async function copyOf(folder: string, path: string): Promise<NewFile> {
  const file = joinPath(folder, path);
  async function* parts(): AsyncIterable<Uint8Array> {
    await requireInside(folder, path);
    yield* bytesOfFile(file);
  }
  return { path, hash: await fileHash(file), parts };
}

/** Rejects links to private files, because results are published. @throws PithError E_FILE for a link that leads out of the folder. */
async function requireInside(folder: string, path: string): Promise<void> {
  if (!(await leavesFolder(folder, path))) return;
  throw fileError(`"${joinPath(folder, path)}" is a link that leads out of "${folder}".`, {
    hint: "Put a copy of the file in its place, if its contents may become part of the result.",
  });
}

/** Returns the names of links that lead out of the folder, whose targets can be private. */
async function outerLinks(folder: string): Promise<readonly string[]> {
  const names: string[] = [];
  for (const name of await listFolder(folder)) {
    const isRead = isSidecarFile(name) || name === cardName;
    if (isRead && (await leavesFolder(folder, name))) names.push(name);
  }
  return names;
}

const outerLinksText = (folder: string, names: readonly string[]): string =>
  `not copied, because these links lead out of "${folder}": ${joinList(names, maxListed)}`;

/** Returns the files to copy that are next to the models, except config.json and README.md, which Pith extends. */
async function sidecarsIn(folder: string): Promise<NewFile[]> {
  const files: NewFile[] = [];
  const links = await outerLinks(folder);
  for (const name of await listFolder(folder)) {
    const isNamed = isSidecarFile(name) && name !== configName && !links.includes(name);
    if (isNamed && (await fileKind(joinPath(folder, name))) === "file") files.push(await copyOf(folder, name));
  }
  return files;
}

/** Copies the originals and their sidecar files. @throws PithError E_OPTION for another model under an original's name. */
export async function copyOriginals(run: FolderRun, files: readonly NewFile[]): Promise<void> {
  const { folder, out, context, written } = run;
  const links = await outerLinks(folder);
  if (links.length > 0) context.log({ id: "links", text: outerLinksText(folder, links), level: "warning" });
  const uncopiedFiles = (await findUncopied(folder, files)).filter((path) => !links.includes(path));
  if (uncopiedFiles.length > 0) {
    const text = `not copied, because transformers.js does not load them: ${joinList(uncopiedFiles, maxListed)}`;
    context.log({ id: "left", text });
  }
  // If a search result has replaced an original, it is kept.
  const searchResults = run.modules.map(({ base }) => fileOf(base, "searched")).filter((file) => run.records.has(file));
  const filesToCopy = files.filter(({ path }) => !searchResults.some((file) => isFileOfModel(file, path)));
  const { writes, kept } = await planWrites(out, filesToCopy, written);
  const otherModels: NewFile[] = [];
  for (const path of kept) {
    const [model] = run.modules.map(({ base }) => `onnx/${base}.onnx`).filter((file) => isFileOfModel(file, path));
    if (model !== undefined && (await tryOpenModel(joinPath(out, model))) instanceof Miss)
      otherModels.push(...files.filter((file) => file.path === path));
    else if (path.startsWith("onnx/")) {
      const text = `${joinPath(out, path)} is not that of "${folder}", and Pith did not write it: variants next to it would belong to another model.`;
      throw optionError(text, { hint: "Write to another folder." });
    } else context.log({ id: "kept", text: formatKept(joinPath(out, path)), level: "warning" });
  }
  await makeFolder(joinPath(out, "onnx"));
  await writeRecorded(run, []);
  for (const { path, parts } of [...writes, ...otherModels]) {
    throwIfAborted(context.signal, "Stopped on request.");
    await writeFileAtomically(joinPath(out, path), parts());
  }
}

export async function restoreOriginal(run: FolderRun, module: FolderModule): Promise<void> {
  const { folder, out, records, written } = run;
  records.delete(fileOf(module.base, "searched"));
  const { writes } = await planWrites(out, await copiesOf(folder, module), written);
  await writeRecorded(run, writes);
}

/** Returns the files that are not copied although the user might expect it. */
async function findUncopied(folder: string, copies: readonly NewFile[]): Promise<readonly string[]> {
  const handledNames = ["onnx", configName, cardName, recordName];
  const topFiles = (await listFolder(folder)).filter((name) => !handledNames.includes(name));
  const models = (await listFolder(joinPath(folder, "onnx"))).filter((name) => !isVariant(name));
  return [...topFiles, ...models.map((name) => `onnx/${name}`)].filter(
    (path) => !fileNameOf(path).startsWith(".") && !copies.some((copy) => copy.path === path),
  );
}
