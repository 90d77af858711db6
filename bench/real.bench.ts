/**
 * Compresses known networks by commands of Pith and by the usual recipes in Python: size, download, change, speed, memory and time of each file.
 *
 *     npm run bench -- real [--models all-minilm-l6-v2,…] [--rows q8,quantize_dynamic] [--again] [--work FOLDER] [--python path]
 *
 * Each row runs in processes of its own, and is stored in bench/logs/real-models.generated.json at once. A row that is stored is not measured again (except with
 * --again), so that the bench can be run in parts; files that exist in the working folder are made once. `npm run generate` makes docs/real-models.md from the
 * rows. `bench/peers/real_models.py` makes the networks; PITH_REAL_MODELS names another folder of them. Python requires onnxruntime, onnx,
 * onnxconverter-common, sympy, pillow and transformers; drawn lines require the fonts DejaVu and Liberation. Takes three hours on two idle cores. Rows load
 * sources when they begin, so do not change the sources meanwhile.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { basename, dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { brotliCompressSync, constants } from "node:zlib";
import { realModel, shared } from "../test/shared.ts";
import { pith } from "./lib/command.ts";
import { heading, line } from "./lib/print.ts";
import { measureProcesses } from "./lib/process-usage.ts";
import { peer, pythonWith } from "./lib/python.ts";
import { classOutcome, writeCalibration } from "./real/images.ts";
import {
  type RealName,
  type RealNetwork,
  type RealResult,
  type RealResults,
  type RealRow,
  type RealSpeed,
  realNames,
  realNetworks,
  resultFile,
} from "./real/networks.ts";

const { values: options } = parseArgs({
  options: {
    models: { type: "string", default: realNames.join() },
    rows: { type: "string" },
    again: { type: "boolean", default: false },
    work: { type: "string", default: "bench/peers/real/work" },
    python: { type: "string" },
  },
});
const python = pythonWith(
  ["onnxruntime", "onnx", "onnxconverter_common", "sympy", "PIL", "transformers"],
  options.python,
);
if (python === undefined)
  throw new Error(
    "No Python with onnxruntime, onnx, onnxconverter_common, sympy, pillow and transformers was found (--python).",
  );
const isName = (name: string): name is RealName => Object.hasOwn(realNetworks, name);

heading("Known networks", 0);
for (const name of options.models.split(",")) {
  if (!isName(name)) throw new Error(`There is no ${name}: ${realNames.join(", ")}.`);
  const [source, data] = [realModel(name), shared(realNetworks[name].data)];
  line(`\n${name}`);
  if (source === undefined || data === undefined) line("  not measured: the network or its data is missing");
  else await measureNetwork(name, { source, data, work: join(options.work, name), python });
}

interface Place {
  readonly source: string;
  readonly data: string;
  readonly work: string;
  readonly python: string;
}

async function measureNetwork(name: RealName, place: Place): Promise<void> {
  const network: RealNetwork = realNetworks[name];
  mkdirSync(place.work, { recursive: true });
  for (const row of [undefined, ...network.rows]) {
    const title = row?.name ?? "float32";
    const isSame = (result: RealResult): boolean => result.name === title && result.tool === row?.tool;
    const isAsked = options.rows === undefined || options.rows.split(",").includes(title);
    const stored = readResults().networks[name] ?? [];
    if (!isAsked || (stored.some(isSame) && !options.again)) continue;
    const load = loadavg()[0] ?? 0;
    const result = await measureRow(network, row, place);
    const after = loadavg()[0] ?? 0;
    const entry: RealResult = {
      ...{ name: title, ...(row === undefined ? {} : { tool: row.tool }) },
      date: new Date().toISOString().slice(0, 10),
      load: { start: Math.round(load), end: Math.round(after) },
      ...result,
    };
    line(`  ${JSON.stringify(entry)}`);
    // Another run of the bench can have stored rows meanwhile.
    const results = readResults();
    const rows = [...(results.networks[name] ?? []).filter((other) => !isSame(other)), entry];
    const order = ["float32", ...network.rows.map((each) => each.name)];
    rows.sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name));
    write({ ...results, machine: machine(), versions: versions(), networks: { ...results.networks, [name]: rows } });
  }
}

type Measured = Omit<RealResult, "name" | "tool" | "date" | "load">;

async function measureRow(network: RealNetwork, row: RealRow | undefined, place: Place): Promise<Measured> {
  const failed: Record<string, string> = {};
  const attempt = async <T>(part: keyof RealResult["failed"], run: () => T | Promise<T>): Promise<T | undefined> => {
    try {
      return await run();
    } catch (error) {
      failed[part] = `${error instanceof Error ? error.message : error}`.slice(0, 300);
      return undefined;
    }
  };
  const originals = network.files.map((file) => join(place.source, `${file}.onnx`));
  const product =
    row === undefined ? undefined : await attempt("making", () => makeFiles(network, row, place, originals));
  const files = row === undefined ? originals : product?.files;
  if (files === undefined) return { failed };
  // A file's external data is beside it, and its name begins like that of the file.
  const all = files.flatMap((file) =>
    readdirSync(dirname(file)).flatMap((other) =>
      other.startsWith(basename(file)) ? [join(dirname(file), other)] : [],
    ),
  );
  const outcome = await attempt("outcome", () => outcomeOf(network, files, place));
  const node = await attempt("node", () => speedOf(network, originals, files, "node"));
  const wasm = await attempt("wasm", () => speedOf(network, originals, files, "wasm"));
  return {
    ...(product === undefined ? {} : { command: product.command, making: product.making }),
    bytes: all.reduce((sum, file) => sum + statSync(file).size, 0),
    brotli: all.reduce((sum, file) => sum + compressedSize(file, network.brotli), 0),
    ...(outcome === undefined ? {} : { outcome }),
    ...(node === undefined ? {} : { node }),
    ...(wasm === undefined ? {} : { wasm: { speed: wasm.speed, factor: wasm.factor, low: wasm.low, high: wasm.high } }),
    failed,
  };
}

interface Made {
  readonly files: readonly string[];
  readonly command: string;
  readonly making: { readonly processor: number; readonly memory: number };
}

/** Makes the files of a row, unless an interrupted bench has made them. */
async function makeFiles(
  { kind, files, given }: RealNetwork,
  { name, tool, first, words, suffix = "" }: RealRow,
  { source, data, work, python: able }: Place,
  originals: readonly string[],
): Promise<Made> {
  const title = `${tool}-${name}`.replaceAll(/[^\w-]+/g, "-");
  const record = join(work, `${title}.json`);
  if (existsSync(record) && !options.again) return JSON.parse(readFileSync(record, "utf8"));
  const folder = mkdtempSync(join(work, `${title}-`));
  const isFolder = given === undefined;
  if (!isFolder) mkdirSync(join(folder, "out"));
  const paths = files.map((file) => join(folder, "out", `${file}${suffix}.onnx`));
  const [command = ""] = words;
  const model = isFolder ? source : (originals[0] ?? "");
  const out = isFolder ? join(folder, "out") : (paths[0] ?? "");
  const isWritten = kind === "lines" || kind === "chunks";
  const path = given === undefined || !isWritten ? data : join(work, given.name);
  if (!existsSync(path)) peer(able, "real_data.py", [kind, model, data, work]);
  const samples = join(work, "calibration.npz");
  const calibration = command !== "static" ? "-" : isWritten ? samples : await writeCalibration(samples, model, data);
  const pairs = originals.map((original, index) => `${original}=${paths[index]}`);
  const commands = (original: string, simple: string, file: string): string[][] => {
    const dataWords = given === undefined ? [] : ["--data", file, ...given.words];
    return [
      ...(first === undefined ? [] : [withModel(first, original, "-o", simple)]),
      withModel(words, first === undefined ? original : simple, ...dataWords),
    ];
  };
  const cli = [process.execPath, "--import", "tsx", "--conditions=pith-source", "src/app/cli/main.ts"];
  const steps =
    tool === "Pith"
      ? commands(model, join(folder, "simple.onnx"), path).map((step) => [...cli, ...step])
      : [[able, "bench/peers/real_recipe.py", command, calibration, ...pairs]];
  if (tool === "Pith") steps.at(-1)?.push("-o", out);
  let [processor, memory] = [0, 0];
  for (const [program = "", ...rest] of steps) {
    const used = await measureProcesses(program, rest);
    if (used.code !== 0) throw new Error(reasonIn(used.error) ?? `exit code ${used.code}, nothing written`);
    processor += used.processor;
    memory = Math.max(memory, used.own);
  }
  if (!paths.every(existsSync)) throw new Error("nothing written");
  const shown = commands(isFolder ? `${basename(source)}/` : "model.onnx", "simple.onnx", given?.name ?? "");
  const texts = shown.map((step) => `pith ${step.map((word) => (word.includes(" ") ? `"${word}"` : word)).join(" ")}`);
  const product: Made = {
    files: paths,
    command: tool === "Pith" ? texts.join(" && npx --no-install ") : `real_recipe.py ${command}`,
    making: { processor, memory },
  };
  writeFileSync(record, JSON.stringify(product));
  return product;
}

