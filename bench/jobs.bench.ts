/**
 * Processor time of everyday jobs by stage, beside the usual scripts: where the seconds go, and what the same work takes elsewhere.
 *
 *     npm run bench -- jobs [names…] [--rounds 1] [--python path]
 *
 * Jobs: resnet20, efficientnet, mobilenetv3, cct (static int8 and evaluation of both models), small (dynamic int8 of many small models), quantize and
 * simplify (10,000 nodes), folder (q8, q4 and fp16 of a BERT classifier with evaluation of all models), rdoq (beside static int8 of Pith),
 * recover (ResNet-20 without some channels). Each round runs Pith and then the script. Times are user and system time of all processes, from start to end, so that
 * other work on the machine hardly changes them; the fastest round counts. The clock depends on that work. Requires `npm run build`.
 * Models and data come from the shared folder and from `bench/peers/real_models.py`; jobs without them are skipped. The scripts
 * (`bench/peers/everyday_jobs.py`) run if a Python has onnxruntime: --python, PITH_PYTHON, bench/peers/venv or python3.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { open, save } from "pith";
import { prune } from "pith/prune";
import { realModel, shared } from "../test/shared.ts";
import { heading, line, table, target } from "./lib/print.ts";
import { measureProcesses } from "./lib/process-usage.ts";
import { pythonWith } from "./lib/python.ts";
import { networkOf } from "./scale/networks.ts";

const { values: options, positionals } = parseArgs({
  options: { rounds: { type: "string", default: "1" }, python: { type: "string" } },
  allowPositionals: true,
});

type CommandLine = readonly string[];

interface Job {
  readonly title: string;
  /** Maximum ratio to the script; undefined if it is only reported. */
  readonly target?: number;
  /** Maximum seconds of processor time. */
  readonly seconds?: number;
  readonly commands: readonly CommandLine[];
  /** Arguments of the runs of the script, or other command lines of Pith that take its place. */
  readonly scripts: readonly CommandLine[];
  readonly scriptIsPith?: boolean;
}

const folder = mkdtempSync(join(tmpdir(), "pith-jobs-"));
const out = join(folder, "out.onnx");

/** Static int8 with the comparison of both models. @param samples numbers of calibration and test images of the script. */
function staticJob(
  model: string | undefined,
  data: string,
  samples: readonly string[],
  ratio: number,
): Job | undefined {
  const path = shared(`data/${data}`);
  if (model === undefined || path === undefined) return undefined;
  return {
    title: `static int8 and evaluation, ${basename(model) === "model.onnx" ? "EfficientNet-Lite0" : basename(model)}`,
    target: ratio,
    commands: [["quantize", model, "--scheme", "static", "--data", path, "-o", out]],
    scripts: [["static", model, out, basename(data), path, ...samples]],
  };
}

/** Small models of the shared folder that both tools quantize dynamically. */
function smallModels(): Job | undefined {
  const models = shared("data/zoo");
  if (models === undefined) return undefined;
  const small = readdirSync(models)
    .filter((name) => name.endsWith(".onnx") && statSync(join(models, name)).size < 2 ** 20)
    .slice(0, 22)
    .map((name) => join(models, name));
  return {
    title: `${small.length} small models, dynamic int8 with comparison`,
    target: 2,
    commands: small.map((model) => ["quantize", model, "--scheme", "dynamic", "--force", "-o", out]),
    scripts: small.map((model) => ["dynamic", out, model]),
  };
}

/** @param most seconds of processor time. */
async function wideJob(command: "quantize" | "simplify", most: number): Promise<Job> {
  const path = join(folder, "wide.onnx");
  if (!existsSync(path)) await save(networkOf("residual", 10_000, 0.125), path);
  const script = command === "simplify" ? ["simplify", path, out] : ["dynamic", out, path];
  const words = command === "simplify" ? [] : ["--scheme", "dynamic", "--force"];
  return {
    title: `${command}, 10,000 nodes`,
    seconds: most,
    commands: [[command, path, ...words, "-o", out]],
    scripts: [script],
  };
}

/** Files of three dtypes for a folder of transformers.js, evaluated on labeled sentences. */
function folderJob(): Job | undefined {
  const [source, sentences] = [shared("data/models/bert_sst2"), shared("data/text/sst2_dev.tsv")];
  if (source === undefined || sentences === undefined) return undefined;
  const web = join(folder, "web");
  return {
    title: "folder of a BERT classifier to q8, q4, fp16, with evaluation",
    target: 1.5,
    commands: [["quantize", source, "--dtype", "q8,q4,fp16", "--data", sentences, "--force", "-o", web]],
    scripts: [["folder", source, join(folder, "script"), sentences]],
  };
}

/** Rounding for the download, beside rounding to nearest. */
function downloadJob(): Job | undefined {
  const plain = resnet20();
  return (
    plain && {
      title: "rounder rdoq beside nearest, resnet20.onnx",
      target: 2,
      commands: plain.commands.map((words) => [...words, "--rounder", "rdoq"]),
      scripts: plain.commands,
      scriptIsPith: true,
    }
  );
}

/** Recovery of ResNet-20 without its lowest channels. */
async function recoverJob(): Promise<Job | undefined> {
  const [original, data] = [shared("data/models/resnet20.onnx"), shared("data/cifar10")];
  if (original === undefined || data === undefined) return undefined;
  const path = join(folder, "thin.onnx");
  const model = await open(original);
  await prune(model, { structured: 0.18, importance: "magnitude", roundTo: 1 });
  await save(model, path);
  const files = ["--original", original, "--data", data, "--preprocess", "cifar10", "-o", out];
  return { title: "recover, 188 k parameters", seconds: 15, commands: [["recover", path, ...files]], scripts: [] };
}

