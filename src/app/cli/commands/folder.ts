/** Runs `pith quantize` or `pith compress` on a folder in the layout of transformers.js: writes and checks variants of each model in onnx/. */
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import * as v from "valibot";
import { asPithError, joinList, Miss, open, PithError } from "#ir";
import { realPath, temporaryFolder } from "#platform";
import { root } from "#root";
import { fileHash, textHash } from "../../../core/files/hash.ts";
import { counted } from "../../../core/numbers.ts";
import { version } from "../../../core/version.ts";
import { type Texts, textsIn } from "../../../data/sources/texts.ts";
import { hasSounds } from "../../../data/sources/utterances.ts";
import { openTokenizer, readSettings } from "../../../data/text/tokenizer.ts";
import type { Settings } from "../../../judge/task/contents.ts";
import { largeBytes, maxTimedBytes } from "../../../runtime/run/large-weights.ts";
import { workOf } from "../../../runtime/run/latency.ts";
import { type TargetName, targetNames } from "../../../runtime/run/run-target.ts";
import { defaultDtypes } from "../../../techniques/quantize/dtypes.ts";
import { calibrationNeed, withoutLowEntropy } from "../../../techniques/quantize/options.ts";
import { isLowEntropy } from "../../../techniques/quantize/settings.ts";
import { noVariantText } from "../../folder/card.ts";
import { bytesOfModels } from "../../folder/describe.ts";
import type { EndToEnd, ModulePaths } from "../../folder/end-to-end.ts";
import { basesIn, dataFileCounts, mainOf } from "../../folder/layout.ts";
import type { Loader } from "../../folder/loader.ts";
import { quantizeFolder } from "../../folder/quantize-folder.ts";
import type { FileFigures } from "../../folder/records.ts";
import { readFolderRecord } from "../../folder/records.ts";
import type { FolderFile, FolderOptions, Variant } from "../../folder/run.ts";
import { fileOf } from "../../folder/run.ts";
import { openSpeech, type Speech, type SpeechOptions } from "../../folder/speech.ts";
import { folderTable } from "../../folder/table.ts";
import { defaultTexts, type Together } from "../../folder/text-search.ts";
import type { Result, Session } from "../command.ts";
import { isFolder } from "../files/files.ts";
import { requireOutside } from "../files/result-place.ts";
import { requireWritableFolder } from "../files/writable.ts";
import { type DataFlags, type DataRequest, dataRequest } from "../flags/data.ts";
import { parseSettings } from "../flags/set.ts";
import type { PassInput } from "../job-parts/pass-output.ts";
import { resolvePackage } from "../job-parts/resolve-package.ts";
import type benchJob from "../jobs/bench.ts";
import type endToEndJob from "../jobs/end-to-end.ts";
import type { EndToEndOutput } from "../jobs/end-to-end.ts";
import type folderCheckJob from "../jobs/folder-check.ts";
import type loaderJob from "../jobs/loader.ts";
import type precompressJob from "../jobs/precompress.ts";
import { captureInputs, type FolderSearch, searcherOf } from "./folder-search.ts";
import { variantWriter } from "./folder-variant.ts";
import type { StepOptions } from "./pass.ts";

/** Minimum number of texts for a search. */
const minTexts = 16;

type JudgingFlags = "output" | "maxDrop" | "targetDownload" | "strict" | "force" | "fallback" | "precompress";

interface FolderArguments extends DataFlags, Pick<StepOptions, "metric">, Partial<Pick<StepOptions, JudgingFlags>> {
  readonly out: string;
  readonly isText?: boolean | undefined;
  readonly search?: FolderSearch | undefined;
}

