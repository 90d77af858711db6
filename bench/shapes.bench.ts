/**
 * Shape inference beside ONNX Runtime: of every value of the conformance models, the shared models and the zoo of exports.
 *
 *     npm run bench -- shapes [--only conformance|zoo|models] [--match name] [--list]
 *
 * Every value of the main graph becomes an output, the model runs once without graph optimization, and what comes out is held against what
 * was inferred from inputs, weights and attributes alone (types that the file declares inside are taken away first). Named dimensions are
 * bound to the sizes fed. Models run in a process of their own, since some of them take the runtime down; it starts anew then.
 */
import { fork } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { infer } from "../src/analysis/infer.ts";
import { parseNpz } from "../src/data/npy.ts";
import { createEngine } from "../src/engine/index.ts";
import type { Model } from "../src/graph/model.ts";
import { open } from "../src/onnx/index.ts";
import { fromNumbers } from "../src/tensor/convert.ts";
import { dimValue, elementCount, isSymbolic } from "../src/tensor/dims.ts";
import { random } from "../src/tensor/random.ts";
import type { Batch, Dense } from "../src/tensor/types.ts";
import { backendTests } from "../test/laws/archive.ts";
import { compareTypes, storeSmall, storeUnfeedable, type TypeCheck } from "../test/laws/compare-types.ts";
import { numeric } from "../test/laws/harness.ts";
import { shared } from "../test/shared.ts";
import { heading, line, table } from "./lib/print.ts";

const { values: options } = parseArgs({
  options: { only: { type: "string" }, match: { type: "string" }, list: { type: "boolean", default: false } },
});

interface Job {
  readonly group: "conformance" | "zoo" | "models";
  readonly name: string;
  load(): Promise<{ readonly model: Model; readonly feeds: Batch }>;
}

interface Answer {
  readonly index: number;
  readonly checks?: readonly TypeCheck[];
  /** Why there is nothing to compare: the runtime refuses the model, or it cannot be fed. */
  readonly left?: string;
  readonly milliseconds?: number;
}

function conformance(): Job[] {
  return (backendTests() ?? []).map((given) => ({
    group: "conformance",
    name: given.name,
    load: async () => {
      const model = await given.model();
      const tensors = await given.inputs();
      if (tensors.length === 0) return { model, feeds: anyFeeds(model) };
      const feeds: Record<string, Dense> = {};
      model.graph.feeds.forEach((value, index) => {
        const dense = tensors[index];
        if (dense === undefined) throw new Error(`cannot be fed: "${value.name}" is no tensor`);
        feeds[value.name] = dense;
      });
      return { model, feeds };
    },
  }));
}

function zoo(): Job[] {
  const folder = shared("data/zoo");
  if (folder === undefined) return [];
  return onnxFiles(folder).map((file) => ({
    group: "zoo",
    name: file.slice(folder.length + 1),
    load: async () => {
      const model = await open(file);
      const arrays = parseNpz(new Uint8Array(readFileSync(file.replace(/onnx$/, "npz"))), file);
      return {
        model,
        feeds: Object.fromEntries(model.graph.feeds.map(({ name }) => [name, arrays[name] as Dense])),
      };
    },
  }));
}

function sharedModels(): Job[] {
  const folder = shared("data/models");
  if (folder === undefined) return [];
  return onnxFiles(folder).map((file) => ({
    group: "models",
    name: file.slice(folder.length + 1),
    load: async () => {
      const model = await open(file);
      return { model, feeds: anyFeeds(model) };
    },
  }));
}

function onnxFiles(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = `${folder}/${name}`;
    if (statSync(path).isDirectory()) return onnxFiles(path);
    return name.endsWith(".onnx") ? [path] : [];
  });
}

/** What a model that nobody gave data for is fed: named dimensions are different small numbers, integers are small. */
function anyFeeds(model: Model): Batch {
  const sizes: Record<string, number> = {};
  const special: Readonly<Record<string, number>> = { sr: 16000 };
  const known: Readonly<Record<string, number>> = { batch: 2, N: 2, B: 2, batch_size: 2, sequence: 7, T: 7, length: 7 };
  for (const value of model.graph.feeds) {
    for (const dim of value.type?.dims ?? []) {
      if (isSymbolic(dim) && dimValue(dim, sizes) === undefined) {
        sizes[dim.text] = known[dim.text] ?? silero(dim.text) ?? 3 + Object.keys(sizes).length;
      }
    }
  }
  return Object.fromEntries(
    model.graph.feeds.map((value): [string, Dense] => {
      const dims = (value.type?.dims ?? []).map((dim) => dimValue(dim, sizes) ?? 1);
      const type = numeric(value.type?.type);
      const numbers = random(1, value.name);
      const float = type.startsWith("float");
      const element = (): number => special[value.name] ?? (float ? numbers.uniform(-1, 1) : numbers.integer(2));
      return [value.name, fromNumbers(type, dims, Array.from({ length: elementCount(dims) }, element))];
    }),
  );
}

/** The voice detectors leave the axes of their inputs without names: one sound, and a window of 512 samples with 64 of context. */
function silero(name: string): number | undefined {
  return { "?input.0": 2, "?input.1": 576, "?state.1": 2 }[name];
}

const jobs = [...conformance(), ...zoo(), ...sharedModels()].filter(
  ({ group, name }) =>
    (options.only === undefined || options.only === group) &&
    (options.match === undefined || name.includes(options.match)),
);