const cifar = ["200", "1000"];
const realFolder = realModel("efficientnet-lite0");
const resnet20 = () => staticJob(shared("data/models/resnet20.onnx"), "cifar10", cifar, 1.3);
const jobs: Readonly<Record<string, () => Promise<Job | undefined> | Job | undefined>> = {
  resnet20,
  efficientnet: () => staticJob(realFolder && join(realFolder, "model.onnx"), "images/imagenet", ["100", "400"], 2),
  mobilenetv3: () => staticJob(shared("data/models/mobilenetv3_cifar10.onnx"), "cifar10", cifar, 1.5),
  cct: () => staticJob(shared("data/models/cct_cifar10.onnx"), "cifar10", cifar, 1.5),
  small: smallModels,
  quantize: () => wideJob("quantize", 8),
  simplify: () => wideJob("simplify", 8),
  folder: folderJob,
  rdoq: downloadJob,
  recover: recoverJob,
};

const program = fileURLToPath(new URL("../dist/app/cli/main.js", import.meta.url));
if (!existsSync(program)) throw new Error("There is no dist/app/cli/main.js: npm run build makes it.");

/** Seconds of processor time, and by the clock. */
interface Seconds {
  processor: number;
  clock: number;
}

interface Times extends Seconds {
  stages: Record<string, number>;
}

async function runPith(commands: readonly CommandLine[]): Promise<Times> {
  const times: Times = { processor: 0, clock: 0, stages: {} };
  process.env.PITH_STAGES = join(folder, "stages.json");
  const preload = new URL("jobs/stages.mjs", import.meta.url).href;
  for (const words of commands) {
    const usage = await measureProcesses(process.execPath, ["--import", preload, program, ...words, "--json"]);
    if (usage.code > 1) throw new Error(usage.error);
    times.processor += usage.processor;
    times.clock += usage.seconds;
    const stages: Record<string, number> = JSON.parse(readFileSync(process.env.PITH_STAGES, "utf8"));
    for (const [name, seconds] of Object.entries(stages)) times.stages[name] = (times.stages[name] ?? 0) + seconds;
  }
  delete process.env.PITH_STAGES;
  return times;
}

async function runScripts({ scripts, scriptIsPith }: Job, python: string | undefined): Promise<Seconds | undefined> {
  if (scriptIsPith) return runPith(scripts);
  if (python === undefined) return undefined;
  const peer = fileURLToPath(new URL("peers/everyday_jobs.py", import.meta.url));
  const times = { processor: 0, clock: 0 };
  for (const words of scripts) {
    const { code, processor, seconds, error } = await measureProcesses(python, [peer, ...words]);
    if (code !== 0) {
      line(`  the script failed: ${error.trim().split("\n").slice(-2)[0]}`);
      return undefined;
    }
    times.processor += processor;
    times.clock += seconds;
  }
  return times;
}

function fasterOf<T extends Seconds>(one: T | undefined, other: T | undefined): T | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return other.processor < one.processor ? other : one;
}

heading("Everyday jobs, seconds of processor time", 0);
const python = pythonWith(["onnxruntime", "onnx"], options.python);
const summary: string[][] = [];
const targets: string[] = [];
try {
  for (const [name, make] of Object.entries(jobs)) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    const job = await make();
    if (job === undefined) {
      line(`\n${name}: skipped, its model or data is missing`);
      continue;
    }
    let best: Times | undefined;
    let bestScript: Seconds | undefined;
    for (let round = 0; round < Number(options.rounds); round++) {
      best = fasterOf(best, await runPith(job.commands));
      const script = await runScripts(job, python);
      // A job without a script has no time to compare with.
      if (script !== undefined && script.processor > 0) bestScript = fasterOf(bestScript, script);
    }
    if (best === undefined) continue;
    const { processor: total, clock, stages } = best;
    line(`\n${job.title}`);
    const rows = Object.entries(stages).map(([stage, seconds]) => [
      stage,
      seconds.toFixed(2),
      `${((100 * seconds) / total).toFixed(0)} %`,
    ]);
    table(["stage", ">seconds", ">share"], rows);
    const ratio = bestScript && total / bestScript.processor;
    const clockRatio = bestScript && clock / bestScript.clock;
    const limit = job.target === undefined ? `${job.seconds} s` : `${job.target} ×`;
    const shown = (value: number | undefined, unit = ""): string =>
      value === undefined ? "" : `${value.toFixed(unit === "" ? 1 : 2)}${unit}`;
    const clocks = [shown(bestScript?.clock), shown(clock), shown(clockRatio, " ×")];
    summary.push([job.title, shown(bestScript?.processor), shown(total), shown(ratio, " ×"), `≤ ${limit}`, ...clocks]);
    if (job.seconds !== undefined) targets.push(target(job.title, total <= job.seconds, true));
    if (job.target !== undefined && ratio !== undefined) targets.push(target(job.title, ratio <= job.target, true));
  }
} finally {
  rmSync(folder, { recursive: true });
}
line();
const columns = ["job", ">script", ">Pith", ">ratio", ">target", ">script, clock", ">Pith, clock", ">ratio, clock"];
table(columns, summary);
for (const text of targets) line(`  ${text}`);
if (targets.some((text) => text.includes("MISSED"))) process.exitCode = 1;