export async function writeVariants(
  folder: string,
  options: FolderArguments,
  {
    dtypes,
    fileBytes,
    keepSmallest,
    purpose,
  }: Pick<FolderOptions, "dtypes" | "fileBytes" | "keepSmallest" | "purpose">,
  passed: Readonly<Record<string, unknown>>,
  session: Session,
): Promise<Result> {
  const { out, metric, output, maxDrop, strict = false, force = false, fallback, isText = false, search } = options;
  const data = dataRequest(options);
  await requireOutside(folder, out);
  await requireWritableFolder(out, ["config.json"]);
  // Samples are for a model that runs alone. Models that only run jointly are each compared on random inputs, and jointly on the texts.
  const names = await readdir(join(folder, "onnx")).catch((): string[] => []);
  const bases = basesIn(names);
  const { isAlone } = mainOf(bases);
  const dtypeNames = dtypes === "all" ? defaultDtypes : dtypes;
  const hasLowEntropy = isLowEntropy(passed);
  const otherDtypes = withoutLowEntropy(dtypeNames, passed);
  // A rounding method that lowers the entropy needs samples, even if the model is only compared on texts.
  const samples = isAlone && (!isText || hasLowEntropy) ? data : undefined;
  const speech = await openFolderSpeech(folder, bases, data !== undefined, session);
  const { targetDownload } = options;
  const judgedData = samples ?? (speech && data);
  requireFolderArguments({ targetDownload, maxDrop, passed }, { bases, hasLowEntropy, data, samples: judgedData });
  const settings = {
    ...{ options: passed, data: samples, metric, output, strict, force, dryRun: false },
    ...{ targetDownload, maxDrop: speech === undefined ? maxDrop : undefined },
  };
  const targets = v.is(v.array(v.picklist(targetNames)), passed.target) ? passed.target : [];
  // A folder without models is rejected below with a list of its contents.
  if (bases.length > 0)
    await session.job<typeof folderCheckJob>(
      "folder-check",
      { folder, bases, data, isText, targets, seed: session.seed },
      `open ${folder}`,
    );
  if (keepSmallest === true && judgedData === undefined)
    session.terminal.note(
      "goal",
      "without --data there is no accuracy goal: only files that differ strongly from the original or lose most tokens are rejected",
      "warning",
    );
  const set = parseSettings(options.set ?? []);
  // Without a tokenizer, a table contains values of inputs instead of texts.
  const { texts, column }: Texts =
    data === undefined || (await openTokenizer(folder)) === undefined ? { texts: [] } : await textsIn(data.path);
  const temporary = await temporaryFolder();
  const textFileOf = (source: string): string => join(temporary.path, `${basename(source)}.text`);
  const inputsOf =
    hasLowEntropy && !isAlone ? captureInputs({ folder, bases, texts, out: temporary.path }, session) : undefined;
  // Samples of a model that does not run alone are its inputs while all models continue the texts.
  const samplesOf = async (source: string): Promise<Pick<PassInput, "data"> | undefined> =>
    data && inputsOf && { data: { ...data, ...(await inputsOf(basename(source, ".onnx"))) } };
  if (otherDtypes.length > 0)
    session.terminal.note(
      "rounder",
      `--rounder ${passed.rounder} is for 8 bits: ${otherDtypes.join(", ")} keep their own method`,
    );
  let expected: EndToEndOutput["expected"];
  // The files that compress chooses are compared together, so a file alone can have a loss that may be chance.
  const goal = { maxDrop, strict };
  const fileGoal = keepSmallest === true ? { maxDrop, strict: false, isTentative: true } : goal;
  const compareModules = async (modules: readonly ModulePaths[], goal: SpeechOptions["goal"]): Promise<EndToEnd> => {
    const input = { folder, modules, data, isText, seed: session.seed, speech: speech && { goal, expected } };
    const name = `try ${modules.map(({ result }) => basename(result)).join(", ")}`;
    const output = await session.job<typeof endToEndJob>("end-to-end", input, name);
    expected = output.expected;
    return output.endToEnd;
  };
  const speechJudge = speech && {
    judgedOn: ({ answers, undecided }: EndToEnd) => [
      data === undefined
        ? "Compared on noise with the spectrum of speech, which is weak evidence: WAV files of speech (--data) show what is lost."
        : `Compared on ${counted(answers?.samples ?? 0, "word")} of ${data.path}, with the originals of the other models.`,
      ...(undecided === undefined ? [] : [undecided]),
    ],
    compare: (modules: readonly ModulePaths[]) => compareModules(modules, fileGoal),
    together({ source, out: result }: Pick<Variant, "source" | "out">): Together {
      const changedBase = basename(source, ".onnx");
      const modules = bases.map((base) => {
        const original = join(folder, "onnx", `${base}.onnx`);
        return { base, original, result: base === changedBase ? result : original };
      });
      return { folder, base: changedBase, modules, texts: [], speech: { data, goal: fileGoal, seed: session.seed } };
    },
  };
  const writeVariant = variantWriter(
    { passed, otherDtypes, samplesOf, fallback, settings, speech: speechJudge, textFileOf },
    session,
  );
  const make = (variant: Variant): Promise<FileFigures> => {
    const base = basename(variant.source, ".onnx");
    const number = dtypeNames.indexOf(variant.dtype) * bases.length + bases.indexOf(base) + 1;
    const title = bases.length === 1 ? variant.dtype : `${variant.dtype} of ${base}`;
    session.terminal.part = `${title} (${number} of ${dtypeNames.length * bases.length})`;
    return writeVariant(variant);
  };
  if (column !== undefined && samples === undefined)
    session.terminal.note("texts", `texts: column "${column}" of ${data?.path}; no labels are needed`);
  const hasFewTexts = (texts.length > 0 || samples === undefined) && texts.length < minTexts;
  if (search !== undefined && hasFewTexts)
    session.terminal.note(
      "search",
      speech !== undefined
        ? "speech: the dtypes of each model are tried, not the other techniques"
        : `${counted(texts.length, "text")}: only the dtypes are tried. ${minTexts} or more texts allow a search over all techniques`,
    );
  const originals = await bytesOfModels(folder, bases);
  const allBytes = [...originals.values()].reduce((sum, size) => sum + size, 0);
  const loader = force ? undefined : await openLoader(folder, out, { texts, data }, allBytes, session);
  const isTimed = allBytes <= maxTimedBytes;
  const timedSeconds = Math.min(maxSeconds, maxTotalSeconds / (dtypeNames.length * bases.length));
  const work = quantizeFolder(
    folder,
    {
      dtypes,
      out,
      fileBytes,
      keepSmallest,
      purpose,
      make,
      precompress: options.precompress,
      compress: (files, encodings) =>
        session.job<typeof precompressJob>("precompress", { files, encodings }, `compress ${files.join(", ")}`),
      loader,
      madeWith: `pith ${session.line[0]}`,
      time: isTimed
        ? createTimer(targets.length === 0 ? ["node"] : targets, set, timedSeconds, textFileOf, session)
        : undefined,
      settings: { ...settings, maxDrop, fallback, data: judgedData && { ...judgedData, path: undefined }, version },
      judgedBy: data && (await identityOf(data.path)),
      // These texts only serve to repair files with layers at higher precision, so without this fallback there are none.
      texts: force || fallback === false ? undefined : texts,
      search:
        search === undefined || data === undefined || hasFewTexts
          ? undefined
          : searcherOf(
              search,
              {
                ...{ data, metric, output, maxDrop, strict, targets, purpose },
                together: mainOf(bases).isAlone ? undefined : { folder, bases, texts },
              },
              bases.length,
              session,
            ),
      together: data === undefined && speech === undefined ? undefined : (modules) => compareModules(modules, goal),
      makesTogether: speech !== undefined,
    },
    {
      seed: session.seed,
      signal: session.signal,
      log: ({ id, text, level }) => session.terminal.note(id, text, level),
    },
  );
  const files = await work
    .finally(() => temporary.remove())
    .catch(async (error: unknown) => {
      throw await describeStop(
        error,
        out,
        dtypeNames.flatMap((dtype) => bases.map((base) => fileOf(base, dtype))),
      );
    });
  session.terminal.part = "";
  return folderResult(out, files, originals, keepSmallest === true);
}

