/**
 * Compares shape inference with ONNX Runtime for every value of the conformance models, the shared models and the zoo of exports.
 *
 *     npm run bench -- shapes [--only conformance|zoo|models] [--match name] [--list]
 *
 * Every value of the main graph becomes an output, the model runs once without graph optimization, and the outputs are compared with the types
 * inferred from inputs, weights and attributes alone (types that the file declares inside are removed first). Named dimensions are
 * bound to the sizes of the inputs. Models run in a separate process, because some crash the runtime; a new process then continues.
 */
import { fork } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { infer } from "../src/core/analysis/infer.ts";
import { createEngine } from "../src/core/engine/index.ts";
import type { Model } from "../src/core/graph/model.ts";
import { open } from "../src/core/onnx/index.ts";
import { fromNumbers } from "../src/core/tensor/convert.ts";
import { dimValue, elementCount, isSymbolic } from "../src/core/tensor/dims.ts";
import { random } from "../src/core/tensor/random.ts";
import type { Batch, Dense } from "../src/core/tensor/types.ts";
import { resolveConditions } from "../src/rewrite/clean-up/resolve-conditions.ts";
import { backendTests } from "../test/laws/archive.ts";
import {
  judgeTypes,
  nameSizes,
  observe,
  storeSmall,
  storeUnfeedable,
  type TypeCheck,
} from "../test/laws/compare-types.ts";
import { numeric } from "../test/laws/harness.ts";
import { shared } from "../test/shared.ts";
import { readNpz } from "../test/zoo/npz.ts";
import { heading, line, table } from "./lib/print.ts";

const { values: options } = parseArgs({
  options: { only: { type: "string" }, match: { type: "string" }, list: { type: "boolean", default: false } },
});

interface Job {
  readonly group: "conformance" | "zoo" | "models" | "inside";
  readonly name: string;
  load(): Promise<{ readonly model: Model; readonly feeds: Batch }>;
}

interface Answer {
  readonly index: number;
  readonly checks?: readonly TypeCheck[];
  /** The checks with named dimensions for the input sizes. */
  readonly named?: readonly TypeCheck[];
  /** Reason why nothing is compared: the runtime rejects the model, or it cannot be fed. */
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
      const arrays = readNpz(file.replace(/onnx$/, "npz"));
      return { model, feeds: Object.fromEntries(model.graph.feeds.map(({ name }) => [name, arrays[name] as Dense])) };
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

/** Voice detectors inside an If: known rate and sizes decide the conditions, and the branches are inlined. */
function insideBranches(): Job[] {
  return ["silero_vad.onnx", "silero_vad_16k_op15.onnx"].flatMap((name): Job[] => {
    const file = shared(`data/models/${name}`);
    if (file === undefined) return [];
    const load = async () => {
      const model = await open(file);
      const feeds = anyFeeds(model);
      for (const value of model.graph.feeds) {
        const { type, dims } = feeds[value.name] ?? {};
        if (type !== undefined) value.type = { type, dims };
      }
      const { sr, ...rest } = feeds;
      if (sr !== undefined) storeSmall(model, { sr });
      await resolveConditions(model);
      return { model, feeds: rest };
    };
    return [{ group: "inside", name, load }];
  });
}

function onnxFiles(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = `${folder}/${name}`;
    if (statSync(path).isDirectory()) return onnxFiles(path);
    return name.endsWith(".onnx") ? [path] : [];
  });
}

/** Sizes of voice detector inputs: two sounds, each a window of 512 samples with 64 of context. Some models do not name their axes. */
const window: Readonly<Record<string, number>> = {
  "?input.0": 2,
  "?input.1": 576,
  "?state.1": 2,
  batch: 2,
  sequence: 576,
};

