/**
 * A folder as transformers.js lays it out, with the variants that are asked for:
 *
 *     config.json  tokenizer.json  onnx/model.onnx   →   … onnx/model_quantized.onnx  onnx/model_q4.onnx  quantize_config.json
 *
 * Each variant is checked before it is written; what was made is recorded at once, so that a run that was stopped goes on from there.
 */
import {
  claimFolder,
  fileKind,
  fileNameOf,
  folderOf,
  joinPath,
  listFolder,
  makeFolder,
  realPath,
  writeFileAtomically,
} from "#platform";
import { bytesOfFile, fileHash, textHash } from "../data/file-hash.ts";
import { keptText, type NewFile, planWrites } from "../data/own-files.ts";
import { readSettings } from "../data/tokenizer.ts";
import { Miss, PithError, stopIfAsked } from "../errors.ts";
import { open } from "../onnx/index.ts";
import { sniff } from "../onnx/sniff.ts";
import { type Context, completeContext } from "../passes/pass.ts";
import { type DtypeName, usualDtypes } from "../quantize/dtypes.ts";
import { choose } from "../recipe/choose.ts";
import { baseOf, cardName, configName, describe, writeRecorded } from "./describe.ts";
import { lostEndToEnd, type ModulePaths, textsTogether } from "./end-to-end.ts";
import { basesIn, dataFilesOf, isCopied, isVariant, mainOf } from "./layout.ts";
import { loaderCheck } from "./loader.ts";
import { missingText } from "./needs.ts";
import {
  authoredModel,
  type FileFigures,
  figuresOf,
  hashesOf,
  isOf,
  isWhole,
  modelIn,
  recordName,
  recordOf,
  removeModel,
  weightFilesOf,
} from "./records.ts";
import { type FolderFile, type FolderOptions, type FolderRun, fileOf, type Module, type Variant } from "./run.ts";
import { makeVariant } from "./variant.ts";

const usualFileBytes = 2e9;
/** What answers depend on beside the models. */
const sidecars = ["tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"];
/** What concerns the whole run, not one file. */
const ends: readonly string[] = ["E_STOPPED", "E_OPTION", "E_USAGE", "E_NAME", "E_FILE"];

/**
 * Makes variants of every model in a folder's `onnx/`, each checked against its original, and tells transformers.js of them in config.json.
 * Configuration, tokenizer and licence of the folder are copied. A variant that does not hold is refused, and the others are written. A file
 * that Pith did not write, or that was changed since, is not replaced; README.md and config.json get what is Pith's in them.
 * @throws PithError E_FILE if there is no model in `onnx/`, a file cannot be written, or another run is writing into the folder, as `open` for a model that cannot be read, E_OPTION for settings that contradict a dtype,
 * or where another model is in the place of an original's copy.
 *
 * @example
 * ```ts
 * const files = await quantizeFolder("minilm", { dtypes: ["q8", "q4"], out: "minilm.web" });
 * for (const { file, verdict, measured } of files) console.log(file, verdict, measured);
 * ```
 */
export async function quantizeFolder(
  folder: string,
  options: FolderOptions,
  context: Partial<Context> = {},
): Promise<readonly FolderFile[]> {
  const originals = await originalsIn(folder);
  await makeFolder(options.out);
  const release = await claimFolder(options.out);
  try {
    return await quantizeAll(await begin(folder, originals, options, completeContext(context)), options);
  } finally {
    release();
  }
}

async function quantizeAll(run: FolderRun, options: FolderOptions): Promise<readonly FolderFile[]> {
  for (const dtype of run.asked) {
    for (const module of run.modules) {
      stopIfAsked(run.context.signal, "Stopped on request.");
      await makeOne(run, module, dtype);
      await describe(run);
      await time(run, module, dtype);
    }
    await runInLoader(run, () => dtype);
    const row = run.rows.get(fileOf(run.main, dtype));
    if (row !== undefined && row.verdict !== "refused") await holdTogether(run, row, () => dtype);
  }
  if (options.keepSmallest === true) await keepBest(run);
  return [...run.rows.values()];
}

interface Originals {
  readonly modules: readonly Module[];
  /** Names of the inputs of all of them. */
  readonly inputs: readonly string[];
  /** What is copied beside them, and they themselves. */
  readonly copies: readonly NewFile[];
}

