/**
 * Quantizes a folder in the layout of transformers.js, and records each variant as soon as it is written:
 *     config.json  tokenizer.json  onnx/model.onnx   →   … onnx/model_quantized.onnx  onnx/model_q4.onnx  quantize_config.json
 */
import { bytes, joinList, stripPeriod, throwIfAborted } from "#ir";
import { type Context, completeContext } from "#pass";
import { claimFolder, fileKind, joinPath, listFolder, makeFolder, realPath } from "#platform";
import { bytesOfFile, fileHash } from "../../core/files/hash.ts";
import { formatKept, planWrites } from "../../core/files/own-files.ts";
import { readSettings } from "../../data/text/tokenizer.ts";
import { objectiveOf, sizeFor } from "../../judge/measure/objective.ts";
import { choose } from "../../judge/run/select-result.ts";
import { type DtypeName, defaultDtypes, dtypeBits, dtypeNames } from "../../techniques/quantize/dtypes.ts";
import { withoutLowEntropy } from "../../techniques/quantize/options.ts";
import { bytesOfModels, configName, findBaseFile, writeDescriptions, writeRecorded } from "./description-files.ts";
import { mainOf } from "./file-names.ts";
import {
  type FileDtype,
  type FolderFile,
  type FolderModule,
  type FolderOptions,
  type FolderRun,
  fileOf,
  type ModuleResult,
} from "./folder-run.ts";
import { checkJointly, checkOrRepair, runInLoader } from "./joint-check.ts";
import { createLoaderCheck } from "./loader-check.ts";
import { hashModelFiles, isFileOfModel, isUnchanged } from "./model-files.ts";
import { copyOriginals, findOriginals, type Originals } from "./originals.ts";
import { makeFile, rejectFailed, rejectFile, removeResult, sourcesHash, timeFile } from "./outcomes.ts";
import { precompressFiles, removeCopies } from "./precompressed.ts";
import { fileFiguresOf, readFolderRecord } from "./records.ts";
import { createVariantMaker } from "./variant-maker.ts";

/** Sidecar files whose contents affect the outputs of models. */
const outputSidecars = ["tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"];

/**
 * Makes variants of every model in a folder's `onnx/`, each checked against its original, and configures transformers.js for them.
 *
 * A variant that fails its check is rejected, and the others are written. Files that the user wrote or changed are not replaced; README.md and
 * config.json are extended.
 * @throws PithError E_FILE if there is no model in `onnx/`, a file cannot be written, or another run uses the folder; E_OPTION for settings that
 * contradict a dtype, or another model in the place of an original's copy; as `open` for a model that cannot be read.
 *
 * @example
 * const files = await quantizeFolder("minilm", { dtypes: ["q8", "q4"], out: "minilm.web" });
 * for (const { file, verdict, measured } of files) console.log(file, verdict, measured);
 */
export async function quantizeFolder(
  folder: string,
  options: FolderOptions,
  context: Partial<Context> = {},
): Promise<readonly FolderFile[]> {
  const originals = await findOriginals(folder);
  if (options.quantize !== undefined) withoutLowEntropy(dtypesOf(options), options.quantize);
  await makeFolder(options.out);
  const release = await claimFolder(options.out);
  try {
    return await quantizeAll(await openRun(folder, originals, options, completeContext(context)));
  } finally {
    release();
  }
}

async function quantizeAll(run: FolderRun): Promise<readonly FolderFile[]> {
  const triedKeys = new Set<string>();
  if (combinesDtypes(run.options)) await makeSmallest(run, triedKeys);
  else
    for (const dtype of run.requestedDtypes) {
      for (const module of run.modules) await makeAndTime(run, module, dtype);
      await checkOrRepair(run, dtype);
      await runInLoader(run, () => dtype);
    }
  const isEmpty = [...run.rows.values()].every(({ verdict }) => verdict === "rejected");
  if (isEmpty && run.invalidRequest !== undefined) throw run.invalidRequest;
  await dropRedundant(run);
  if (run.options.keepSmallest === true) {
    await searchModules(run);
    await keepBest(run, triedKeys);
  }
  await precompressFiles(run);
  return [...run.rows.values()];
}

