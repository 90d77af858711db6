/**
 * Every format of `quantize` on real models, run by the oldest and the newest ONNX Runtime that Pith writes for, native and in WebAssembly.
 *
 *     npm run bench -- runtimes MODEL… [--formats q4,dynamic] [--runtimes onnxruntime-node@1.24.3,chromium-wasm@1.30.0,chromium-webgpu@1.30.0,…]
 *
 * A cell is the signal-to-noise ratio in dB of the worst output, beside the float32 model in the native runtime of this checkout, on the same
 * random inputs; "✗" where the file does not load or run, with the runtime's words below. Runtimes are installed by npm into node_modules/.cache.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type BrowserEngine, openBrowser } from "../src/cli/browser/engine.ts";
import { memory } from "../src/data/indexed.ts";
import { createEngine } from "../src/engine/index.ts";
import { PithError } from "../src/errors.ts";
import { decibels } from "../src/evaluate/index.ts";
import type { Model } from "../src/graph/model.ts";
import { open, save } from "../src/onnx/index.ts";
import { type QuantizeOptions, quantize } from "../src/quantize/index.ts";
import { toFloat64 } from "../src/tensor/convert.ts";
import { bytesOf } from "../src/tensor/dense.ts";
import type { Batch } from "../src/tensor/types.ts";
import { heading, line, table } from "./lib/print.ts";
import { runnable, samplesLike } from "./lib/random-inputs.ts";

const seed = 0;
const { values: options, positionals: paths } = parseArgs({
  allowPositionals: true,
  options: {
    formats: { type: "string" },
    runtimes: {
      type: "string",
      default: "onnxruntime-node@1.24.3,onnxruntime-node@1.30.0,onnxruntime-web@1.24.3,onnxruntime-web@1.30.0",
    },
  },
});

const formats: Readonly<Record<string, QuantizeOptions>> = {
  weights: { scheme: "weights" },
  "per tensor": { scheme: "weights", perChannel: false },
  "4 bits": { scheme: "weights", bits: 4 },
  "4 bits with zero points": { scheme: "weights", bits: 4, zeroPoints: true },
  "8-bit blocks": { scheme: "weights", block: 32 },
  "4 bits standard": { scheme: "weights", bits: 4, standard: true },
  nf4: { scheme: "weights", weights: "nf4" },
  "palette of 4 bits": { scheme: "weights", weights: "palette", bits: 4 },
  "palette of 3 bits": { scheme: "weights", weights: "palette", bits: 3 },
  float8: { scheme: "weights", weights: "float8" },
  "2 bits": { scheme: "weights", bits: 2 },
  dynamic: { scheme: "dynamic" },
  "dynamic uint8": { scheme: "dynamic", weights: "uint8" },
  static: { scheme: "static" },
  "static int8": { scheme: "static", activations: "int8" },
  "static uint16": { scheme: "static", activations: "uint16" },
  "static 4 bits": { scheme: "static", bits: 4 },
  "static centred": { scheme: "static", symmetric: true },
  "operators on codes": { scheme: "static", form: "qoperator" },
  "operators on int8": { scheme: "static", form: "qoperator", activations: "int8" },
  float16: { scheme: "float16" },
  "float16 arithmetic": { scheme: "float16", arithmetic: "float16" },
  q4f16: { dtype: "q4f16" },
};
const asked = options.formats?.split(",") ?? Object.keys(formats);
const strange = asked.find((name) => formats[name] === undefined);
if (strange !== undefined) throw new Error(`There is no format "${strange}", only ${Object.keys(formats).join(", ")}.`);

/** Installs a runtime where it is not yet: its package's folder. */
function installed(spec: string): string {
  const place = resolve("node_modules/.cache/pith/runtimes", spec.replace("@", "-"));
  const folder = join(place, "node_modules", spec.replace(/@.*$/, ""));
  if (!existsSync(folder)) {
    const words = ["install", "--prefix", place, "--ignore-scripts", "--no-audit", "--no-fund", "--silent", spec];
    if (spawnSync("npm", words, { stdio: ["ignore", "ignore", "inherit"] }).status !== 0)
      throw new Error(`npm could not install ${spec}.`);
  }
  return folder;
}

interface Output {
  readonly dims: readonly number[];
  readonly data: readonly number[];
}
type Outputs = Readonly<Record<string, Output>>;

const temporary = mkdtempSync(join(tmpdir(), "pith-runtimes-"));
process.once("exit", () => rmSync(temporary, { recursive: true, force: true }));
const child = resolve("bench/runtimes/child.mjs");

