/**
 * A folder as transformers.js lays it out, with the variants that are asked for:
 *
 *     config.json  tokenizer.json  onnx/model.onnx   →   … onnx/model_quantized.onnx  onnx/model_q4.onnx  quantize_config.json
 *
 * Each variant is checked before it is written; what was made is recorded at once, so that a run that was stopped goes on from there.
 */
import * as v from "valibot";
import {
  fileKind,
  fileNameOf,
  folderOf,
  joinPath,
  listFolder,
  makeFolder,
  openFile,
  realPath,
  writeFileAtomically,
  writeFilesAtomically,
} from "#platform";
import { sha256Text } from "../data/hash.ts";
import { readSettings } from "../data/tokenizer.ts";
import { capitalized, PithError, stopIfAsked } from "../errors.ts";
import { requireLoads, watchLoads } from "../evaluate/load-check.ts";
import { size } from "../evaluate/size.ts";
import { allValues } from "../graph/graph.ts";
import { open, save } from "../onnx/index.ts";
import { type Context, completeContext } from "../passes/pass.ts";
import { type DtypeName, dtypeNames, dtypes, usualDtypes } from "../quantize/dtypes.ts";
import { type QuantizeOptions, quantize } from "../quantize/index.ts";
import { noSmallerThan } from "../recipe/improvement.ts";
import { keptFunction } from "../recipe/kept-function.ts";
import { apartText } from "../report/verdict.ts";
import { basesIn, configured, dataFile, isVariant, mostChunks } from "./layout.ts";

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
}

/** A file to be made. */
export interface Variant {
  readonly source: string;
  readonly out: string;
  readonly dtype: DtypeName;
  readonly fileBytes: number;
}

/** What a file that was made weighs, and how near it is to its original. */
export interface Made {
  readonly bytes: number;
  readonly brotli?: number | undefined;
  readonly measured: string;
}

export interface FolderFile extends Partial<Made> {
  readonly dtype: DtypeName;
  /** In the folder: `onnx/model_q4.onnx`. */
  readonly file: string;
  /** "there": a run before made it with the same settings. */
  readonly verdict: "kept" | "there" | "refused";
  readonly reason?: string;
}

/** A line of quantize_config.json. */
interface MadeBefore extends Made {
  readonly dtype: DtypeName;
  readonly source: string;
  /** Over the source with its weights, the settings and the version of Pith. */
  readonly made_from: string;
  /** The file and those of its weights, with their hashes. */
  readonly files: Readonly<Record<string, string>>;
}

const usualFileBytes = 2e9;
const recordName = "quantize_config.json";
const configName = "config.json";
const own = [recordName, configName];
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
  const names = await listFolder(joinPath(folder, "onnx")).catch((): string[] => []);
  const bases = basesIn(names);
  if (bases.length === 0)
    throw new PithError("E_FILE", `"${folder}" has no model in its folder onnx.`, {
      hint: "transformers.js looks for onnx/model.onnx beside config.json.",
    });
  await makeFolder(joinPath(out, "onnx"));
  await copyRest(folder, out, complete);
  const records: Record<string, MadeBefore> = { ...(await recordsOf(out)) };
  const rows: FolderFile[] = [];
  for (const base of bases) {
    const source = joinPath(folder, "onnx", `${base}.onnx`);
    const parts = [`${base}.onnx`, ...dataFilesOf(`${base}.onnx`, names)];
    const hashes = await Promise.all(parts.map((name) => fileHash(joinPath(folder, "onnx", name))));
    for (const dtype of asked) {
      stopIfAsked(complete.signal, "Stopped on request.");
      const name = `${base}${dtypes[dtype].suffix}.onnx`;
      const file = `onnx/${name}`;
      const settings = { ...options.settings, ...options.quantize, dtype, fileBytes, seed: complete.seed };
      const madeFrom = await textHash(JSON.stringify([hashes, settings]));
      const found = records[file];
      const row = { dtype, file } as const;
      if (found?.made_from === madeFrom && (await areWhole(found.files, out))) {
        const { bytes, brotli, measured } = found;
        rows.push({ ...row, bytes, brotli, measured, verdict: "there" });
        continue;
      }
      try {
        const made = await make({ source, out: joinPath(out, "onnx", name), dtype, fileBytes });
        const files = await filesOf(name, out);
        records[file] = { dtype, source: `onnx/${base}.onnx`, made_from: madeFrom, ...made, files };
        rows.push({ ...row, ...made, verdict: "kept" });
      } catch (error) {
        if (!(error instanceof PithError) || ends.includes(error.code)) throw error;
        rows.push({ ...row, verdict: "refused", reason: error.message });
        continue;
      }
      await describe(folder, out, asked, bases, records);
    }
  }
  await describe(folder, out, asked, bases, records);
  return rows;
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
  const { likeness, lost } = await keptFunction({ ...context, engine }, original, model, judged);
  if (lost !== undefined) throw new PithError("E_ACCURACY_LOST", `${capitalized(lost)}.`);
  await requireLoads(engine, model, original);
  await save(model, out, { fileBytes });
  const [folder, name] = [folderOf(out), fileNameOf(out)];
  const parts = [name, ...dataFilesOf(name, await listFolder(folder))];
  const { bytes, brotli } = await size(...parts.map((part) => joinPath(folder, part)));
  return { bytes, brotli, measured: typeof likeness === "object" ? apartText(likeness) : (likeness ?? "") };
}