async function originalsIn(folder: string): Promise<Originals> {
  const names = await listFolder(joinPath(folder, "onnx")).catch((): string[] => []);
  const bases = basesIn(names);
  if (bases.length === 0) throw await noModels(folder, names);
  const copies = await sidecarsIn(folder);
  const modules: Module[] = [];
  const inputs: string[] = [];
  for (const base of bases) {
    const source = joinPath(folder, "onnx", `${base}.onnx`);
    const model = await open(source);
    inputs.push(...model.graph.feeds.map(({ name }) => name));
    const parts = new Set([`${base}.onnx`, ...dataFilesOf(`${base}.onnx`, names), ...weightFilesOf(model)]);
    const files: NewFile[] = [];
    for (const part of parts) if (names.includes(part)) files.push(await copyOf(folder, `onnx/${part}`));
    copies.push(...files.filter(({ path }) => !copies.some((copy) => copy.path === path)));
    modules.push({ base, source, hash: await textHash(files.map(({ hash }) => hash).join()) });
  }
  return { modules, inputs, copies };
}

async function begin(
  folder: string,
  { modules, inputs, copies }: Originals,
  options: FolderOptions,
  context: Context,
): Promise<FolderRun> {
  const { out } = options;
  const { files: records, written, others } = await recordOf(out);
  await readSettings(joinPath(out, configName));
  const run: FolderRun = {
    ...{ folder, out, options, context, modules, written, others },
    sidecars: sidecars.map((name) => copies.find(({ path }) => path === name)?.hash ?? ""),
    check: options.loader && loaderCheck(options.loader),
    asked: options.dtypes === "all" ? usualDtypes : options.dtypes,
    main: mainOf(modules.map(({ base }) => base)).base,
    records: new Map(Object.entries(records)),
    rows: new Map(),
    inPlace: (await fileKind(out)) === "folder" && (await realPath(folder)) === (await realPath(out)),
    said: new Set(),
    missing: undefined,
  };
  if (!run.inPlace) {
    const left = await leftIn(folder, copies);
    if (left !== undefined) context.log({ id: "left", text: left });
    await copy(run, copies);
  }
  run.missing = missingText(await namesIn(run), inputs);
  if (run.missing !== undefined) context.log({ id: "incomplete", text: run.missing, level: "warning" });
  await dropOutdated(run);
  return run;
}

/** The files of the folder that is written, config.json where it is more than what Pith has to say. */
async function namesIn(run: FolderRun): Promise<readonly string[]> {
  const config = await baseOf(run, configName);
  const others = (await listFolder(run.out)).filter((name) => name !== configName);
  return (await fileKind(config.path)) === "file" ? [...others, configName] : others;
}

async function copyOf(folder: string, path: string): Promise<NewFile> {
  const file = joinPath(folder, path);
  return { path, hash: await fileHash(file), parts: () => bytesOfFile(file) };
}

/** What is copied beside the models, but for config.json and README.md, which get a part of Pith's. */
async function sidecarsIn(folder: string): Promise<NewFile[]> {
  const files: NewFile[] = [];
  for (const name of await listFolder(folder))
    if (isCopied(name) && name !== configName && (await fileKind(joinPath(folder, name))) === "file")
      files.push(await copyOf(folder, name));
  return files;
}

const mostNamed = 5;

/** Which files are not copied, in a sentence: an author may expect them in the result. Hidden files and variants are none that he would. */
async function leftIn(folder: string, copies: readonly NewFile[]): Promise<string | undefined> {
  const own = ["onnx", configName, cardName, recordName];
  const top = (await listFolder(folder)).filter((name) => !own.includes(name));
  const models = (await listFolder(joinPath(folder, "onnx"))).filter((name) => !isVariant(name));
  const left = [...top, ...models.map((name) => `onnx/${name}`)].filter(
    (path) => !fileNameOf(path).startsWith(".") && !copies.some((copy) => copy.path === path),
  );
  if (left.length === 0) return undefined;
  const more = left.length > mostNamed ? ` and ${left.length - mostNamed} more` : "";
  return `not copied, because transformers.js does not load it: ${left.slice(0, mostNamed).join(", ")}${more}`;
}

/** @throws PithError E_OPTION where another model is there, of which variants would be none of this one. */
async function copy(run: FolderRun, files: readonly NewFile[]): Promise<void> {
  const { folder, out, context, written } = run;
  const { writes, kept } = await planWrites(out, files, written);
  const broken: NewFile[] = [];
  for (const path of kept) {
    const [model] = run.modules.map(({ base }) => `onnx/${base}.onnx`).filter((file) => isOf(file, path));
    if (model !== undefined && (await modelIn(joinPath(out, model))) instanceof Miss)
      broken.push(...files.filter((file) => file.path === path));
    else if (path.startsWith("onnx/")) {
      const text = `${joinPath(out, path)} is not that of "${folder}", and Pith did not write it: variants beside it would be of another model.`;
      throw new PithError("E_OPTION", text, { hint: "Write to another folder." });
    } else context.log({ id: "kept", text: keptText(joinPath(out, path)), level: "warning" });
  }
  await makeFolder(joinPath(out, "onnx"));
  await writeRecorded(run, []);
  for (const { path, parts } of [...writes, ...broken]) {
    stopIfAsked(context.signal, "Stopped on request.");
    await writeFileAtomically(joinPath(out, path), parts());
  }
}

