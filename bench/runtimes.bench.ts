/**
 * Runs every format of `quantize` on real models in the oldest and the newest supported ONNX Runtime: native, in WebAssembly, and in a browser.
 *
 *     npm run bench -- runtimes MODEL… [--formats "4 bits,dynamic"] [--runtimes onnxruntime-node@1.24.3,chromium-wasm@1.30.0,chromium-webgpu@1.30.0,…]
 *     npm run bench -- runtimes MODEL… --runtimes arm64/onnxruntime-node@1.30.0 --under "arm64=qemu-aarch64-static -L FOLDER NODE"
 *
 * A cell is the signal-to-noise ratio in dB of the worst output, relative to the float32 model in the native runtime of this checkout, on eight
 * random inputs. It is in brackets if the output hardly depends on the inputs; the signal is then the whole output. "!" marks a runtime that is
 * more than 1 dB worse than the native one. "✗" marks a file that is wrong or does not load or run, with the runtime's message below.
 * `--under` sets the command of another Node, such as one for another processor. npm installs the runtimes into node_modules/.cache.
 */
import { type ChildProcess, fork, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type BrowserEngine, openBrowserEngine } from "../src/app/cli/browser/engine.ts";
import { deliverOutputs, requestedNames } from "../src/core/engine/engine.ts";
import { createEngine, type Engine } from "../src/core/engine/index.ts";
import { PithError } from "../src/core/errors.ts";
import type { Model } from "../src/core/graph/model.ts";
import { open, save } from "../src/core/onnx/index.ts";
import type { Batch } from "../src/core/tensor/types.ts";
import { memory } from "../src/data/batches/indexed.ts";
import { checkTargets, type TargetCheck } from "../src/judge/compare/target-check.ts";
import type { RunTarget } from "../src/runtime/run/run-target.ts";
import { type QuantizeOptions, quantize } from "../src/techniques/quantize/index.ts";
import { heading, line, table } from "./lib/print.ts";
import { runnable, samplesLike } from "./lib/random-inputs.ts";

const seed = 0;
const { values: options, positionals: paths } = parseArgs({
  allowPositionals: true,
  options: {
    formats: { type: "string" },
    runtimes: {
      type: "string",
      default: "onnxruntime-node@1.24.3,onnxruntime-node@1.30.0,chromium-wasm@1.24.3,chromium-wasm@1.30.0",
    },
    under: { type: "string", multiple: true, default: [] },
  },
});

const formats: Readonly<Record<string, QuantizeOptions>> = {
  weights: { scheme: "weights" },
  "uint8 weights": { scheme: "weights", weights: "uint8" },
  "per tensor": { scheme: "weights", perChannel: false },
  "per tensor with zero points": { scheme: "weights", perChannel: false, zeroPoints: true },
  "4 bits": { scheme: "weights", bits: 4 },
  "4 bits with zero points": { scheme: "weights", bits: 4, zeroPoints: true },
  "8-bit blocks": { scheme: "weights", block: 32 },
  "4 bits standard": { scheme: "weights", bits: 4, onnxOnly: true },
  "palette of 8 bits": { scheme: "weights", weights: "palette" },
  "palette of 4 bits": { scheme: "weights", weights: "palette", bits: 4 },
  "palette of 3 bits": { scheme: "weights", weights: "palette", bits: 3 },
  "palette of 1 bit": { scheme: "weights", weights: "palette", bits: 1 },
  "2 bits": { scheme: "weights", bits: 2 },
  "2 bits with zero points": { scheme: "weights", bits: 2, zeroPoints: true },
  dynamic: { scheme: "dynamic" },
  "dynamic uint8": { scheme: "dynamic", weights: "uint8" },
  static: { scheme: "static" },
  "static int8": { scheme: "static", activations: "int8" },
  "static uint16": { scheme: "static", activations: "uint16" },
  "static int16": { scheme: "static", activations: "int16" },
  "static uint8 weights": { scheme: "static", weights: "uint8" },
  "static per tensor": { scheme: "static", perChannel: false },
  "static 4 bits": { scheme: "static", bits: 4 },
  float16: { scheme: "float16" },
  "float16 arithmetic": { dtype: "fp16" },
  bfloat16: { scheme: "bfloat16" },
  q4f16: { dtype: "q4f16" },
};
const asked = options.formats?.split(",") ?? Object.keys(formats);
const strange = asked.find((name) => formats[name] === undefined);
if (strange !== undefined) throw new Error(`There is no format "${strange}", only ${Object.keys(formats).join(", ")}.`);

/** Installs a runtime unless it is installed. @returns the folder of its package. */
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

const temporary = mkdtempSync(join(tmpdir(), "pith-runtimes-"));
process.once("exit", () => rmSync(temporary, { recursive: true, force: true }));
const nodes = new Map(options.under.map((text) => [text.replace(/=.*$/s, ""), text.replace(/^[^=]*=/, "").split(" ")]));
/** Milliseconds after which a run counts as hung. */
const patience = 600_000;

interface Place extends Engine {
  close(): Promise<void>;
}

/** Runs files in a browser, which is reopened after a crash. */
function inBrowser(runtime: "wasm" | "webgpu", runtimes: string): Place {
  let opened: Promise<BrowserEngine> | undefined;
  const { signal } = new AbortController();
  const again = async (error: unknown): Promise<never> => {
    // The runtime rejected the file; any other error comes from the page, which is then reopened.
    if (!(error instanceof PithError && error.message.includes("ONNX Runtime"))) {
      await (await opened)?.close();
      opened = undefined;
    }
    throw error;
  };
  return {
    async load(model, settings) {
      opened ??= openBrowserEngine(runtime, { temporary, signal, runtimes });
      const session = await (await opened).load(model, settings).catch(again);
      return { run: (feeds, fetch) => session.run(feeds, fetch).catch(again), release: () => session.release() };
    },
    close: async () => (await opened)?.close(),
  };
}