/** Returns the words of a command with the model after its name. */
function withModel([name = "", ...flags]: readonly string[], model: string, ...rest: readonly string[]): string[] {
  return [name, model, ...flags, ...rest];
}

/** Returns the message of an error of Pith, or the last line of Python's. The last line of the text is the time. */
function reasonIn(error: string): string | undefined {
  const lines = error.trim().split("\n").slice(0, -1);
  return lines.findLast((one) => /^E_|Error\b/.test(one));
}

async function outcomeOf(
  { kind, files: names }: RealNetwork,
  files: readonly string[],
  { source, data, work, python: able }: Place,
): Promise<RealResult["outcome"]> {
  if (kind === "images") return await classOutcome(join(source, `${names[0]}.onnx`), files[0] ?? "", data);
  const reference = join(work, "reference.npz");
  const measure = (paths: readonly string[]): RealResult["outcome"] => {
    const pairs = names.map((name, index) => `${basename(name)}=${paths[index]}`);
    return peer(able, "real_outcome.py", [kind, source, data, reference, ...pairs]);
  };
  // The first measurement writes the reference, so it must be that of the originals.
  if (!existsSync(reference)) measure(names.map((name) => join(source, `${name}.onnx`)));
  return measure(files);
}

interface Timed {
  readonly processorTime?: number;
  readonly milliseconds: { readonly median: number };
  readonly speedup: { readonly low: number; readonly high: number };
  readonly memory?: number;
}