/** Everything but variants; the files of hidden folders are nobody's. */
async function copyRest(from: string, to: string, { signal }: Context): Promise<void> {
  if (await isSame(from, to)) return;
  const copy = async (path: string): Promise<void> => {
    for (const name of await listFolder(joinPath(from, path))) {
      const inner = path === "" ? name : `${path}/${name}`;
      const [source, target] = [joinPath(from, inner), joinPath(to, inner)];
      if (name.startsWith(".") || (path === "onnx" && isVariant(name)) || own.includes(inner)) continue;
      const kind = await fileKind(source);
      if (kind === "folder" && !(await isSame(source, to))) {
        await makeFolder(target);
        await copy(inner);
      } else if (kind === "file" && !(await isCopy(source, target))) {
        stopIfAsked(signal, "Stopped on request.");
        await writeFileAtomically(target, bytesOfFile(source));
      }
    }
  };
  await copy("");
}

/** Writes what was made, and what the loader has to know, both at once. */
async function describe(
  folder: string,
  out: string,
  asked: readonly DtypeName[],
  bases: readonly string[],
  records: Readonly<Record<string, MadeBefore>>,
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
  const config = configured((await readSettings(joinPath(folder, configName))) ?? {}, { chunks, chosen });
  const files = Object.entries({ [recordName]: { files: records }, [configName]: config });
  await writeFilesAtomically(
    files
      .filter(([, content]) => Object.keys(content).length > 0)
      .map(([name, content]) => [joinPath(out, name), [bytesOfText(`${JSON.stringify(content, null, 2)}\n`)]]),
  );
}

const recordSchema = v.record(
  v.string(),
  v.object({
    dtype: v.picklist(dtypeNames),
    source: v.string(),
    made_from: v.string(),
    files: v.record(v.string(), v.string()),
    bytes: v.number(),
    brotli: v.optional(v.number()),
    measured: v.string(),
  }),
);

/** What runs before have made. A record of somebody else's says nothing. */
async function recordsOf(out: string): Promise<Readonly<Record<string, MadeBefore>>> {
  const found = await readSettings(joinPath(out, recordName)).catch(() => undefined);
  const parsed = v.safeParse(recordSchema, found?.files);
  return parsed.success ? parsed.output : {};
}

/**
 * The hashes of a file and those of its weights. @throws PithError E_FILE if weights have names that transformers.js does not look for, E_OPTION if
 * there are too many of them.
 */
async function filesOf(name: string, out: string): Promise<Readonly<Record<string, string>>> {
  const folder = joinPath(out, "onnx");
  const data = dataFilesOf(name, await listFolder(folder));
  if (data.length > mostChunks) {
    throw new PithError(
      "E_OPTION",
      `"${name}" has ${data.length} files of weights; transformers.js reads ${mostChunks}.`,
      {
        hint: "Allow larger files (`fileBytes`).",
      },
    );
  }
  const used = new Set<string>();
  for (const { tensor } of allValues((await open(joinPath(folder, name))).graph))
    if (tensor?.stored !== undefined) used.add(tensor.stored.source.name.replace(/^.*[/\\]/, ""));
  const files = [name, ...data];
  const stray = [...used].find((file) => !files.includes(file)) ?? data.find((file) => !used.has(file));
  if (stray !== undefined)
    throw new PithError("E_FILE", `"${joinPath(folder, stray)}" is in the way of the weights of "${name}".`, {
      hint: "Remove files of weights that no model reads.",
    });
  return Object.fromEntries(
    await Promise.all(files.map(async (file) => [file, await fileHash(joinPath(folder, file))] as const)),
  );
}

function dataFilesOf(name: string, names: readonly string[]): readonly string[] {
  const found: string[] = [];
  while (names.includes(dataFile(name, found.length))) found.push(dataFile(name, found.length));
  return found;
}

async function areWhole(files: Readonly<Record<string, string>>, out: string): Promise<boolean> {
  for (const [name, hash] of Object.entries(files)) {
    const path = joinPath(out, "onnx", name);
    if ((await fileKind(path)) !== "file" || (await fileHash(path)) !== hash) return false;
  }
  return true;
}

async function isSame(a: string, b: string): Promise<boolean> {
  return (await realPath(a)) === (await realPath(b));
}

async function isCopy(source: string, target: string): Promise<boolean> {
  if ((await fileKind(target)) !== "file") return false;
  if ((await openFile(source)).size !== (await openFile(target)).size) return false;
  return (await fileHash(source)) === (await fileHash(target));
}

const stretch = 2 ** 22;

async function* bytesOfFile(path: string): AsyncIterable<Uint8Array> {
  const source = await openFile(path);
  for (let start = 0; start < source.size; start += stretch)
    yield source.read(start, Math.min(source.size, start + stretch));
}

/** Over the hashes of its parts of 4 MiB, so that no file need be in memory. */
async function fileHash(path: string): Promise<string> {
  const hashes: string[] = [];
  for await (const part of bytesOfFile(path)) hashes.push(await sha256Text([part]));
  return textHash(hashes.join());
}

function textHash(text: string): Promise<string> {
  return sha256Text([bytesOfText(text)]);
}

function bytesOfText(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