async function makeAndTime(run: FolderRun, module: FolderModule, dtype: DtypeName, fallback?: boolean): Promise<void> {
  throwIfAborted(run.context.signal, "Stopped on request.");
  await makeFile(run, module, dtype, { fallback });
  await writeDescriptions(run);
  await timeFile(run, module, dtype);
}

/** Makes files of each module, fewest bits first, until one is acceptable and fast. */
async function makeSmallest(run: FolderRun, triedKeys: Set<string>): Promise<void> {
  const { modules, requestedDtypes, rows, options } = run;
  const byBits = requestedDtypes.toSorted((a, b) => dtypeBits(a) - dtypeBits(b));
  const attempts = [
    ...byBits.filter((dtype) => dtypeBits(dtype) <= 8).map((dtype) => ({ dtype, fallback: false })),
    ...byBits.filter((dtype) => dtypeBits(dtype) > 8 || dtype === "q8").map((dtype) => ({ dtype, fallback: true })),
  ];
  for (const module of modules)
    for (const { dtype, fallback } of attempts) {
      const file = fileOf(module.base, dtype);
      const key = `${file} ${fallback}`;
      if (!triedKeys.has(key)) await makeAndTime(run, module, dtype, fallback);
      triedKeys.add(key);
      const { verdict, work = 1 } = rows.get(file) ?? {};
      if (verdict !== "rejected" && work * minSpeed <= 1 && options.purpose !== "speed") break;
    }
}

/** Returns whether only the chosen combination of files is compared together. */
const combinesDtypes = ({ keepSmallest, makesTogether }: FolderOptions): boolean =>
  keepSmallest === true && makesTogether === true;

const dtypesOf = ({ dtypes }: Pick<FolderOptions, "dtypes">): readonly DtypeName[] =>
  dtypes === "all" ? defaultDtypes : dtypes;

async function openRun(
  folder: string,
  { modules, inputs, copies }: Originals,
  options: FolderOptions,
  context: Context,
): Promise<FolderRun> {
  const { out } = options;
  const { files: records, written, others } = await readFolderRecord(out);
  await readSettings(joinPath(out, configName));
  const run: FolderRun = {
    folder,
    out,
    options,
    context,
    modules,
    written,
    others,
    sidecarHashes: outputSidecars.map((name) => copies.find(({ path }) => path === name)?.hash ?? ""),
    check: options.loader && createLoaderCheck(options.loader),
    requestedDtypes: dtypesOf(options),
    make: options.make ?? createVariantMaker(options.quantize, context),
    mainBase: mainOf(modules.map(({ base }) => base)).base,
    records: new Map(Object.entries(records)),
    rows: new Map(),
    isInPlace: (await fileKind(out)) === "folder" && (await realPath(folder)) === (await realPath(out)),
    reportedFiles: new Set(),
    missingFilesText: undefined,
    invalidRequest: undefined,
  };
  await dropOtherSearches(run);
  if (!run.isInPlace) await copyOriginals(run, copies);
  run.missingFilesText = missingText(await listNames(run), inputs);
  if (run.missingFilesText !== undefined)
    context.log({ id: "incomplete", text: run.missingFilesText, level: "warning" });
  await dropOutdated(run);
  return run;
}

async function listNames(run: FolderRun): Promise<readonly string[]> {
  const config = await findBaseFile(run, configName);
  const names = (await listFolder(run.out)).filter((name) => name !== configName);
  return (await fileKind(config.path)) === "file" ? [...names, configName] : names;
}

