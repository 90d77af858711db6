/**
 * A folder as transformers.js lays it out, with the variants that are asked for:
 *
 *     config.json  tokenizer.json  onnx/model.onnx   →   … onnx/model_quantized.onnx  onnx/model_q4.onnx  quantize_config.json
 *
 * Each variant is checked before it is written; what was made is recorded at once, so that a run that was stopped goes on from there.
 */
import {
  fileNameOf,
  folderOf,
  joinPath,
  listFolder,
  makeFolder,
  openFile,
  readText,
  writeFilesAtomically,
} from "#platform";
import type { Dataset } from "../data/index.ts";
import { openTokenizer, readSettings } from "../data/tokenizer.ts";
import { capitalized, PithError, stopIfAsked } from "../errors.ts";
import { watchLoads } from "../evaluate/load-check.ts";
import { size } from "../evaluate/size.ts";
import type { Metric } from "../evaluate/types.ts";
import type { Model } from "../graph/model.ts";
import { open, save } from "../onnx/index.ts";
import { type Context, completeContext } from "../passes/pass.ts";
import { type DtypeName, dtypes, usualDtypes } from "../quantize/dtypes.ts";
import { type QuantizeOptions, quantize } from "../quantize/index.ts";
import { choose } from "../recipe/choose.ts";
import { noSmallerThan } from "../recipe/improvement.ts";
import { keptAndLoads } from "../recipe/kept-function.ts";
import { apartText } from "../report/verdict.ts";
import { withCard } from "./card.ts";
import { compareEndToEnd, type EndToEnd, lostEndToEnd } from "./end-to-end.ts";
import { bytesOfText, copyFolder, fileHash, textHash } from "./files.ts";
import { basesIn, configured, dataFilesOf, isVariant, mainOf } from "./layout.ts";
import { areWhole, hashesOf, type Made, type Records, recordName, recordsOf, removeModel } from "./records.ts";

export interface FolderOptions {
  /** Variants by the names of transformers.js, or "all". */
  readonly dtypes: readonly DtypeName[] | "all";
  /** The folder to write; the folder itself keeps its own files and gets the variants. */
  readonly out: string;
  /** Bytes of a file of weights, at most (2e9): hosts and phones limit them. */
  readonly fileBytes?: number | undefined;
  /** Other settings of `quantize`, for every variant. */
  readonly quantize?: Omit<QuantizeOptions, "scheme" | "dtype"> | undefined;
  /** What else the result depends on, for the record: a variant that was made otherwise is made again. */
  readonly settings?: Readonly<Record<string, unknown>> | undefined;
  /** Makes a file, or refuses by a PithError: in place of a comparison on random inputs. */
  readonly make?: ((variant: Variant) => Promise<Made>) | undefined;
  /** Lines that each variant of all models together is tried on: by what continues a text, else by `together` alone. */
  readonly texts?: readonly string[] | undefined;
  /** Keep of each module only the best variant that holds (`choose`): the smallest, of near sizes the fastest. */
  readonly keepSmallest?: boolean | undefined;
  /** Runs a variant of all models together, given the paths of originals and results by module: in place of `texts`. */
  readonly together?: ((modules: readonly ModulePaths[]) => Promise<EndToEnd>) | undefined;
}

/** A module of a folder: its original, and what is to be used of it, which is the original where there is no variant. */
export interface ModulePaths {
  readonly base: string;
  readonly original: string;
  readonly result: string;
}

interface Module {
  readonly base: string;
  readonly source: string;
  /** Why it cannot be read. */
  readonly unread: PithError | undefined;
  readonly hashes: readonly string[];
}

/** A file to be made. */
export interface Variant {
  readonly source: string;
  readonly out: string;
  readonly dtype: DtypeName;
  readonly fileBytes: number;
}

export interface FolderFile extends Partial<Made> {
  readonly dtype: DtypeName;
  /** In the folder: `onnx/model_q4.onnx`. */
  readonly file: string;
  /** "there": a run before made it with the same settings. "passed over": it holds, and another is better (`keepSmallest`). */
  readonly verdict: "kept" | "there" | "passed over" | "refused";
  readonly reason?: string;
}

const usualFileBytes = 2e9;
const configName = "config.json";
const cardName = "README.md";
const own = [recordName, configName, cardName];
/** What concerns the whole run, not one file. */
const ends: readonly string[] = ["E_STOPPED", "E_OPTION", "E_USAGE", "E_NAME", "E_FILE"];