/** Times variants and originals in turns, on one thread: in Node by processor time, in a page by the clock. */
async function speedOf(
  { files: names, runs }: RealNetwork,
  originals: readonly string[],
  files: readonly string[],
  target: "node" | "wasm",
): Promise<Required<RealSpeed> & { readonly memory: number }> {
  let [before, after, shortest, longest, memory] = [0, 0, 0, 0, 0];
  for (const { file, words, count } of runs) {
    const index = names.indexOf(file);
    const pair = [originals[index] ?? "", files[index] ?? ""];
    const shown = pair[0] === pair[1] ? pair.slice(0, 1) : pair;
    const flags = ["--threads", "1", "--rounds", target === "node" ? "20" : "10", "--target", target];
    const { data, error } = await pith("bench", ...shown, ...words, ...flags);
    const { models = [] } = (data ?? {}) as { models?: readonly Timed[] };
    const [original, variant = original] = models;
    if (original === undefined || variant === undefined) throw new Error(error ?? "no result");
    const time = ({ processorTime, milliseconds }: Timed): number =>
      (target === "node" ? processorTime : undefined) ?? milliseconds.median;
    before += count * time(original);
    after += count * time(variant);
    shortest += (count * time(original)) / variant.speedup.high;
    longest += (count * time(original)) / variant.speedup.low;
    memory += variant.memory ?? 0;
  }
  return { speed: 1000 / after, factor: before / after, low: before / longest, high: before / shortest, memory };
}

function compressedSize(file: string, quality: number): number {
  const bytes = readFileSync(file);
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: quality,
    [constants.BROTLI_PARAM_LGWIN]: 24,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  return brotliCompressSync(bytes, { params }).length;
}

function machine(): string {
  return `${cpus().length} × ${cpus()[0]?.model.trim() ?? "CPU"}, Node ${process.version}`;
}

/** Returns the versions of the other tools. */
function versions(): Readonly<Record<string, string>> {
  const program = `
import json
from importlib.metadata import version
print(json.dumps({name: version(name) for name in ("onnxruntime", "onnx", "onnxconverter-common")}))`;
  return JSON.parse(spawnSync(python ?? "", ["-c", program], { encoding: "utf8" }).stdout);
}

function readResults(): RealResults {
  if (!existsSync(resultFile)) return { machine: machine(), versions: {}, networks: {} };
  return JSON.parse(readFileSync(resultFile, "utf8"));
}

function write(results: RealResults): void {
  mkdirSync(dirname(resultFile), { recursive: true });
  writeFileSync(resultFile, `${JSON.stringify(results, undefined, 2)}\n`);
}