async function dropOutdated(run: FolderRun): Promise<void> {
  const { modules, records, options } = run;
  let isOutdated = false;
  for (const [file, record] of records) {
    const module = modules.find(({ base }) => record.source === `onnx/${base}.onnx`);
    if (module === undefined) await removeResult(run, record.source);
    if (module?.hash !== record.source_hash) await removeResult(run, file);
    else if (record.judged_by !== options.judgedBy) {
      const { together: _, nearness: __, loader: ___, judgedOn: ____, ...rest } = record;
      records.set(file, { ...rest, measured: "" });
    } else continue;
    isOutdated = true;
  }
  if (isOutdated) await writeRecorded(run, []);
}

/** Keeps only the best acceptable file of each module. Different dtypes must also pass the end-to-end check. */
async function keepBest(run: FolderRun, triedKeys: Set<string>): Promise<void> {
  const { modules, mainBase, requestedDtypes, rows, options } = run;
  const bestOf = (base: string): FolderFile | undefined => {
    const soundDtypes = [...requestedDtypes, "searched" as const]
      .flatMap((dtype) => rows.get(fileOf(base, dtype)) ?? [])
      .filter(({ verdict }) => verdict !== "rejected");
    const { purpose } = options;
    const choice = choose(
      soundDtypes.map(({ bytes, brotli, work }) => ({
        size: bytes && sizeFor(purpose, { bytes, brotli }),
        isAcceptable: true,
        speed: work && 1 / work,
      })),
      false,
      objectiveOf({ purpose, minSpeed }, undefined, { bytes: Number.POSITIVE_INFINITY }),
    );
    return soundDtypes[choice?.place ?? -1];
  };
  for (;;) {
    if (combinesDtypes(options)) await makeSmallest(run, triedKeys);
    const bestFiles = new Map(modules.map(({ base }) => [base, bestOf(base)]));
    const chosenRows = [mainBase, ...bestFiles.keys()].flatMap((base) => bestFiles.get(base) ?? []);
    // If the files fail together, the one with the fewest bits is rejected, then the one that loses most alone, then the smallest.
    const bitsOf = ({ dtype }: FolderFile): number => (dtype === "searched" ? 32 : dtypeBits(dtype));
    const lossOf = ({ nearness }: FolderFile): number => nearness?.difference ?? Number.NEGATIVE_INFINITY;
    const row = combinesDtypes(options)
      ? chosenRows.toSorted(
          (a, b) => bitsOf(a) - bitsOf(b) || lossOf(b) - lossOf(a) || (a.bytes ?? 0) - (b.bytes ?? 0),
        )[0]
      : bestFiles.get(mainBase);
    const isMixed = new Set(Array.from(bestFiles.values(), (row) => row?.dtype)).size > 1;
    const dtypeOf = (base: string): FileDtype | undefined => bestFiles.get(base)?.dtype;
    // Unless `combinesDtypes`, files of one dtype were checked end to end when they were made (`checkOrRepair`).
    if (
      row !== undefined &&
      (isMixed || combinesDtypes(options)) &&
      !((await runInLoader(run, dtypeOf)) && (await checkJointly(run, row, dtypeOf)))
    )
      continue;
    const keptFiles = new Set(Array.from(bestFiles.values(), (row) => row?.file));
    for (const row of rows.values()) {
      if (row.verdict === "rejected" || keptFiles.has(row.file)) continue;
      await removeResult(run, row.file);
      rows.set(row.file, { ...row, verdict: "passed over" });
    }
    return writeDescriptions(run);
  }
}

const inputMakers: readonly { readonly inputs: readonly string[]; readonly files: readonly string[] }[] = [
  { inputs: ["input_ids"], files: ["tokenizer.json", "tokenizer_config.json"] },
  { inputs: ["pixel_values", "input_features", "input_values"], files: ["preprocessor_config.json"] },
];

