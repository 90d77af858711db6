/** Writes the files that describe a folder's variants: Pith's record, config.json and README.md. */
import { bytesOfText } from "#ir";
import { fileKind, fileNameOf, joinPath, leavesFolder, listFolder, openFile, readText, realPath } from "#platform";
import {
  fileOfBytes,
  formatJson,
  isAuthoredFile,
  type NewFile,
  planWrites,
  writeOwned,
} from "../../core/files/own-files.ts";
import { readSettings } from "../../data/text/tokenizer.ts";
import { dtypeNames } from "../../techniques/quantize/dtypes.ts";
import { dataFileCounts, dataFilesOf } from "./file-names.ts";
import { type FolderRun, fileOf } from "./folder-run.ts";
import { addLoaderSettings } from "./loader-config.ts";
import { withCard } from "./model-card.ts";
import { type Records, recordName } from "./records.ts";

export const configName = "config.json";
export const cardName = "README.md";

export async function writeDescriptions(run: FolderRun): Promise<void> {
  const { folder, out, requestedDtypes, modules, records, options } = run;
  const { keepSmallest = false, purpose } = options;
  const chunks = dataFileCounts(await listFolder(joinPath(out, "onnx")));
  // The result of a search replaces the original under its file name, so transformers.js loads it as dtype fp32.
  const chosen = new Map(
    modules.map(
      ({ base }) => [base, requestedDtypes.find((dtype) => records.has(fileOf(base, dtype))) ?? "fp32"] as const,
    ),
  );
  const [configBase, cardBase] = [await findBaseFile(run, configName), await findBaseFile(run, cardName)];
  const config = (await readSettings(configBase.path)) ?? {};
  const isForeign = await leavesFolder(folder, configName);
  const source = (isForeign ? undefined : await readSettings(joinPath(folder, configName))) ?? {};
  const originals = await bytesOfModels(
    folder,
    modules.map(({ base }) => base),
  );
  const [first, ...otherDtypes] = new Set(chosen.values());
  const card = {
    name: await nameOf(out),
    config,
    originals,
    records: sortRecords(records),
    defaultDtype: otherDtypes.length === 0 ? first : undefined,
    madeWith: options.madeWith,
    triedDtypes: keepSmallest
      ? [...requestedDtypes, ...(options.search === undefined ? [] : (["searched"] as const))]
      : undefined,
    purpose,
    failureText:
      run.missingFilesText ?? [...records.values()].find(({ loader }) => loader?.outcome === "fails")?.loader?.reason,
  };
  const newConfig = addLoaderSettings(config, source, { chunks, chosen, keepSmallest });
  const hasConfig = (await fileKind(joinPath(out, configName))) !== undefined;
  // A user's config.json with equal content keeps its formatting.
  const isUnchangedConfig = configBase.isAuthored && formatJson(newConfig) === formatJson(config);
  const mustWriteConfig = (Object.keys(newConfig).length > 0 || hasConfig) && !isUnchangedConfig;
  const readme = withCard((await fileKind(cardBase.path)) === "file" ? await readText(cardBase.path) : "", card);
  await writeTexts(run, [
    ...(mustWriteConfig ? [{ ...configBase, text: formatJson(newConfig) }] : []),
    { ...cardBase, text: readme },
  ]);
}

export async function bytesOfModels(folder: string, bases: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const names = bases.length === 0 ? [] : await listFolder(joinPath(folder, "onnx"));
  const bytes = new Map<string, number>();
  for (const file of bases.map((base) => `${base}.onnx`)) {
    const parts = [file, ...dataFilesOf(file, names)].filter((part) => names.includes(part));
    const sizes = await Promise.all(parts.map(async (part) => (await openFile(joinPath(folder, "onnx", part))).size));
    bytes.set(
      `onnx/${file}`,
      sizes.reduce((sum, size) => sum + size, 0),
    );
  }
  return bytes;
}

interface BaseFile {
  readonly name: string;
  readonly path: string;
  readonly isAuthored: boolean;
}

/** Returns the file to extend: that in the output folder if the user changed it, or if the source's is a link out of its folder; else the source's. */
export async function findBaseFile(run: FolderRun, name: string): Promise<BaseFile> {
  const { folder, out, isInPlace, reportedFiles, context, written } = run;
  const isChanged = isInPlace || (await isAuthoredFile(out, name, written));
  if (isChanged && !isInPlace && !reportedFiles.has(name)) {
    reportedFiles.add(name);
    const text = `${joinPath(out, name)} was not written by Pith, or changed since: only Pith's section is replaced`;
    context.log({ id: "kept", text });
  }
  const isForeign = !isChanged && (await leavesFolder(folder, name));
  return { name, path: joinPath(isChanged || isForeign ? out : folder, name), isAuthored: isChanged };
}

async function writeTexts(run: FolderRun, texts: readonly (BaseFile & { readonly text: string })[]): Promise<void> {
  const { out, written } = run;
  const [pithFiles, userFiles]: [NewFile[], NewFile[]] = [[], []];
  for (const { name, text, isAuthored } of texts)
    (isAuthored ? userFiles : pithFiles).push(await fileOfBytes(name, bytesOfText(text)));
  // A file with text of the user counts as the user's, so that the next run keeps it.
  for (const { path } of userFiles) written.delete(path);
  const { writes } = await planWrites(out, pithFiles, written);
  await writeRecorded(run, [...writes, ...userFiles]);
}

export function writeRecorded(run: FolderRun, files: readonly NewFile[]): Promise<void> {
  const { out, others, records, written } = run;
  return writeOwned(joinPath(out, recordName), { ...others, files: sortRecords(records) }, written, files);
}

async function nameOf(folder: string): Promise<string> {
  const name = fileNameOf(folder);
  return /^\.{0,2}$/.test(name) ? fileNameOf(await realPath(folder)) : name;
}

function sortRecords(records: FolderRun["records"]): Records {
  const order: readonly string[] = dtypeNames;
  const rankOf = ({ dtype }: Records[string]): number => order.indexOf(dtype);
  return Object.fromEntries([...records].sort(([a, x], [b, y]) => rankOf(x) - rankOf(y) || (a < b ? -1 : 1)));
}