/** Files of other originals go, with the copies of originals that are there no more; figures on other samples are forgotten. */
async function dropOutdated(run: FolderRun): Promise<void> {
  const { modules, records, options } = run;
  let isOutdated = false;
  for (const [file, record] of records) {
    const module = modules.find(({ base }) => record.source === `onnx/${base}.onnx`);
    if (module === undefined) await remove(run, record.source);
    if (module?.hash !== record.source_hash) await remove(run, file);
    else if (record.judged_by !== options.judgedBy) {
      const { together: _, nearness: __, loader: ___, judgedOn: ____, ...rest } = record;
      records.set(file, { ...rest, measured: "" });
    } else continue;
    isOutdated = true;
  }
  if (isOutdated) await writeRecorded(run, []);
}

/** Why a folder is none that transformers.js loads. */
async function noModels(folder: string, names: readonly string[]): Promise<PithError> {
  const variants = names.filter((name) => name.endsWith(".onnx"));
  if (variants.length > 0)
    return new PithError("E_FILE", `"${folder}" has only variants (${variants.join(", ")}): the original is missing.`, {
      hint: "It belongs beside them, in float32, as onnx/model.onnx.",
    });
  const top = await listFolder(folder).catch((): string[] => []);
  const model = top.find((name) => name.endsWith(".onnx"));
  if (model !== undefined) {
    const text = `"${joinPath(folder, model)}" is not in a folder "onnx", where transformers.js looks for models.`;
    const isInner = fileNameOf(folder) === "onnx";
    const hint = isInner
      ? `Name the folder above: ${folderOf(folder)}.`
      : `mkdir ${joinPath(folder, "onnx")} && mv ${joinPath(folder, "*.onnx*")} ${joinPath(folder, "onnx")}`;
    return new PithError("E_FILE", text, { hint });
  }
  const [other] = top.flatMap((name) => sniff(new Uint8Array(), name) ?? []);
  return new PithError("E_FILE", `"${folder}" holds no ONNX model.`, {
    hint: other?.hint ?? "transformers.js looks for onnx/model.onnx beside config.json.",
  });
}

/** Makes one file, or finds it there, or refuses it. */
async function makeOne(run: FolderRun, { base, source, hash }: Module, dtype: DtypeName): Promise<void> {
  const { out, options, context, records, rows, sidecars, written } = run;
  const { judgedBy } = options;
  const { fileBytes = usualFileBytes, make = (variant: Variant) => makeVariant(variant, options.quantize, context) } =
    options;
  const file = fileOf(base, dtype);
  const settings = { ...options.settings, ...options.quantize, dtype, fileBytes, seed: context.seed };
  const madeFrom = await textHash(JSON.stringify([hash, sidecars, judgedBy, settings]));
  const found = records.get(file);
  if (found?.made_from === madeFrom && (await isWhole(out, file, written))) {
    // transformers.js is asked again: what it lacked may be there now.
    rows.set(file, { dtype, file, ...figuresOf(found), loader: undefined, verdict: "there" });
    return;
  }
  const authored = await authoredModel(out, file, written);
  if (authored !== undefined) {
    const stays = keptText(authored === file ? "it" : authored);
    return refuse(run, file, dtype, `${stays}. Remove it, or write to another folder.`);
  }
  // Nothing is recorded of what a process makes that is killed before it has recorded it.
  if (forget(run, file)) await writeRecorded(run, []);
  try {
    const made = await make({ source, out: joinPath(out, file), dtype, fileBytes });
    for (const [path, hashes] of await hashesOf(out, file)) written.set(path, hashes);
    const record = { dtype, source: `onnx/${base}.onnx`, source_hash: hash, made_from: madeFrom, judged_by: judgedBy };
    records.set(file, { ...record, ...made });
    rows.set(file, { dtype, file, ...made, verdict: "kept" });
  } catch (error) {
    if (!(error instanceof PithError) || ends.includes(error.code)) throw error;
    await refuse(run, file, dtype, error.message);
  }
}

/** Times a file that was not timed, or not successfully. */
async function time(run: FolderRun, { base, source }: Module, dtype: DtypeName): Promise<void> {
  const { out, options, records } = run;
  const file = fileOf(base, dtype);
  const record = records.get(file);
  if (options.time === undefined || record === undefined || record.speeds !== undefined) return;
  const { speeds = [], work } = await options.time({ source, out: joinPath(out, file) });
  if (speeds.length === 0 && work === undefined) return;
  note(run, file, { ...(speeds.length === 0 ? {} : { speeds }), work });
  await describe(run);
}

/** Whether there was a record of a file. */
function forget({ records, written }: FolderRun, file: string): boolean {
  const paths = [...written.keys()].filter((path) => isOf(file, path));
  for (const path of paths) written.delete(path);
  return records.delete(file) || paths.length > 0;
}