/**
 * Makes variants of every model in a folder's `onnx/`, each checked against its original, and tells transformers.js of them in config.json.
 * Other files of the folder are copied. A variant that does not hold is refused, and the others are written.
 * @throws PithError E_FILE if there is no model in `onnx/` or a file cannot be written, E_OPTION for settings that contradict a dtype.
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
  const complete = completeContext(context);
  const { out, fileBytes = usualFileBytes } = options;
  const asked = options.dtypes === "all" ? usualDtypes : options.dtypes;
  const make = options.make ?? ((variant: Variant) => makeVariant(variant, options, complete));
  const { texts } = options;
  const ofTexts =
    options.together ?? (texts && ((found: readonly ModulePaths[]) => textsTogether(folder, found, texts, complete)));
  const names = await listFolder(joinPath(folder, "onnx")).catch((): string[] => []);
  const bases = basesIn(names);
  if (bases.length === 0)
    throw new PithError("E_FILE", `"${folder}" has no model in its folder onnx.`, {
      hint: "transformers.js looks for onnx/model.onnx beside config.json.",
    });
  const written = joinPath(out, "onnx");
  await makeFolder(written);
  const isWanted = (path: string): boolean => !own.includes(path) && !(path.startsWith("onnx/") && isVariant(path));
  await copyFolder(folder, out, isWanted, complete.signal);
  const records: Record<string, Records[string]> = { ...(await recordsOf(out)) };
  const rows: FolderFile[] = [];
  const modules: Module[] = [];
  for (const base of bases) {
    const source = joinPath(folder, "onnx", `${base}.onnx`);
    const unread = await open(source).then(
      () => undefined,
      (error: unknown) => {
        if (error instanceof PithError) return error;
        throw error;
      },
    );
    const parts = [`${base}.onnx`, ...dataFilesOf(`${base}.onnx`, names)];
    const hashes = await Promise.all(parts.map((name) => fileHash(joinPath(folder, "onnx", name))));
    modules.push({ base, source, unread, hashes });
  }
  const main = mainOf(bases).base;
  const fileOf = (base: string, dtype: DtypeName): string => `onnx/${base}${dtypes[dtype].suffix}.onnx`;
  const remove = async (file: string): Promise<void> => {
    await removeModel(written, fileNameOf(file));
    delete records[file];
  };
  const refuse = async (base: string, dtype: DtypeName, reason: string): Promise<void> => {
    const file = fileOf(base, dtype);
    await remove(file);
    rows.push({ dtype, file, verdict: "refused", reason });
  };
  const tell = (): Promise<void> => describe(folder, out, asked, bases, records, options.keepSmallest);
  /** Runs the main module's file with those of the others, and refuses it if they do not hold: then the answer is false. */
  const holdTogether = async (row: FolderFile, dtypeOf: (base: string) => DtypeName | undefined): Promise<boolean> => {
    if (ofTexts === undefined) return true;
    const together = await ofTexts(
      modules.map(({ base, source }) => {
        const dtype = dtypeOf(base);
        const file = dtype === undefined ? undefined : fileOf(base, dtype);
        const isMade = file !== undefined && records[file] !== undefined;
        return { base, original: source, result: isMade ? joinPath(out, file) : source };
      }),
    );
    const lost = lostEndToEnd(together);
    const record = records[row.file];
    const at = rows.indexOf(row);
    if (lost !== undefined) {
      rows.splice(at, 1);
      await refuse(main, row.dtype, lost);
    } else if (record !== undefined) {
      rows[at] = { ...row, together };
      records[row.file] = { ...record, together };
    }
    await tell();
    return lost === undefined;
  };
  for (const dtype of asked) {
    for (const { base, source, unread, hashes } of modules) {
      stopIfAsked(complete.signal, "Stopped on request.");
      const file = fileOf(base, dtype);
      const settings = { ...options.settings, ...options.quantize, dtype, fileBytes, seed: complete.seed };
      const madeFrom = await textHash(JSON.stringify([hashes, settings]));
      const found = records[file];
      if (unread === undefined && found?.made_from === madeFrom && (await areWhole(written, found.files))) {
        const { bytes, brotli, measured, speed, together } = found;
        rows.push({ dtype, file, bytes, brotli, measured, speed, together, verdict: "there" });
      } else {
        try {
          if (unread !== undefined) throw unread;
          const made = await make({ source, out: joinPath(out, file), dtype, fileBytes });
          const files = await hashesOf(written, fileNameOf(file));
          records[file] = { dtype, source: `onnx/${base}.onnx`, made_from: madeFrom, ...made, files };
          rows.push({ dtype, file, ...made, verdict: "kept" });
        } catch (error) {
          if (!(error instanceof PithError) || (error !== unread && ends.includes(error.code))) throw error;
          await refuse(base, dtype, error.message);
        }
      }
      await tell();
    }
    const row = rows.find(({ file }) => file === fileOf(main, dtype));
    if (row !== undefined && row.verdict !== "refused") await holdTogether(row, () => dtype);
  }
  if (options.keepSmallest !== true) return rows;
  const bestOf = (base: string): FolderFile | undefined => {
    const sound = rows.filter(({ file, dtype, verdict }) => file === fileOf(base, dtype) && verdict !== "refused");
    const choices = sound.map(({ bytes, speed }) => ({ bytes, sound: true, speed: speed?.factor }));
    return sound[choose(choices, false) ?? -1];
  };
  const chooseBest = () => new Map(bases.map((base) => [base, bestOf(base)]));
  let best = chooseBest();
  // Of one dtype they have been tried together above.
  for (let row = best.get(main); row !== undefined && isMixed(best); best = chooseBest(), row = best.get(main))
    if (await holdTogether(row, (base) => best.get(base)?.dtype)) break;
  const kept = new Set(Array.from(chooseBest().values(), (row) => row?.file));
  for (const [at, row] of rows.entries()) {
    if (row.verdict === "refused" || kept.has(row.file)) continue;
    await remove(row.file);
    rows[at] = { ...row, verdict: "passed over" };
  }
  await tell();
  return rows;
}

