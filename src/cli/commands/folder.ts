/** Commands on a folder as transformers.js lays it out: its variants made by jobs, timed, tried together on texts. */
import { mkdtemp, readdir, readFile, realpath, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, isAbsolute, join, relative, resolve } from "node:path";
import * as v from "valibot";
import { moduleOf } from "#root";
import { capitalized, PithError, refusalIn } from "../../errors.ts";
import { isUnsteady } from "../../evaluate/latency.ts";
import { type TargetName, targetNames } from "../../evaluate/run-target.ts";
import {
  answersText,
  basesIn,
  batchNote,
  batchText,
  type FolderFile,
  type FolderOptions,
  fileHash,
  isVariant,
  loaderText,
  type Made,
  mainOf,
  quantizeFolder,
  speedNote,
  speedText,
  textHash,
  type Variant,
} from "../../folder/index.ts";
import type { Settings } from "../../task/index.ts";
import type { Result, Session } from "../command.ts";
import { type DataFlags, dataRequest } from "../data.ts";
import { withoutLeftovers } from "../files.ts";
import type benchJob from "../jobs/bench.ts";
import type endToEndJob from "../jobs/end-to-end.ts";
import type folderCheckJob from "../jobs/folder-check.ts";
import type passJob from "../jobs/pass.ts";
import type { PassInput } from "../jobs/pass.ts";
import { openLoader } from "../loader.ts";
import { bytes } from "../numbers.ts";
import { flag } from "../options.ts";
import { samplesLine } from "../samples.ts";
import { settings as parseSettings } from "../set.ts";
import { requireWritableFolder } from "../writable.ts";
import { measuredText } from "./pass.ts";

export const textFlag = (text: string) => v.optional(flag(v.array(v.string()), text, { value: "line" }));

interface Texts {
  readonly data?: string | undefined;
  readonly isText?: boolean | undefined;
}