/** Removes a model. An author's stays, and so does what is known of it: that it is not as Pith wrote it. */
async function remove(run: FolderRun, file: string): Promise<void> {
  const { out, records, written } = run;
  if ((await authoredModel(out, file, written)) !== undefined) return void records.delete(file);
  await removeModel(out, file);
  forget(run, file);
}

async function refuse(run: FolderRun, file: string, dtype: DtypeName, reason: string): Promise<void> {
  await remove(run, file);
  run.rows.set(file, { dtype, file, verdict: "refused", reason });
}

/** Keeps what was found of a file that passes its check. */
function note(
  { records, rows }: FolderRun,
  file: string,
  found: Partial<Pick<FileFigures, "together" | "loader" | "speeds" | "work">>,
): void {
  const [row, record] = [rows.get(file), records.get(file)];
  if (row === undefined || record === undefined) return;
  rows.set(file, { ...row, ...found, ...(found.loader?.outcome === "fails" ? { verdict: "unusable" } : {}) });
  records.set(file, { ...record, ...found });
}

/** The variant of a module's files that is to be used, if it passes its check. */
function madeOf({ records }: FolderRun, base: string, dtype: DtypeName | undefined): DtypeName | undefined {
  return dtype !== undefined && records.has(fileOf(base, dtype)) ? dtype : undefined;
}

/** Refuses what transformers.js itself does not load or run: then the answer is false. */
async function runInLoader(run: FolderRun, dtypeOf: (base: string) => DtypeName | undefined): Promise<boolean> {
  const used = run.modules.map(({ base }) => [base, madeOf(run, base, dtypeOf(base)) ?? "fp32"] as const);
  if (run.check === undefined || used.every(([, dtype]) => dtype === "fp32")) return true;
  let holds = true;
  const fails = run.missing === undefined ? undefined : ({ outcome: "fails", reason: run.missing } as const);
  const found = fails ? used.map(([base]) => [base, fails] as const) : await run.check(Object.fromEntries(used));
  for (const [base, outcome] of found) {
    const dtype = madeOf(run, base, dtypeOf(base));
    if (dtype === undefined) continue;
    if ("refused" in outcome) {
      holds = false;
      await refuse(run, fileOf(base, dtype), dtype, outcome.refused);
    } else note(run, fileOf(base, dtype), { loader: outcome });
  }
  await describe(run);
  return holds;
}

/** Runs the main module's file with those of the others, and refuses it if they do not hold: then the answer is false. */
async function holdTogether(
  run: FolderRun,
  row: FolderFile,
  dtypeOf: (base: string) => DtypeName | undefined,
): Promise<boolean> {
  const { folder, out, modules, options, context } = run;
  const { texts } = options;
  const ofTexts =
    options.together ?? (texts && ((found: readonly ModulePaths[]) => textsTogether(folder, found, texts, context)));
  if (ofTexts === undefined) return true;
  const together = await ofTexts(
    modules.map(({ base, source }) => {
      const dtype = madeOf(run, base, dtypeOf(base));
      return { base, original: source, result: dtype === undefined ? source : joinPath(out, fileOf(base, dtype)) };
    }),
  );
  const lost = lostEndToEnd(together);
  if (lost === undefined) note(run, row.file, { together });
  else await refuse(run, row.file, row.dtype, lost);
  await describe(run);
  return lost === undefined;
}

/** Leaves of each module only the best file that passes its check; files of unlike dtypes have to hold together. */
async function keepBest(run: FolderRun): Promise<void> {
  const { modules, main, asked, rows } = run;
  const bestOf = (base: string): FolderFile | undefined => {
    const sound = asked
      .flatMap((dtype) => rows.get(fileOf(base, dtype)) ?? [])
      .filter(({ verdict }) => verdict !== "refused");
    const choice = choose(
      sound.map(({ bytes, work }) => ({ bytes, sound: true, work })),
      false,
    );
    return sound[choice?.place ?? -1];
  };
  for (;;) {
    const best = new Map(modules.map(({ base }) => [base, bestOf(base)]));
    const row = best.get(main);
    const isMixed = new Set(Array.from(best.values(), (one) => one?.dtype)).size > 1;
    // Those of one dtype were tried together when they were made.
    const dtypeOf = (base: string) => best.get(base)?.dtype;
    if (row !== undefined && isMixed && !((await runInLoader(run, dtypeOf)) && (await holdTogether(run, row, dtypeOf))))
      continue;
    const kept = new Set(Array.from(best.values(), (one) => one?.file));
    for (const row of rows.values()) {
      if (row.verdict === "refused" || kept.has(row.file)) continue;
      await remove(run, row.file);
      rows.set(row.file, { ...row, verdict: "passed over" });
    }
    return describe(run);
  }
}