/** Returns inputs for a model without data: named dimensions are different small numbers, and integers are small. */
function anyFeeds(model: Model): Batch {
  const sizes: Record<string, number> = {};
  const special: Readonly<Record<string, number>> = { sr: 16000 };
  const voice = model.graph.feeds.some(({ name }) => name === "sr");
  const commonSizes: Readonly<Record<string, number>> = {
    batch: 2,
    N: 2,
    B: 2,
    batch_size: 2,
    sequence: 7,
    T: 7,
    length: 7,
  };
  for (const value of model.graph.feeds) {
    for (const dim of value.type?.dims ?? []) {
      if (isSymbolic(dim) && dimValue(dim, sizes) === undefined) {
        sizes[dim.text] = (voice ? window[dim.text] : commonSizes[dim.text]) ?? 3 + Object.keys(sizes).length;
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

const jobs = [...conformance(), ...zoo(), ...sharedModels(), ...insideBranches()].filter(
  ({ group, name }) =>
    (options.only === undefined || options.only === group) &&
    (options.match === undefined || name.includes(options.match)),
);

/** Runs in the child: sends one message for each job from an index on. */
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
    const { model, feeds: jobFeeds } = await job.load();
    const feeds = storeUnfeedable(model, jobFeeds);
    const start = performance.now();
    infer(model.clone());
    const milliseconds = performance.now() - start;
    const observed = await observe(engine, model, feeds);
    const checks = judgeTypes(model, feeds, observed);
    if (job.group !== "conformance") return { index, checks, milliseconds };
    const sized = model.clone();
    nameSizes(sized);
    const named = judgeTypes(sized, feeds, observed);
    // The backend tests feed shapes, axes and scales, which real models store.
    storeSmall(model, feeds);
    const stored = judgeTypes(model, feeds, observed);
    storeSmall(sized, feeds);
    return {
      index,
      milliseconds,
      checks: betterOf(checks, stored),
      named: betterOf(named, judgeTypes(sized, feeds, observed)),
    };
  } catch (error) {
    return { index, left: error instanceof Error ? error.message.slice(0, 400) : String(error) };
  }
}

function betterOf(checks: readonly TypeCheck[], stored: readonly TypeCheck[]): readonly TypeCheck[] {
  return checks.map((check, at) => {
    const later = stored[at];
    if (check.answer === "equal" || check.answer === "wrong" || later === undefined) return check;
    return later.answer === "equal" ? { ...later, answer: "stored" } : later;
  });
}

/** Returns all answers. If a process crashes, a new one continues after the model that crashed it. */
async function answers(): Promise<Answer[]> {
  const received: Answer[] = [];
  while (received.length < jobs.length) {
    const child = fork(fileURLToPath(import.meta.url), process.argv.slice(2), {
      env: { ...process.env, PITH_BENCH_FROM: String(received.length) },
      execArgv: process.execArgv,
      stdio: ["ignore", "ignore", "ignore", "ipc"],
    });
    child.on("message", (message) => received.push(message as Answer));
    await new Promise((done) => child.on("exit", done));
    if (received.length < jobs.length) received.push({ index: received.length, left: "took the process down" });
  }
  return received;
}

function report(found: readonly Answer[]): void {
  heading("Inferred types of every value beside those that ONNX Runtime returns", 1);
  const rows: string[][] = [];
  for (const group of ["conformance", "zoo", "models", "inside"] as const) {
    const ofGroup = found.filter(({ index }) => jobs[index]?.group === group);
    const compared = ofGroup.filter(({ checks }) => checks !== undefined);
    if (ofGroup.length === 0) continue;
    const slowest = Math.max(...compared.map(({ milliseconds = 0 }) => milliseconds));
    const ends = [String(ofGroup.length), String(compared.length), `${slowest.toFixed(0)} ms`] as const;
    const checked = compared.flatMap(({ checks = [] }) => checks);
    rows.push(rowOf(group, ends, checked));
    const named = compared.flatMap((answer) => answer.named ?? []);
    if (named.length > 0) rows.push(rowOf("  sizes named", ends, named));
  }
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
  line("  sizes named: the same models, with names for the sizes of their inputs, bound to what was fed afterwards;");
  line("  inside: two models that lie in an If as a whole, once its condition is known and the branch is taken out;");
  line("  if stored: equal once small inputs (shapes, axes, scales) are constants, as they mostly are in real models;");
  line(
    "  by data: a size that only the data decide, named as such; not shown: what the runtime cannot hand to JavaScript.",
  );
  listed("Unknown, by operator and reason", "unknown", found, (check) => `${check.op}: ${check.text}`);
  listed("By data, by operator", "data", found, (check) => check.op);
  line("\nWrong");
  for (const { index, checks = [], named = [] } of found) {
    for (const check of [...checks, ...named].filter(({ answer }) => answer === "wrong")) {
      line(`  ${jobs[index]?.name}: ${check.op} "${check.value}": ${check.text}`);
    }
  }
  const skipped = found.filter((answer) => answer.left !== undefined);
  line(`\nNot compared: ${skipped.length} models`);
  for (const [reason, count] of counted(skipped.map((answer) => kindOf(answer.left ?? ""))))
    line(`  ${count} × ${reason}`);
  if (options.list) for (const { index, left: reason } of skipped) line(`  ${jobs[index]?.name}: ${reason}`);
}

function rowOf(
  title: string,
  [models, run, slowest]: readonly [string, string, string],
  checks: readonly TypeCheck[],
): string[] {
  const count = (answer: TypeCheck["answer"]): number => checks.filter((check) => check.answer === answer).length;
  const seen = checks.length - count("hidden");
  const right = count("equal") + count("stored") + count("data");
  const counts = (["equal", "stored", "data", "unknown", "wrong"] as const).map((answer) => String(count(answer)));
  const share = `${((100 * right) / Math.max(1, seen)).toFixed(2)} %`;
  return [title, models, run, String(seen), ...counts, share, String(count("hidden")), slowest];
}

function listed(title: string, answer: string, found: readonly Answer[], text: (check: TypeCheck) => string): void {
  line(`\n${title}`);
  for (const kind of ["checks", "named"] as const) {
    const checks = found.flatMap((one) => (one[kind] ?? []).filter((check) => check.answer === answer));
    if (kind === "named" && checks.length > 0) line("  with named sizes:");
    for (const [reason, count] of counted(checks.map(text))) line(`  ${count} × ${reason}`);
  }
}

function counted(texts: readonly string[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a);
}

/** Removes the details that differ from model to model. */
function kindOf(reason: string): string {
  return reason
    .replaceAll(/"[^"]*"|'[^']*'/g, "…")
    .replaceAll(/\d+/g, "n")
    .slice(0, 120);
}

const from = process.env.PITH_BENCH_FROM;
if (process.send !== undefined && from !== undefined) await answerFrom(Number(from));
else report(await answers());