/** In a browser, which is opened again where a file ended it. */
function inBrowser(spec: string): Runner {
  const [, runtime = "", version = ""] = /^chromium-(wasm|webgpu)@(.+)$/.exec(spec) ?? [];
  const runtimes = join(installed(`onnxruntime-web@${version}`), "dist");
  let engine: Promise<BrowserEngine> | undefined;
  const { signal } = new AbortController();
  return {
    async run(path, _, feeds) {
      engine ??= openBrowser(runtime === "webgpu" ? runtime : "wasm", { temporary, signal, runtimes });
      try {
        const session = await (await engine).load(await open(path));
        const outputs = await session.run(feeds);
        await session.release();
        const numbers = Object.entries(outputs).map(([name, dense]) => [
          name,
          { dims: dense.dims, data: Array.from(toFloat64(dense)) },
        ]);
        return Object.fromEntries(numbers);
      } catch (error) {
        await (await engine).close();
        engine = undefined;
        return error instanceof Error ? error.message.slice(0, 300) : String(error);
      }
    },
    close: async () => (await engine)?.close(),
  };
}

interface Runner {
  run(path: string, feeds: string, batch: Batch): Promise<Outputs | string>;
  close(): Promise<void>;
}

function inNode(spec: string): Runner {
  const folder = installed(spec);
  return { run: async (path, feeds) => run(folder, path, feeds), close: async () => {} };
}

/** What a runtime makes of a file, or its words. */
function run(folder: string, model: string, feeds: string): Outputs | string {
  const out = join(temporary, "outputs.json");
  rmSync(out, { force: true });
  const { stderr, signal } = spawnSync(process.execPath, [child, folder, model, feeds, out], { timeout: 300_000 });
  if (existsSync(out)) return JSON.parse(readFileSync(out, "utf8")) as Outputs;
  const words = stderr.toString().split("\n");
  return signal ?? words.find((text) => /Error|error:/.test(text))?.slice(0, 200) ?? "it ended without a word";
}

/** Of the output that is worst. */
function worst(expected: Outputs, got: Outputs): number {
  const all = Object.entries(expected).map(([name, { data, dims }]) => {
    const after = got[name];
    if (after === undefined || after.dims.join() !== dims.join()) return Number.NEGATIVE_INFINITY;
    const mean = data.reduce((sum, x) => sum + x, 0) / data.length;
    let [signal, noise] = [0, 0];
    for (const [index, x] of data.entries()) {
      signal += (x - mean) ** 2;
      noise += (x - (after.data[index] ?? Number.NaN)) ** 2;
    }
    return Number.isNaN(noise) ? Number.NEGATIVE_INFINITY : decibels(signal, noise);
  });
  return Math.min(...all);
}

async function feedsOf(model: Model): Promise<Batch> {
  const session = await createEngine().load(model);
  const feeds = await runnable(session, model, seed).finally(() => session.release());
  if (typeof feeds === "string") throw new Error(feeds);
  return feeds;
}

const runtimes = options.runtimes
  .split(",")
  .map((spec) => [spec, spec.startsWith("chromium-") ? inBrowser(spec) : inNode(spec)] as const);
const native = resolve("node_modules/onnxruntime-node");
heading("Formats in each runtime: dB of the worst output beside float32", seed);
for (const path of paths) {
  const original = await open(path);
  const batch = await feedsOf(original);
  const feeds = join(temporary, "feeds.json");
  const plain = Object.entries(batch).map(([name, dense]) => {
    if (dense.type === "string") throw new Error(`"${name}" takes texts.`);
    return [name, { type: dense.type, dims: dense.dims, base64: Buffer.from(bytesOf(dense)).toString("base64") }];
  });
  writeFileSync(feeds, JSON.stringify(Object.fromEntries(plain)));
  const expected = run(native, path, feeds);
  if (typeof expected === "string") throw new Error(`${path}: ${expected}`);
  const said: string[] = [];
  const rows: string[][] = [];
  for (const format of asked) {
    const model = await open(path);
    const samples = formats[format]?.scheme === "static" ? samplesLike(model, batch, seed) : undefined;
    try {
      await quantize(model, {
        ...formats[format],
        ...(samples === undefined ? {} : { data: memory("random", samples) }),
      });
    } catch (error) {
      if (!(error instanceof PithError)) throw error;
      rows.push([format, ...runtimes.map(() => "")]);
      said.push(`${format}: ${error.message.split("\n")[0]}`);
      continue;
    }
    const file = join(temporary, "model.onnx");
    await save(model, file);
    const cells: string[] = [];
    for (const [spec, runner] of runtimes) {
      const got = await runner.run(file, feeds, batch);
      if (typeof got === "string") said.push(`${format}, ${spec}: ${got}`);
      cells.push(typeof got === "string" ? "✗" : worst(expected, got).toFixed(1));
    }
    rows.push([format, ...cells]);
  }
  line(`\n${basename(path)}`);
  table(["format", ...runtimes.map(([spec]) => `>${spec.replace("onnxruntime-", "")}`)], rows);
  for (const text of said) line(`  ${text}`);
}
for (const [, runner] of runtimes) await runner.close();