/** The child: answers for the jobs from a number on, one message each. */
async function answerFrom(first: number): Promise<void> {
  const engine = createEngine();
  for (let index = first; index < jobs.length; index++) {
    const answer = await answerFor(engine, index);
    await new Promise((sent) => process.send?.(answer, sent));
  }
  process.exit(0);
}

async function answerFor(engine: ReturnType<typeof createEngine>, index: number): Promise<Answer> {
  const job = jobs[index];
  if (job === undefined) return { index, left: "no such job" };
  try {
    const { model, feeds: given } = await job.load();
    const feeds = storeUnfeedable(model, given);
    const start = performance.now();
    infer(model.clone());
    const milliseconds = performance.now() - start;
    const checks = await compareTypes(engine, model, feeds);
    if (job.group !== "conformance" || checks.every(({ answer }) => answer === "equal"))
      return { index, checks, milliseconds };
    // Shapes, axes and scales are fed here, but stored in real models.
    const rest = storeSmall(model, feeds);
    const again = await compareTypes(engine, model, rest).catch((): readonly TypeCheck[] => []);
    return {
      index,
      milliseconds,
      checks: checks.map((check, at) => {
        const later = again[at];
        if (check.answer === "equal" || check.answer === "wrong" || later === undefined) return check;
        return later.answer === "equal" ? { ...later, answer: "stored" } : later;
      }),
    };
  } catch (error) {
    return { index, left: error instanceof Error ? error.message.slice(0, 400) : String(error) };
  }
}

/** All answers; a process that dies is followed by another, which goes on behind the model that it died of. */
async function answers(): Promise<Answer[]> {
  const found: Answer[] = [];
  while (found.length < jobs.length) {
    const child = fork(fileURLToPath(import.meta.url), process.argv.slice(2), {
      env: { ...process.env, PITH_BENCH_FROM: String(found.length) },
      execArgv: process.execArgv,
      stdio: ["ignore", "ignore", "ignore", "ipc"],
    });
    child.on("message", (message) => found.push(message as Answer));
    await new Promise((done) => child.on("exit", done));
    if (found.length < jobs.length) found.push({ index: found.length, left: "took the process down" });
  }
  return found;
}

function report(found: readonly Answer[]): void {
  heading("Inferred types of every value beside those that ONNX Runtime returns", 1);
  const rows = (["conformance", "zoo", "models"] as const).flatMap((group) => {
    const own = found.filter(({ index }) => jobs[index]?.group === group);
    if (own.length === 0) return [];
    const compared = own.filter(({ checks }) => checks !== undefined);
    const checks = compared.flatMap((answer) => answer.checks ?? []);
    const count = (answer: TypeCheck["answer"]): number => checks.filter((check) => check.answer === answer).length;
    const seen = checks.length - count("hidden");
    const right = count("equal") + count("stored") + count("data");
    const slowest = Math.max(...compared.map(({ milliseconds = 0 }) => milliseconds));
    return [
      [
        group,
        String(own.length),
        String(compared.length),
        String(seen),
        String(count("equal")),
        String(count("stored")),
        String(count("data")),
        String(count("unknown")),
        String(count("wrong")),
        `${((100 * right) / Math.max(1, seen)).toFixed(2)} %`,
        String(count("hidden")),
        `${slowest.toFixed(0)} ms`,
      ],
    ];
  });
  table(
    [
      "",
      ">models",
      ">run",
      ">values",
      ">equal",
      ">if stored",
      ">by data",
      ">unknown",
      ">wrong",
      ">right",
      ">not shown",
      ">slowest",
    ],
    rows,
  );
  line(
    "  by data: a size that only the data decide, named as such; not shown: what the runtime cannot hand to JavaScript.",
  );
  listed("Unknown, by operator and reason", "unknown", found, (check) => `${check.op}: ${check.text}`);
  listed("By data, by operator", "data", found, (check) => check.op);
  line("\nWrong");
  for (const { index, checks = [] } of found) {
    for (const check of checks.filter(({ answer }) => answer === "wrong")) {
      line(`  ${jobs[index]?.name}: ${check.op} "${check.value}": ${check.text}`);
    }
  }
  const left = found.filter((answer) => answer.left !== undefined);
  line(`\nNot compared: ${left.length} models`);
  for (const [reason, count] of counted(left.map((answer) => kindOf(answer.left ?? ""))))
    line(`  ${count} × ${reason}`);
  if (options.list) for (const { index, left: reason } of left) line(`  ${jobs[index]?.name}: ${reason}`);
}

function listed(title: string, answer: string, found: readonly Answer[], text: (check: TypeCheck) => string): void {
  line(`\n${title}`);
  const checks = found.flatMap(({ checks = [] }) => checks.filter((check) => check.answer === answer));
  for (const [reason, count] of counted(checks.map(text))) line(`  ${count} × ${reason}`);
}

function counted(texts: readonly string[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a);
}

/** Without what differs from model to model. */
function kindOf(reason: string): string {
  return reason
    .replaceAll(/"[^"]*"|'[^']*'/g, "…")
    .replaceAll(/\d+/g, "n")
    .slice(0, 120);
}

const from = process.env.PITH_BENCH_FROM;
if (process.send !== undefined && from !== undefined) await answerFrom(Number(from));
else report(await answers());