/** Does the work with the lines of `--text` in a file. @throws PithError E_USAGE with `--data` as well */
export async function withTexts<O extends Texts>(
  { text, ...given }: O & { readonly text?: readonly string[] | undefined },
  work: (given: Omit<O, "text"> & Texts) => Promise<Result>,
): Promise<Result> {
  if (text === undefined) return work(given);
  if (given.data !== undefined) throw new PithError("E_USAGE", "Give one of --text and --data.");
  const [first = ""] = text;
  if (text.length === 1 && (await stat(first).catch(() => undefined))?.isFile() === true)
    return work({ ...given, data: first, isText: true });
  const folder = await mkdtemp(join(tmpdir(), "pith-text-"));
  try {
    const data = join(folder, "texts.txt");
    await writeFile(data, `${text.join("\n")}\n`);
    return await work({ ...given, data, isText: true });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true;
}

interface Given extends DataFlags, Pick<PassInput, "metric"> {
  readonly out: string;
  readonly isText?: boolean | undefined;
  readonly output?: string | undefined;
  readonly maxDrop?: number | undefined;
  readonly strict?: boolean | undefined;
  readonly force?: boolean | undefined;
}

export async function variantsOf(
  folder: string,
  given: Given,
  { dtypes, fileBytes, keepSmallest }: Pick<FolderOptions, "dtypes" | "fileBytes" | "keepSmallest">,
  passed: Readonly<Record<string, unknown>>,
  session: Session,
): Promise<Result> {
  const { out, metric, output, maxDrop, strict = false, force = false, isText = false } = given;
  const data = dataRequest(given);
  await requireOutside(folder, out);
  await requireWritableFolder(out, ["config.json"]);
  // Samples are for a model that answers alone; of several each is compared on random inputs, and all together on the texts.
  const names = await readdir(join(folder, "onnx")).catch((): string[] => []);
  const bases = basesIn(names);
  const samples = mainOf(bases).isAlone && !isText ? data : undefined;
  if (maxDrop !== undefined && samples === undefined)
    throw new PithError("E_USAGE", "--max-drop needs --data, with samples of a model that answers alone.", {
      hint: "What continues texts is refused where fewer than half of the tokens are the original's.",
    });
  const settings = { options: passed, data: samples, metric, output, maxDrop, strict, force, dryRun: false };
  const targets = v.is(v.array(v.picklist(targetNames)), passed.target) ? passed.target : [];
  const [target = "node"] = targets;
  // A folder without models is refused below, with what it holds instead.
  if (bases.length > 0)
    await session.job<typeof folderCheckJob>(
      moduleOf("cli/jobs/folder-check"),
      { folder, bases, data, isText, targets, seed: session.seed },
      `open ${folder}`,
    );
  if (keepSmallest === true && samples === undefined)
    session.terminal.note(
      "goal",
      "no goal is judged without --data: refused is only what is far from the original on random inputs, or loses most tokens of texts",
      "warning",
    );
  const set = parseSettings(given.set ?? []);
  const make = async ({ source, out: file, dtype: name, fileBytes }: Variant): Promise<Made> => {
    const input = {
      ...{ command: "quantize", model: source, out: file, fileBytes, seed: session.seed },
      ...settings,
      options: { ...passed, dtype: name },
    };
    const work = () => session.job<typeof passJob>(moduleOf("cli/jobs/pass"), input, `quantize ${source} to ${name}`);
    const result = await withoutLeftovers(file, work);
    const { after, idle, written, samples, preprocessing } = result;
    if (after === undefined || written === undefined)
      throw new PithError("E_UNSUPPORTED", `${capitalized(idle ?? "nothing changed")}.`);
    judgedOn ??= samples && [
      samplesLine(samples),
      ...(preprocessing === undefined ? [] : [`preprocessing: ${preprocessing}`]),
    ];
    return { bytes: after.bytes, brotli: after.brotli, measured: measuredText(result) };
  };
  let judgedOn: readonly string[] | undefined;
  const isLines = data?.path.endsWith(".txt") === true;
  const texts = isLines ? (await readFile(data.path, "utf8")).split("\n").filter((line) => line.trim() !== "") : [];
  const originals = names.filter((name) => !isVariant(name)).map((name) => stat(join(folder, "onnx", name)));
  const originalBytes = (await Promise.all(originals)).reduce((sum, { size }) => sum + size, 0);
  const loader = force ? undefined : await openLoader(folder, out, texts, originalBytes, session);
  const isTimed = originalBytes <= largestTimed;
  const work = quantizeFolder(
    folder,
    {
      ...{ dtypes, out, fileBytes, keepSmallest, make, loader },
      madeWith: `pith ${session.line[0]}`,
      time: isTimed ? (file) => speedOf(file.source, file.out, target, set, session) : undefined,
      settings: { ...settings, data: samples && { ...samples, path: undefined }, version: session.version },
      judgedBy: data && (await identityOf(data.path)),
      together:
        data === undefined
          ? undefined
          : (modules) =>
              session.job<typeof endToEndJob>(
                moduleOf("cli/jobs/end-to-end"),
                { folder, modules, data, isText, seed: session.seed },
                `try ${modules.map(({ result }) => basename(result)).join(", ")}`,
              ),
    },
    { seed: session.seed, signal: session.signal },
  );
  const files = await work.catch((error: unknown) => {
    throw stopped(error, out);
  });
  return show(out, files, keepSmallest === true, judgedOn ?? []);
}

/** What stands for samples: the hash of a file; of a folder the names, sizes and times of what is in it. */
async function identityOf(path: string): Promise<string> {
  if (!(await isFolder(path))) return fileHash(path).catch(() => path);
  const names = (await readdir(path, { recursive: true })).toSorted();
  const files = await Promise.all(names.map(async (name) => [name, await stat(join(path, name))] as const));
  return textHash(JSON.stringify(files.map(([name, { size, mtimeMs }]) => [name, size, mtimeMs])));
}

/** @throws PithError E_OPTION for a folder inside the one that is copied. */
async function requireOutside(folder: string, out: string): Promise<void> {
  const path = relative(await realpath(folder), resolve(out));
  if (path === "" || path.startsWith("..") || isAbsolute(path)) return;
  throw new PithError("E_OPTION", `--out: "${out}" is inside "${folder}", which is copied into it.`, {
    hint: `Write beside it, or into "${folder}" itself.`,
  });
}

/** What a run that was stopped leaves. */
function stopped(error: unknown, out: string): unknown {
  if (!(error instanceof PithError) || error.code !== "E_STOPPED") return error;
  const text = `Stopped. The files that were finished stay in "${out}"; the same command goes on from there.`;
  return new PithError("E_STOPPED", text, { cause: error });
}

/** To time a result, its original is loaded beside it: of more bytes that takes too much memory. */
const largestTimed = 2 ** 29;
const rounds = 15;

/** As `bench` times them; undefined where that is not possible, or the machine was too busy. */
async function speedOf(
  original: string,
  result: string,
  target: TargetName,
  set: Settings,
  session: Session,
): Promise<Made["speed"]> {
  const input = { models: [original, result], target, dims: [], set, rounds, threads: undefined };
  const untimed = (why: string): undefined => {
    session.terminal.note("untimed", `${basename(result)}: ${why}`, "warning");
  };
  try {
    const { latency, where } = await session.job<typeof benchJob>(
      moduleOf("cli/jobs/bench"),
      { ...input, seed: session.seed },
      `time ${result}`,
    );
    if (isUnsteady(latency.models)) return untimed("not timed, the machine was too busy");
    const [, own] = latency.models;
    return own && { factor: own.speedup.median, milliseconds: own.milliseconds.median, where };
  } catch (error) {
    return untimed(refusalIn(error).message);
  }
}

function show(out: string, files: readonly FolderFile[], isChoice: boolean, judgedOn: readonly string[]): Result {
  const timed = files.some(({ speed }) => speed !== undefined);
  const isKept = ({ verdict }: FolderFile): boolean => verdict === "kept" || verdict === "there";
  return {
    data: { out, files },
    goalMissed: isChoice ? !files.some(isKept) : files.some(({ verdict }) => verdict === "refused"),
    print(terminal) {
      const tried = files.some(({ together }) => answersText(together) !== "");
      const batched = files.some(({ together }) => together?.batch !== undefined);
      const loaded = files.some(({ loader }) => loader !== undefined && loader.outcome !== "not tried");
      terminal.table(
        [
          { title: "dtype" },
          { title: "file" },
          { title: "bytes", align: "right" },
          { title: "brotli", align: "right" },
          ...(timed ? [{ title: "speed" }] : []),
          { title: "beside the original" },
          ...(tried ? [{ title: "on texts, as the original" }] : []),
          ...(batched ? [{ title: "alone = in batch" }] : []),
          ...(loaded ? [{ title: "in transformers.js" }] : []),
          { title: "" },
        ],
        files.map((row) => {
          const { dtype, file, bytes: weight, brotli, measured = "", together, verdict, reason } = row;
          return [
            dtype,
            file,
            weight === undefined ? "" : bytes(weight),
            brotli === undefined ? "" : bytes(brotli),
            ...(timed ? [speedText(row)] : []),
            measured,
            ...(tried ? [answersText(together)] : []),
            ...(batched ? [batchText(together)] : []),
            ...(loaded ? [row.loader === undefined ? "" : loaderText(row.loader)] : []),
            isChoice && isKept(row)
              ? "← kept"
              : verdict === "there"
                ? "there already"
                : verdict === "refused"
                  ? `refused: ${reason ?? ""}`
                  : verdict,
          ];
        }),
      );
      if (timed) terminal.line(speedNote);
      if (batched) terminal.line(batchNote);
      for (const line of judgedOn) terminal.line(line);
      for (const text of new Set(files.map(({ loader }) => loaderLine(loader)))) if (text !== "") terminal.line(text);
      if (!files.some(isKept)) terminal.line("No variant holds: the folder has its originals only.");
      terminal.line(`written: ${terminal.color.bold(out)}`);
    },
  };
}

function loaderLine(loader: FolderFile["loader"]): string {
  if (loader?.outcome === "not tried") return `not tried with transformers.js: ${loader.reason}`;
  return loader?.outcome === "runs" ? `transformers.js ${loader.version} loads and runs what is kept` : "";
}