/** Returns a sentence, without its period, about missing files. @param inputs names of the models' inputs. */
function missingText(names: readonly string[], inputs: readonly string[]): string | undefined {
  const neededMakers = inputMakers.filter((maker) => maker.inputs.some((input) => inputs.includes(input)));
  const missingFiles = ["config.json", ...neededMakers.flatMap(({ files }) => files)].filter(
    (name) => !names.includes(name),
  );
  if (missingFiles.length === 0) return undefined;
  const verb = missingFiles.length === 1 ? "is" : "are";
  return `${joinList(missingFiles, missingFiles.length)} ${verb} missing, so transformers.js cannot run this folder. Copy the missing files into it from the page of the model`;
}

/** Minimum relative speed, by processor time, of a file that counts as equally fast. */
export const minSpeed = 0.8;

/** Removes files with a precision fallback that are neither smaller nor faster than a file with a higher-precision dtype. */
async function dropRedundant(run: FolderRun): Promise<void> {
  const { modules, requestedDtypes, records, out, written } = run;
  let hasDropped = false;
  for (const { base } of modules)
    for (const dtype of requestedDtypes) {
      const file = fileOf(base, dtype);
      const fallbackRecord = records.get(file);
      if (fallbackRecord?.preciseLayers === undefined) continue;
      for (const milderDtype of dtypeNames.filter((name) => dtypeBits(name) > dtypeBits(dtype))) {
        const milderFile = fileOf(base, milderDtype);
        const milderRecord = records.get(milderFile);
        if (
          milderRecord === undefined ||
          milderRecord.bytes > fallbackRecord.bytes ||
          !(await isUnchanged(out, milderFile, written))
        )
          continue;
        const isFaster = fallbackRecord.work !== undefined && fallbackRecord.work < minSpeed * (milderRecord.work ?? 0);
        if (isFaster) continue;
        const [repairedSize, milderSize] = [fallbackRecord.bytes, milderRecord.bytes].map(bytes);
        const text = `After repair it takes ${repairedSize}, not less than ${milderDtype} with ${milderSize}: ${stripPeriod(fallbackRecord.preciseLayers.join("; "))}.`;
        await rejectFile(run, file, dtype, text);
        hasDropped = true;
        break;
      }
    }
  if (hasDropped) await writeDescriptions(run);
}

/** Removes the records of search results that were made with other settings. */
async function dropOtherSearches(run: FolderRun): Promise<void> {
  const { modules, records, out, written } = run;
  for (const module of modules) {
    const file = fileOf(module.base, "searched");
    const record = records.get(file);
    if (record === undefined) continue;
    if (record.made_from !== (await hashSources(run, module)) || !(await isUnchanged(out, file, written)))
      records.delete(file);
  }
}

const hashSources = (run: FolderRun, { hash }: FolderModule): Promise<string> =>
  sourcesHash(run, hash, { ...run.options.settings, search: run.options.search?.settings ?? "none" });

interface Front {
  readonly module: FolderModule;
  /** Results of a search, smallest first. */
  readonly points: readonly ModuleResult[];
  position: number;
}

/**
 * Searches candidates of all techniques for each model of a folder. The result replaces the copy of the original.
 * The smallest points (results) of the modules are checked jointly first. While the check fails, one module gets its next larger point:
 * that which costs the least size per saved drop.
 */
async function searchModules(run: FolderRun): Promise<void> {
  const { options, context, modules, records, rows, isInPlace } = run;
  if (options.search === undefined) return;
  if (isInPlace) {
    const text = "no search, because the result would replace the original: choose another folder with -o";
    return context.log({ id: "search", text, level: "warning" });
  }
  const fronts: Front[] = [];
  for (const [module, share] of await searchSharesOf(run)) {
    throwIfAborted(context.signal, "Stopped on request.");
    const file = fileOf(module.base, "searched");
    const record = records.get(file);
    if (record !== undefined) {
      rows.set(file, { dtype: "searched", file, ...fileFiguresOf(record), verdict: "there" });
      continue;
    }
    const front = await searchFront(run, module, share, options.search);
    if (front === undefined) continue;
    fronts.push(front);
    await writeResult(run, front);
  }
  while (fronts.length > 0 && !(await checkSearchResults(run))) {
    const next = findCheapestFront(fronts, options.purpose);
    if (next === undefined) continue;
    next.position += 1;
    for (const front of fronts) await writeResult(run, front);
  }
  for (const module of modules) await timeFile(run, module, "searched");
}

