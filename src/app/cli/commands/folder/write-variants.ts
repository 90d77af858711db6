/** Runs `pith quantize` or `pith compress` on a folder in the layout of transformers.js. */
import { readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { counted, joinList, optionError, PithError, usageError } from "#ir";
import { temporaryFolder } from "#platform";
import { fileHash, textHash } from "../../../../core/files/hash.ts";
import { version } from "../../../../core/version.ts";
import { readTexts, type Texts } from "../../../../data/sources/texts.ts";
import { openTokenizer } from "../../../../data/text/tokenizer.ts";
import { targetsOf } from "../../../../runtime/run/run-target.ts";
import { maxTimedBytes } from "../../../../runtime/run/size-limits.ts";
import { defaultDtypes } from "../../../../techniques/quantize/dtypes.ts";
import { calibrationNeed, withoutLowEntropy } from "../../../../techniques/quantize/options.ts";
import { isLowEntropy } from "../../../../techniques/quantize/settings.ts";
import { bytesOfModels } from "../../../folder/description-files.ts";
import type { EndToEnd, ModulePaths } from "../../../folder/end-to-end.ts";
import { basesIn, mainOf } from "../../../folder/file-names.ts";
import { type FolderJobs, type FolderOptions, type FolderVariant, fileOf } from "../../../folder/folder-run.ts";
import { quantizeFolder } from "../../../folder/quantize-folder.ts";
import { type FileFigures, readFolderRecord } from "../../../folder/records.ts";
import type { SpeechOptions } from "../../../folder/speech.ts";
import type { Result, Session } from "../../command.ts";
import { isFolder } from "../../files/file-paths.ts";
import { requireOutside } from "../../files/result-path.ts";
import { requireWritableFolder } from "../../files/writable.ts";
import { type DataFlags, type DataRequest, dataRequestOf } from "../../flags/data.ts";
import { parseSettings } from "../../flags/named-values.ts";
import type endToEndJob from "../../jobs/end-to-end.ts";
import type folderCheckJob from "../../jobs/folder-check.ts";
import type { PassInput } from "../../jobs/pass.ts";
import type precompressJob from "../../jobs/precompress.ts";
import { resultOfFolder } from "../../print/folder-result.ts";
import type { StepFlagValues } from "../pass.ts";
import { openLoader } from "./loader.ts";
import { captureInputs, createModuleSearch, type FolderSearch } from "./search.ts";
import { createSpeechJudge, openFolderSpeech } from "./speech.ts";
import { createTimer } from "./timer.ts";
import { createVariantWriter } from "./variant.ts";

/** Minimum number of texts for a search. */
const minTexts = 16;

type EvaluationFlags = "output" | "maxDrop" | "targetDownload" | "strict" | "force" | "fallback" | "precompress";

interface FolderArguments
  extends DataFlags,
    Pick<StepFlagValues, "metric">,
    Partial<Pick<StepFlagValues, EvaluationFlags>> {
  readonly out: string;
  readonly isText?: boolean | undefined;
  readonly search?: FolderSearch | undefined;
}

type DtypeChoice = Pick<FolderOptions, "dtypes" | "fileBytes" | "keepSmallest" | "purpose">;

export async function writeVariants(
  folder: string,
  options: FolderArguments,
  choice: DtypeChoice,
  passOptions: Readonly<Record<string, unknown>>,
  session: Session,
): Promise<Result> {
  const { out, metric, output, maxDrop, strict = false, force = false, fallback, isText = false, search } = options;
  const { keepSmallest } = choice;
  const { seed, signal, terminal } = session;
  const opened = await openFolder(folder, options, choice, passOptions, session);
  const { bases, dtypeNames, otherDtypes, data, judgedData, speech, settings, targets, texts, searchesTexts } = opened;
  const temporary = await temporaryFolder();
  const textFileOf = (source: string): string => join(temporary.path, `${basename(source)}.text`);
  let expected: SpeechOptions["expected"];
  // The files that compress chooses are compared together, so a file alone can have a loss that is not significant.
  const goal = { maxDrop, strict };
  const fileGoal = keepSmallest === true ? { maxDrop, strict: false, isTentative: true } : goal;
  const compareModules = async (modules: readonly ModulePaths[], goal: SpeechOptions["goal"]): Promise<EndToEnd> => {
    const input = { folder, modules, data, isText, seed, speech: speech && { goal, expected } };
    const name = `try ${modules.map(({ result }) => basename(result)).join(", ")}`;
    const output = await session.runJob<typeof endToEndJob>("end-to-end", input, name);
    expected = output.expected;
    return output.endToEnd;
  };
  const judgeSpeech =
    speech &&
    createSpeechJudge(folder, bases, { data, goal: fileGoal, seed }, (modules) => compareModules(modules, fileGoal));
  const inputsOf = opened.needsInputs
    ? captureInputs({ folder, bases, texts, out: temporary.path }, session)
    : undefined;
  // Samples of a model that does not run alone are its inputs while all models continue the texts.
  const samplesOf = async (source: string): Promise<Pick<PassInput, "data"> | undefined> =>
    data && inputsOf && { data: { ...data, ...(await inputsOf(basename(source, ".onnx"))) } };
  const writeVariant = createVariantWriter(
    { otherDtypes, samplesOf, settings, speech: judgeSpeech, textFileOf },
    session,
  );
  const fileCount = dtypeNames.length * bases.length;
  const make = (variant: FolderVariant): Promise<FileFigures> => {
    const base = basename(variant.source, ".onnx");
    const number = dtypeNames.indexOf(variant.dtype) * bases.length + bases.indexOf(base) + 1;
    const title = bases.length === 1 ? variant.dtype : `${variant.dtype} of ${base}`;
    terminal.currentItem = `${title} (${number} of ${fileCount})`;
    return writeVariant(variant);
  };
  const originalBytes = await bytesOfModels(folder, bases);
  const allBytes = [...originalBytes.values()].reduce((sum, size) => sum + size, 0);
  const timedTargets = targets.length === 0 ? (["node"] as const) : targets;
  const set = parseSettings(options.set ?? []);
  const together = mainOf(bases).isAlone ? undefined : { folder, bases, texts };
  const evaluation = { metric, output: together === undefined ? output : undefined, goal, targets };
  const jobs: FolderJobs = {
    make,
    makesTogether: speech !== undefined,
    compress: (files, encodings) =>
      session.runJob<typeof precompressJob>("precompress", { files, encodings }, `compress ${files.join(", ")}`),
    loader: force ? undefined : await openLoader(folder, out, { texts, data }, allBytes, session),
    time: allBytes <= maxTimedBytes ? createTimer(timedTargets, set, fileCount, textFileOf, session) : undefined,
    search:
      search === undefined || data === undefined || !searchesTexts
        ? undefined
        : createModuleSearch(search, { ...evaluation, data }, together, bases.length, session),
    compareEndToEnd:
      data === undefined && speech === undefined ? undefined : (modules) => compareModules(modules, goal),
  };
  const work = quantizeFolder(
    folder,
    {
      ...choice,
      ...jobs,
      out,
      precompress: options.precompress,
      madeWith: `pith ${session.commandLine[0]}`,
      settings: { ...settings, maxDrop, fallback, data: judgedData && { ...judgedData, path: undefined }, version },
      judgedBy: data && (await identityOf(data.path)),
      // These texts only serve the precision fallback.
      texts: force || fallback === false ? undefined : texts,
    },
    { seed, signal, log: ({ id, text, level }) => terminal.note(id, text, level) },
  );
  const files = await work
    .finally(() => temporary.remove())
    .catch(async (error: unknown) => {
      const all = dtypeNames.flatMap((dtype) => bases.map((base) => fileOf(base, dtype)));
      throw await describeStoppedFolder(error, out, all);
    });
  terminal.currentItem = "";
  return resultOfFolder(out, files, originalBytes, keepSmallest === true);
}

/** Opens the models, samples and texts of a folder, and checks the options. */
async function openFolder(
  folder: string,
  options: FolderArguments,
  { dtypes, keepSmallest, purpose }: DtypeChoice,
  passOptions: Readonly<Record<string, unknown>>,
  session: Session,
) {
  const { out, metric, output, maxDrop, targetDownload, strict = false, force = false, isText = false } = options;
  const { terminal, seed } = session;
  const data = dataRequestOf(options);
  await requireOutside(folder, out);
  await requireWritableFolder(out, ["config.json"]);
  const bases = basesIn(await readdir(join(folder, "onnx")).catch((): string[] => []));
  const { isAlone } = mainOf(bases);
  const dtypeNames = dtypes === "all" ? defaultDtypes : dtypes;
  const hasLowEntropy = isLowEntropy(passOptions);
  const otherDtypes = withoutLowEntropy(dtypeNames, passOptions);
  // Data compares a model that runs alone. Models that run jointly are compared end to end, on texts or sounds.
  const samples = isAlone && (!isText || hasLowEntropy) ? data : undefined;
  const speech = await openFolderSpeech(folder, bases, data !== undefined, session);
  const judgedData = samples ?? (speech && data);
  requireFolderArguments(options, { passOptions, bases, hasLowEntropy, data, samples: judgedData });
  const targets = targetsOf(passOptions.target);
  // A folder without models is rejected later (`findOriginals`).
  if (bases.length > 0) {
    const input = { folder, bases, data, isText, targets, seed };
    await session.runJob<typeof folderCheckJob>("folder-check", input, `open ${folder}`);
  }
  if (keepSmallest === true && judgedData === undefined)
    terminal.note(
      "goal",
      "without --data there is no accuracy goal: only files that differ strongly from the original or lose most tokens are rejected",
      "warning",
    );
  const { texts, column }: Texts =
    data === undefined || (await openTokenizer(folder)) === undefined ? { texts: [] } : await readTexts(data.path);
  if (otherDtypes.length > 0)
    terminal.note(
      "rounder",
      `--rounder ${passOptions.rounder} is for 8 bits: ${otherDtypes.join(", ")} keep their own method`,
    );
  if (column !== undefined && samples === undefined)
    terminal.note("texts", `texts: column "${column}" of ${data?.path}; no labels are needed`);
  const searchesTexts = (texts.length === 0 && samples !== undefined) || texts.length >= minTexts;
  if (options.search !== undefined && !searchesTexts)
    terminal.note(
      "search",
      speech !== undefined
        ? "speech: the dtypes of each model are tried, not the other techniques"
        : `${counted(texts.length, "text")}: only the dtypes are tried. ${minTexts} or more texts allow a search over all techniques`,
    );
  const settings = {
    options: passOptions,
    data: samples,
    metric,
    output,
    strict,
    force,
    dryRun: false,
    ...(purpose === "download" ? { forDownload: true } : {}),
    targetDownload,
    maxDrop: speech === undefined ? maxDrop : undefined,
    fallback: options.fallback !== false,
  };
  const needsInputs = hasLowEntropy && !isAlone;
  return {
    bases,
    dtypeNames,
    otherDtypes,
    data,
    judgedData,
    speech,
    settings,
    targets,
    texts,
    searchesTexts,
    needsInputs,
  };
}

interface ArgumentContext {
  readonly passOptions: Readonly<Record<string, unknown>>;
  readonly bases: readonly string[];
  /** Whether a rounding method lowers the entropy of the quantized values. */
  readonly hasLowEntropy: boolean;
  readonly data: DataRequest | undefined;
  /** Samples of a model that runs alone, or of speech. */
  readonly samples: DataRequest | undefined;
}

/** @throws PithError E_OPTION if data is missing, E_USAGE if the folder's models cannot use these options. */
function requireFolderArguments(
  { targetDownload, maxDrop }: Pick<FolderArguments, "targetDownload" | "maxDrop">,
  { passOptions, bases, hasLowEntropy, data, samples }: ArgumentContext,
): void {
  if (hasLowEntropy && data === undefined)
    throw optionError(`quantize needs --data here: ${calibrationNeed.when(passOptions)}.`, {
      hint: "Texts or other samples, without labels; or texts with --text.",
    });
  if (targetDownload !== undefined && bases.length > 1)
    throw usageError(`--target-download is for one file, and the folder has ${joinList(bases)}.`, {
      hint: "Set --distortion for all, or remove the models that are not needed from a copy of the folder.",
    });
  if (maxDrop !== undefined && samples === undefined)
    throw usageError("--max-drop needs --data, with samples of a model that runs alone, or with WAV files of speech.", {
      hint: "Text generators are rejected if fewer than half of the tokens equal the original's.",
    });
}

/** Identifies samples by a hash of a file, or of the names, sizes and times in a folder. */
async function identityOf(path: string): Promise<string> {
  if (!(await isFolder(path))) return fileHash(path).catch(() => path);
  const names = (await readdir(path, { recursive: true })).toSorted();
  const files = await Promise.all(names.map(async (name) => [name, await stat(join(path, name))] as const));
  return textHash(JSON.stringify(files.map(([name, { size, mtimeMs }]) => [name, size, mtimeMs])));
}

/** Adds the missing files to the error of a stopped command. */
async function describeStoppedFolder(error: unknown, out: string, files: readonly string[]): Promise<unknown> {
  if (!(error instanceof PithError) || error.code !== "E_STOPPED") return error;
  const { files: records } = await readFolderRecord(out);
  const missingFiles = files.flatMap((file) => {
    if (records[file] === undefined) return `${basename(file)} (not made)`;
    const isUnchecked = records[file].loader?.outcome === "not checked";
    return isUnchecked ? `${basename(file)} (not checked in transformers.js)` : [];
  });
  const remaining = missingFiles.length === 0 ? "" : ` What remains: ${missingFiles.join(", ")}.`;
  const text = `Stopped. Finished files are kept in "${out}"; the same command continues.${remaining}`;
  return new PithError("E_STOPPED", text, { cause: error });
}