/** Returns the speech model of a folder. A folder whose speech cannot be transcribed is compared on random inputs, with a warning. */
async function openFolderSpeech(
  folder: string,
  bases: readonly string[],
  hasData: boolean,
  { terminal }: Session,
): Promise<Speech | undefined> {
  if (!bases.includes("encoder_model")) return undefined;
  const speech = await openSpeech(folder, await open(join(folder, "onnx", "encoder_model.onnx")));
  if (!(speech instanceof Miss)) return speech;
  const text = `"${folder}" cannot transcribe: ${speech.reason}`;
  if (hasData)
    throw new PithError("E_UNSUPPORTED", `${text}.`, { hint: "Without --data, Pith compares on random inputs." });
  terminal.note("speech", text, "warning");
  return undefined;
}

interface ArgumentContext {
  readonly bases: readonly string[];
  /** Whether a rounding method lowers the entropy of the quantized values. It needs samples. */
  readonly hasLowEntropy: boolean;
  readonly data: DataRequest | undefined;
  /** Samples of a model that runs alone, or of speech. */
  readonly samples: DataRequest | undefined;
}

/** @throws PithError E_USAGE if the folder's models cannot use these options. */
function requireFolderArguments(
  {
    targetDownload,
    maxDrop,
    passed,
  }: Pick<FolderArguments, "targetDownload" | "maxDrop"> & { readonly passed: Readonly<Record<string, unknown>> },
  { bases, hasLowEntropy, data, samples }: ArgumentContext,
): void {
  if (hasLowEntropy && data === undefined)
    throw new PithError("E_USAGE", `quantize needs --data here: ${calibrationNeed.when(passed)}.`, {
      hint: "Texts or other samples, without labels; or texts with --text.",
    });
  if (targetDownload !== undefined && bases.length > 1)
    throw new PithError("E_USAGE", `--target-download is for one file, and the folder has ${joinList(bases)}.`, {
      hint: "Set --distortion for all, or remove the models that are not needed from a copy of the folder.",
    });
  if (maxDrop !== undefined && samples === undefined)
    throw new PithError(
      "E_USAGE",
      "--max-drop needs --data, with samples of a model that runs alone, or with WAV files of speech.",
      { hint: "Text generators are rejected if fewer than half of the tokens equal the original's." },
    );
}