/** Runs files in a process, which is restarted after a crash. */
function inNode(folder: string, [program = process.execPath, ...words]: readonly string[]): Place {
  let child: ChildProcess | undefined;
  const ask = (order: object): Promise<Batch> => {
    const asked =
      child ?? fork(script, [folder], { execPath: program, execArgv: [...words], serialization: "advanced" });
    child = asked;
    return new Promise((answer, refuse) => {
      const late = setTimeout(() => asked.kill("SIGKILL"), patience);
      const end = (error?: string): void => {
        clearTimeout(late);
        asked.removeAllListeners();
        if (error !== undefined) refuse(new PithError("E_ENGINE", error));
      };
      asked.once("exit", (code, signal) => {
        child = undefined;
        end(`The process ended with ${signal ?? `exit code ${code}`}.`);
      });
      asked.once("message", (told: { readonly answer: Batch } | { readonly error: string }) => {
        end("error" in told ? told.error : undefined);
        if ("answer" in told) answer(told.answer);
      });
      asked.send({ ...order });
    });
  };
  const path = join(mkdtempSync(join(temporary, "node-")), "model.onnx");
  return {
    async load(model, { optimize = true } = {}) {
      await save(model, path);
      await ask({ kind: "load", path, optimize });
      return {
        run: async (feeds, fetch) =>
          deliverOutputs(await ask({ kind: "run", feeds, names: requestedNames(fetch) }), fetch),
        release: async () => {},
      };
    },
    close: async () => void child?.kill(),
  };
}
const script = resolve("bench/runtimes/child.mjs");

/** Parses a runtime such as "arm64/onnxruntime-node@1.30.0" or "chromium-wasm@1.24.3". */
function placeOf(spec: string): Place & RunTarget {
  const [, node, runtime = "", version = ""] = /^(?:([^/]+)\/)?([^@]+)@(.+)$/.exec(spec) ?? [];
  const inside = /^chromium-(wasm|webgpu)$/.exec(runtime)?.[1];
  const command = node === undefined ? [] : nodes.get(node);
  if (command === undefined) throw new Error(`"${spec}": no --under says what Node "${node}" is.`);
  const place =
    inside === undefined
      ? inNode(installed(`${runtime}@${version}`), command)
      : inBrowser(inside === "wasm" ? inside : "webgpu", join(installed(`onnxruntime-web@${version}`), "dist"));
  const engine: Engine = place;
  // Any name other than that of the native runtime, so that the check compares the two.
  return { ...place, engine, name: "wasm", where: spec, latency: () => Promise.reject(new Error("Nothing is timed.")) };
}

async function feedsOf(model: Model): Promise<Batch> {
  const session = await engine.load(model);
  const feeds = await runnable(session, model, seed).finally(() => session.release());
  if (typeof feeds === "string") throw new Error(feeds);
  return feeds;
}

const inDecibels = ({ likeness }: TargetCheck): number =>
  likeness === undefined
    ? Number.NaN
    : likeness.unmoved === undefined
      ? likeness.signalToNoise
      : -20 * Math.log10(likeness.relativeError);

function cell(found: TargetCheck, native: TargetCheck | undefined): string {
  if (found.likeness === undefined) return found.right === false ? "✗" : "?";
  const level = inDecibels(found);
  const isWorse = native !== undefined && inDecibels(native) - level > 1;
  const text = found.likeness.unmoved === undefined ? level.toFixed(1) : `(${level.toFixed(1)})`;
  return `${text}${found.right === false ? " ✗" : isWorse ? " !" : ""}`;
}

const engine = createEngine();
const here: RunTarget = {
  name: "node",
  where: "native",
  engine,
  latency: () => Promise.reject(new Error("Nothing is timed.")),
};
const places = options.runtimes.split(",").map(placeOf);
heading("Formats in each runtime: dB of the worst output beside float32", seed);
for (const path of paths) {
  const original = await open(path);
  const batch = await feedsOf(original);
  const failures: string[] = [];
  const rows: string[][] = [];
  for (const format of asked) {
    const model = await open(path);
    const samples = formats[format]?.scheme === "static" ? samplesLike(model, batch, seed) : undefined;
    try {
      await quantize(model, {
        ...formats[format],
        ...(samples === undefined ? {} : { data: memory("random", samples) }),
      });
      const file = join(temporary, "model.onnx");
      await save(model, file);
      const checks = await checkTargets(engine, [here, ...places], original, await open(file), { seed });
      rows.push([format, ...checks.map((one, at) => cell(one, at === 0 ? undefined : checks[0]))]);
      for (const { where, right, found: words, layer } of checks) {
        if (right !== true)
          failures.push(`${format}, ${where}: ${words}${layer === undefined ? "" : `, first layer "${layer}"`}`);
      }
    } catch (error) {
      if (!(error instanceof PithError)) throw error;
      rows.push([format]);
      failures.push(`${format}: ${error.message.split("\n")[0]}`);
    }
  }
  line(`\n${basename(path)}`);
  table(["format", ">native", ...places.map(({ where }) => `>${where.replace("onnxruntime-", "")}`)], rows);
  for (const text of failures) line(`  ${text}`);
}
for (const place of places) await place.close();