function isMixed(best: ReadonlyMap<string, FolderFile | undefined>): boolean {
  return new Set(Array.from(best.values(), (row) => row?.dtype)).size > 1;
}

async function makeVariant(
  { source, out, dtype, fileBytes }: Variant,
  options: FolderOptions,
  context: Context,
): Promise<Made> {
  const engine = watchLoads(context.engine);
  const model = await open(source);
  const original = model.clone();
  await quantize(model, { ...options.quantize, dtype }, { ...context, engine });
  const idle = await noSmallerThan(original, model);
  if (idle !== undefined) throw new PithError("E_UNSUPPORTED", `${capitalized(idle)}.`);
  engine.forget();
  const judged = { test: undefined, answered: 0, trained: false, output: undefined, forced: false };
  const { likeness, lost } = await keptAndLoads({ ...context, engine }, original, model, judged);
  if (lost !== undefined) throw new PithError("E_ACCURACY_LOST", `${capitalized(lost)}.`);
  await save(model, out, { fileBytes });
  const [folder, name] = [folderOf(out), fileNameOf(out)];
  const parts = [name, ...dataFilesOf(name, await listFolder(folder))].map((part) => joinPath(folder, part));
  const { bytes, brotli } = await size(...parts);
  return { bytes, brotli, measured: typeof likeness === "object" ? apartText(likeness) : (likeness ?? "") };
}

/** The variant of all models that continue texts. */
export async function textsTogether(
  folder: string,
  modules: readonly ModulePaths[],
  texts: readonly string[],
  { engine, signal }: Context,
  held: { readonly samples?: Dataset | undefined; readonly metric?: Metric | undefined } = {},
): Promise<EndToEnd> {
  const opened = async (which: "original" | "result"): Promise<ReadonlyMap<string, Model>> =>
    new Map(await Promise.all(modules.map(async (one) => [one.base, await open(one[which])] as const)));
  const tokenizer = await openTokenizer(folder);
  const begin = (await readSettings(joinPath(folder, configName)))?.decoder_start_token_id;
  return compareEndToEnd(engine, await opened("original"), await opened("result"), {
    ...{ tokenizer, texts, samples: held.samples, metric: held.metric, signal },
    begin: typeof begin === "number" ? begin : undefined,
  });
}

/** Writes what was made, and what the loader has to know, both at once. */
async function describe(
  folder: string,
  out: string,
  asked: readonly DtypeName[],
  bases: readonly string[],
  records: Records,
  keepSmallest = false,
): Promise<void> {
  const names = await listFolder(joinPath(out, "onnx"));
  const chunks = new Map<string, number>();
  for (const name of names) if (name.endsWith(".onnx")) chunks.set(name, dataFilesOf(name, names).length);
  const chosen = new Map(
    bases.map((base) => {
      const first = asked.find((dtype) => records[`onnx/${base}${dtypes[dtype].suffix}.onnx`] !== undefined);
      return [base, first ?? "fp32"] as const;
    }),
  );
  const before = (await readSettings(joinPath(folder, configName))) ?? {};
  const config = configured(before, { chunks, chosen, keepSmallest });
  const there = await listFolder(out);
  const texts = Object.entries({ [recordName]: { files: records }, [configName]: config })
    .filter(([name, content]) => Object.keys(content).length > 0 || there.includes(name))
    .map(([name, content]) => [name, `${JSON.stringify(content, null, 2)}\n`] as const);
  const originals = new Map<string, number>();
  for (const base of bases) {
    const files = [`${base}.onnx`, ...dataFilesOf(`${base}.onnx`, names)].filter((file) => names.includes(file));
    const sizes = await Promise.all(files.map(async (file) => (await openFile(joinPath(out, "onnx", file))).size));
    originals.set(
      `onnx/${base}.onnx`,
      sizes.reduce((sum, size) => sum + size, 0),
    );
  }
  const readme = await readText(joinPath(folder, cardName)).catch(() => "");
  const [first, ...others] = new Set(chosen.values());
  const card = {
    ...{ name: fileNameOf(out), config: before, originals, records },
    chosen: others.length === 0 ? first : undefined,
    tried: keepSmallest ? asked : undefined,
  };
  const files = [...texts, [cardName, withCard(readme, card)] as const];
  await writeFilesAtomically(files.map(([name, text]) => [joinPath(out, name), [bytesOfText(text)]]));
}