/** Identifies samples by the hash of a file, or by the names, sizes and times in a folder. */
async function identityOf(path: string): Promise<string> {
  if (!(await isFolder(path))) return fileHash(path).catch(() => path);
  const names = (await readdir(path, { recursive: true })).toSorted();
  const files = await Promise.all(names.map(async (name) => [name, await stat(join(path, name))] as const));
  return textHash(JSON.stringify(files.map(([name, { size, mtimeMs }]) => [name, size, mtimeMs])));
}

/** Adds the missing files to the error of a stopped command. Returns other errors unchanged. @param files all files that the command writes. */
async function describeStop(error: unknown, out: string, files: readonly string[]): Promise<unknown> {
  if (!(error instanceof PithError) || error.code !== "E_STOPPED") return error;
  const { files: records } = await readFolderRecord(out);
  const missingReason = (file: string): string | undefined => {
    const record = records[file];
    if (record === undefined) return "not made";
    return record.loader?.outcome === "not checked" ? "not checked in transformers.js" : undefined;
  };
  const missingFiles = files.flatMap((file) => {
    const lack = missingReason(file);
    return lack === undefined ? [] : [`${basename(file)} (${lack})`];
  });
  const remaining = missingFiles.length === 0 ? "" : ` What remains: ${missingFiles.join(", ")}.`;
  const text = `Stopped. Finished files are kept in "${out}"; the same command continues.${remaining}`;
  return new PithError("E_STOPPED", text, { cause: error });
}

/** Returns the result of a command on a folder. @param isChoice whether only one file per model is kept. */
function folderResult(
  out: string,
  files: readonly FolderFile[],
  originals: ReadonlyMap<string, number>,
  isChoice: boolean,
): Result {
  const isKept = ({ verdict }: FolderFile): boolean => verdict === "kept" || verdict === "there";
  const isMade = (row: FolderFile): boolean => isKept(row) || row.verdict === "unusable";
  return {
    data: { out, files },
    goalMissed: !(isChoice ? files.some(isKept) : files.every(isKept)),
    print(terminal) {
      const { rows, columns, notes } = folderTable(files, originals);
      const markText = (row: FolderFile): string =>
        isChoice && isKept(row) ? "← kept" : row.verdict === "there" ? "kept from the previous run" : row.verdict;
      terminal.table(
        [...columns, { title: "outcome" }],
        rows.map((row) => [
          ...columns.map(({ title, text }) => (title === "file" ? basename(row.file, ".onnx") : text(row))),
          "verdict" in row ? markText(row) : "original",
        ]),
      );
      for (const note of notes) terminal.line(note);
      for (const { file, verdict, reason = "" } of files)
        if (verdict === "rejected") terminal.line(`rejected: ${basename(file)}: ${reason}`);
      if (!files.some(isMade)) terminal.line(noVariantText);
      terminal.line(`written: ${terminal.color.bold(out)}`);
      if (files.some(isKept)) terminal.line(`next: ${join(out, "README.md")} has a program that loads the folder`);
    },
  };
}

type TargetSpeed = NonNullable<FileFigures["speeds"]>[number];

/** Rounds of timing, and the maximum seconds of one file and of all. */
const [rounds, maxSeconds, maxTotalSeconds] = [15, 20, 30];

/** Returns a function that times a file and its original on each target, as `bench` does. If this fails, the function logs a warning. */
function createTimer(
  targets: readonly TargetName[],
  set: Settings,
  seconds: number,
  textFileOf: (source: string) => string,
  session: Session,
): NonNullable<FolderOptions["time"]> {
  const unsupported = new Set<TargetName>();
  return async ({ source, out }) => {
    const speeds: TargetSpeed[] = [];
    let work: number | undefined;
    for (const target of targets.filter((name) => !unsupported.has(name))) {
      const warn = (text: string): void => session.terminal.note("timing", `${basename(out)}: ${text}`, "warning");
      try {
        const { speed, work: relativeWork } = await measureSpeed(
          [source, out],
          target,
          { set, rounds, seconds, textFile: textFileOf(source) },
          session,
        );
        if (target === targets[0]) work = relativeWork;
        if (speed instanceof Miss) warn(`speed on ${target} was not measured: ${speed.reason}`);
        else speeds.push(speed);
      } catch (error) {
        const { code, message } = asPithError(error);
        warn(message);
        // This target cannot time any file, so it is not tried again.
        if (code === "E_UNSUPPORTED") unsupported.add(target);
      }
    }
    return { speeds, work };
  };
}