async function searchSharesOf({ folder, modules }: FolderRun): Promise<readonly (readonly [FolderModule, number])[]> {
  const sizes = await bytesOfModels(
    folder,
    modules.map(({ base }) => base),
  );
  const totalBytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  return modules.map((module) => [module, (sizes.get(`onnx/${module.base}.onnx`) ?? 0) / totalBytes]);
}

/** Searches one module. Returns its points. */
async function searchFront(
  run: FolderRun,
  module: FolderModule,
  share: number,
  { find }: NonNullable<FolderRun["options"]["search"]>,
): Promise<Front | undefined> {
  try {
    const [best, ...largerResults] = await find(module, share);
    if (best === undefined) return undefined;
    const points = [best];
    const weigh = ({ figures }: ModuleResult): number => sizeFor(run.options.purpose, figures);
    for (const other of largerResults.toSorted((a, b) => weigh(a) - weigh(b)))
      if (other.drop < (points.at(-1)?.drop ?? 0) && weigh(other) > weigh(best)) points.push(other);
    return { module, points, position: 0 };
  } catch (error) {
    await rejectFailed(run, fileOf(module.base, "searched"), "searched", error);
    return undefined;
  }
}

async function writeResult(run: FolderRun, { module, points, position }: Front): Promise<void> {
  const { out, records, rows, written, options } = run;
  const point = points[position];
  const file = fileOf(module.base, "searched");
  if (point === undefined) return;
  const hash = await fileHash(point.path);
  const copy = { path: file, hash, parts: () => bytesOfFile(point.path) };
  const { writes, kept } = await planWrites(out, [copy], written);
  if (kept.length > 0) return rejectFile(run, file, "searched", `${formatKept(file)}. Write to another folder.`);
  // The record is removed until the file is complete, so that the run after a stop restores the original.
  records.delete(file);
  await removeCopies(run, file);
  await writeRecorded(run, writes);
  const hashes = await hashModelFiles(out, file);
  for (const path of [...written.keys()]) if (isFileOfModel(file, path) && !hashes.has(path)) written.delete(path);
  for (const [path, fileHashes] of hashes) written.set(path, fileHashes);
  const source = { dtype: "searched", source: file, source_hash: module.hash } as const;
  records.set(file, {
    ...source,
    made_from: await hashSources(run, module),
    judged_by: options.judgedBy,
    ...point.figures,
  });
  rows.set(file, { dtype: "searched", file, ...point.figures, verdict: "kept" });
  await writeDescriptions(run);
}

/** Checks the search results together, in transformers.js and end to end. Rejects results that fail. */
async function checkSearchResults(run: FolderRun): Promise<boolean> {
  const { modules, mainBase, rows } = run;
  if (!(await runInLoader(run, () => "searched"))) return false;
  const rowOf = (base: string) => rows.get(fileOf(base, "searched"));
  const row = [mainBase, ...modules.map(({ base }) => base)]
    .map(rowOf)
    .find((row) => row !== undefined && row.verdict !== "rejected");
  return row === undefined || checkJointly(run, row, () => "searched");
}

/** Returns the front with the lowest price: additional size per saved drop. */
function findCheapestFront(fronts: readonly Front[], purpose: FolderRun["options"]["purpose"]): Front | undefined {
  const price = ({ points, position }: Front): number => {
    const [current, next] = [points[position], points[position + 1]];
    if (current === undefined || next === undefined) return Number.POSITIVE_INFINITY;
    return (sizeFor(purpose, next.figures) - sizeFor(purpose, current.figures)) / (current.drop - next.drop);
  };
  const [cheapest] = fronts.filter((front) => Number.isFinite(price(front))).toSorted((a, b) => price(a) - price(b));
  return cheapest;
}