/**
 * Times a file relative to its original. @returns also the processor time of a run relative to the original (`work`); undefined if the system does
 * not tell processor times. @throws PithError E_UNSUPPORTED if the target cannot time models; errors of loading and running.
 */
async function measureSpeed(
  models: readonly [original: string, file: string],
  target: TargetName,
  timing: Pick<Parameters<typeof benchJob>[0], "set" | "rounds" | "seconds" | "textFile">,
  { seed, job }: Session,
): Promise<{ readonly speed: TargetSpeed | Miss; readonly work: number | undefined }> {
  const input = { models, target, dims: [], ...timing, threads: undefined, seed, inOrder: true };
  const { latency, where } = await job<typeof benchJob>("bench", input, `time ${models[1]}`);
  const [, timed] = latency.models;
  const work = workOf(latency.models, timed);
  if (timed === undefined || latency.unsteady) return { speed: new Miss("the machine was too busy"), work };
  const { median: factor, low, high } = timed.speedup;
  return { speed: { target, where, factor, low, high, milliseconds: timed.milliseconds.median }, work };
}

const packageName = "@huggingface/transformers";
/** Maximum number of the user's texts that a check runs. */
const maxTexts = 4;

/** @param out folder of the results. @returns a Miss with the reason if transformers.js cannot load the folder. */
export async function openLoader(
  folder: string,
  out: string,
  { texts, data }: { readonly texts: readonly string[]; readonly data?: DataRequest | undefined },
  originalBytes: number,
  session: Session,
): Promise<Loader | Miss> {
  const config = await readSettings(join(folder, "config.json"));
  if (config?.model_type === undefined) return new Miss("config.json does not say which kind of model it is");
  // A model's folder can come from a stranger, so a copy in it does not run.
  const foreign = (await realPath(folder)) + sep;
  const library = [process.cwd(), fileURLToPath(root())]
    .map((from) => resolvePackage(from, packageName))
    .find((path) => path?.startsWith(foreign) === false);
  if (library === undefined) return new Miss(`it is not installed here (npm install ${packageName})`);
  // The config.json of the originals may not state the number of their external data files.
  const chunks = Object.fromEntries(dataFileCounts(await readdir(join(folder, "onnx"))));
  const sounds = data !== undefined && (await hasSounds(data.path)) ? data.path : undefined;
  const { version } = JSON.parse(await readFile(join(dirname(library), "..", "package.json"), "utf8"));
  return {
    version,
    judges: texts.length > 0 || sounds !== undefined,
    compares: originalBytes <= maxTimedBytes,
    async ask(dtypes, forced) {
      const areOriginals = Object.values(dtypes).every((dtype) => dtype === "fp32");
      const dtypeEntries = Object.entries(dtypes).map(
        ([base, dtype]) => [base, dtype === "searched" ? "fp32" : dtype] as const,
      );
      const filesFolder = areOriginals ? { folder, chunks } : { folder: out };
      const loadedBases = dtypeEntries.map(([base, dtype]) =>
        dtype === "fp32" ? base : basename(fileOf(base, dtype), ".onnx"),
      );
      const loadedBytes = [...(await bytesOfModels(filesFolder.folder, loadedBases)).values()];
      const isLarge = loadedBytes.reduce((sum, size) => sum + size, 0) >= largeBytes;
      const files = { ...filesFolder, dtypes: Object.fromEntries(dtypeEntries) };
      const input = { library: pathToFileURL(library).href, ...files, forced, isLarge, areOriginals };
      const lines = texts.length > 0 ? texts.slice(0, maxTexts) : defaultTexts;
      const name = `try ${[...new Set(Object.values(dtypes))].join(", ")} in transformers.js`;
      try {
        return await session.job<typeof loaderJob>("loader", { ...input, texts: lines, sounds }, name);
      } catch (error) {
        if (error instanceof PithError && error.code === "E_ENGINE") return { failed: "load", reason: error.message };
        throw error;
      }
    },
  };
}
