/**
 * Experiment "static": int8 compared with onnxruntime's quantizer and NNCF, calibrated on the same random samples, for several draws.
 *
 * The same runtime runs the files of all tools on the same samples. A metric value is the mean over the draws. Its interval is over the test samples, each with
 * its mean over the draws in which it was tested.
 */
import { mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEngine, type Engine } from "../../src/core/engine/index.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { meanInterval } from "../../src/core/math/confidence-interval.ts";
import { open, save } from "../../src/core/onnx/index.ts";
import { agreement, type Estimate, measure } from "../../src/judge/index.ts";
import { meanKl } from "../../src/runtime/metrics/comparison-metrics.ts";
import { timeSeries } from "../../src/runtime/run/relative-time.ts";
import { type QuantizeOptions, quantize } from "../../src/techniques/quantize/index.ts";
import { heading, line, points, table, target } from "../lib/print.ts";
import { peer, pythonWith } from "../lib/python.ts";
import {
  type Draw,
  type NetworkName,
  networkNames,
  openSamples,
  type Samples,
  timedSample,
  writeSamples,
} from "./samples.ts";

export interface Settings {
  readonly smoke: boolean;
  readonly draws: number;
  readonly models: readonly string[] | undefined;
  /** Rounders of the experiments that compare them; undefined: the default and every named one. */
  readonly rounders: readonly string[] | undefined;
  readonly python: string | undefined;
  /** Folder that keeps the files; undefined: they are removed. */
  readonly keep: string | undefined;
}

export const calibrating = 100;
/** Number of test samples of a smoke run. */
const few = 100;
const ours = "Pith";
/** By default, sums of two adjacent int8 weights are bounded, so that no processor overflows. Full 8 bits, as the peers use, are exact only with VNNI (`runtimes.ts`). */
const ownVariants: Readonly<Record<string, QuantizeOptions>> = {
  [ours]: { scheme: "static" },
  "Pith, 8 bits": { scheme: "static", bits: 8 },
};

/** Goals of a file. Values without a goal are only printed. */
export interface Goals {
  /** Maximum drop, as a share of all samples. */
  readonly drop: number;
  /** Minimum agreement; "peers": at least the best agreement of the peers, and at most their lowest divergence. */
  readonly agreement: number | "peers";
  /** Maximum bytes relative to the smallest peer file, and minimum speed relative to the fastest. */
  readonly cost?: { readonly bytes: number; readonly speed: number };
}

const goals: Goals = { drop: 0.003, agreement: "peers", cost: { bytes: 1.05, speed: 0.97 } };

/** A network, or a variant with different weights that computes the same function. */
export interface Subject {
  readonly title: string;
  readonly network: NetworkName;
  /** Changes the original to the variant. */
  readonly vary?: (model: Model) => Promise<void>;
}

export async function staticInt8(settings: Settings): Promise<boolean> {
  heading(`Static int8, calibrated on ${calibrating} samples, mean over ${settings.draws} draws`, 0);
  const names = settings.smoke ? (["resnet20"] as const) : networkNames;
  return besidePeers(
    names.map((network) => ({ title: network, network })),
    goals,
    settings,
  );
}

/** @returns whether all goals were met. */
export async function besidePeers(subjects: readonly Subject[], all: Goals, settings: Settings): Promise<boolean> {
  let met = true;
  for (const subject of subjects) {
    if (settings.models !== undefined && !settings.models.includes(subject.network)) continue;
    const temporary = await mkdtemp(join(tmpdir(), "pith-bench-"));
    const folder = settings.keep === undefined ? temporary : join(settings.keep, subject.title.replaceAll(/\W+/g, "-"));
    await mkdir(folder, { recursive: true });
    try {
      met = (await measured(subject, all, folder, settings)) && met;
    } finally {
      await rm(temporary, { recursive: true });
    }
  }
  return met;
}

/** The results of one tool over all draws. */
interface Tool {
  /** For each test sample, the sum over the draws in which it is tested; `counts` is the number of these draws. */
  readonly change: Float64Array;
  readonly agree: Float64Array;
  readonly divergence: Float64Array;
  bytes: number;
  seconds: number;
  /** Speed relative to float32, measured on one draw. */
  speed: number;
}

interface Theirs {
  readonly version: string;
  readonly files: readonly {
    readonly tool: string;
    readonly draw: number;
    readonly path: string;
    readonly seconds: number;
  }[];
  readonly failed: Readonly<Record<string, string>>;
}

async function measured(subject: Subject, all: Goals, folder: string, settings: Settings): Promise<boolean> {
  const samples = await openSamples(subject.network, folder, settings.smoke ? few : Infinity);
  line(`\n${subject.title}`);
  if (samples === undefined) {
    line("  not measured: the shared folder (../shared, or PITH_SHARED) does not have it");
    return true;
  }
  const path = join(folder, "original.onnx");
  const original = await open(samples.path);
  await subject.vary?.(original);
  await save(original, path);
  const draws = Array.from({ length: settings.draws }, (_, seed) => samples.draw(calibrating, seed));
  for (const [at, { calibrate }] of draws.entries())
    await writeSamples(join(folder, `calibration-${at}.npz`), calibrate);
  const engine = createEngine();
  const files = await filesOf(path, draws, folder, settings);
  const tools = await toolsOf(engine, path, draws, files, samples);
  const speeds = await speedsOf(
    engine,
    path,
    files.filter(({ draw }) => draw === 0),
    samples,
  );
  for (const [name, tool] of tools) tool.speed = speeds.get(name) ?? Number.NaN;
  return shownAndJudged(tools, counted(draws, samples.test.count), all, settings);
}

interface File {
  readonly tool: string;
  readonly draw: number;
  readonly path: string;
  readonly seconds: number;
}

async function filesOf(
  path: string,
  draws: readonly Draw[],
  folder: string,
  { python }: Settings,
): Promise<readonly File[]> {
  const files: File[] = [];
  for (const [draw, { calibrate }] of draws.entries()) {
    for (const [tool, options] of Object.entries(ownVariants)) {
      const model = await open(path);
      const started = performance.now();
      await quantize(model, { ...options, data: calibrate, samples: calibrating });
      const out = join(folder, `${tool}-${draw}.onnx`);
      await save(model, out);
      files.push({ tool, draw, path: out, seconds: (performance.now() - started) / 1000 });
    }
  }
  const able = pythonWith(["onnxruntime", "onnx", "nncf"], python);
  if (able === undefined) {
    line("  alone: no Python with onnxruntime, onnx and nncf was found (--python)");
    return files;
  }
  const theirs = peer<Theirs>(able, "quantize_static.py", [path, folder, `${draws.length}`]);
  line(`  ${theirs.version}`);
  for (const [tool, why] of Object.entries(theirs.failed)) line(`  ${tool} fails: ${why}`);
  return [...files, ...theirs.files];
}

async function toolsOf(
  engine: Engine,
  path: string,
  draws: readonly Draw[],
  files: readonly File[],
  { metric, test: { count } }: Samples,
): Promise<ReadonlyMap<string, Tool>> {
  const tools = new Map<string, Tool>();
  for (const [at, { test, places }] of draws.entries()) {
    const drawn = files.filter(({ draw }) => draw === at);
    const models = await Promise.all([path, ...drawn.map((file) => file.path)].map((file) => open(file)));
    const measurements = await measure(engine, models, test, [metric, agreement(), meanKl()], { batch: 16 });
    const [[float = new Float64Array()] = []] = measurements;
    for (const [index, file] of drawn.entries()) {
      const [right, agree, divergence] = measurements[index + 1] ?? [];
      const empty = (): Float64Array => new Float64Array(count);
      const fresh = { change: empty(), agree: empty(), divergence: empty(), bytes: 0, seconds: 0, speed: Number.NaN };
      const tool = tools.get(file.tool) ?? fresh;
      for (const [row, place] of places.entries()) {
        tool.change[place] = (tool.change[place] ?? 0) + (right?.[row] ?? 0) - (float[row] ?? 0);
        tool.agree[place] = (tool.agree[place] ?? 0) + (agree?.[row] ?? 0);
        tool.divergence[place] = (tool.divergence[place] ?? 0) + (divergence?.[row] ?? 0);
      }
      tool.bytes += (await stat(file.path)).size / draws.length;
      tool.seconds += file.seconds / draws.length;
      tools.set(file.tool, tool);
    }
  }
  return tools;
}

/** Returns the number of draws in which each sample is tested. */
function counted(draws: readonly Draw[], count: number): Float64Array {
  const counts = new Float64Array(count);
  for (const { places } of draws) for (const place of places) counts[place] = (counts[place] ?? 0) + 1;
  return counts;
}

/** Number of sessions, of which the fastest counts: their memory layout differs, which changes times by 6 %. */
const sessions = 5;

/** Returns the speed relative to float32 with one thread and one sample. Runs alternate, and processor time counts. */
async function speedsOf(
  engine: Engine,
  path: string,
  files: readonly File[],
  { test }: Samples,
): Promise<ReadonlyMap<string, number>> {
  const feeds = await timedSample(test);
  const paths = [path, ...files.map((file) => file.path)];
  const least = paths.map(() => Number.POSITIVE_INFINITY);
  for (let turn = 0; turn < sessions; turn++) {
    const loaded = [];
    for (const file of paths) loaded.push(await engine.load(await open(file), { threads: 1, amongOthers: true }));
    const series = await timeSeries(loaded, feeds, new AbortController().signal);
    for (const [at, times] of series.entries()) least[at] = Math.min(least[at] ?? Number.POSITIVE_INFINITY, ...times);
    for (const session of loaded) await session.release();
  }
  return new Map(files.map(({ tool }, at) => [tool, (least[0] ?? 0) / (least[at + 1] ?? 0)]));
}

interface Figures {
  readonly name: string;
  readonly change: Estimate;
  readonly agree: Estimate;
  readonly divergence: Estimate;
  readonly tool: Tool;
}

function shownAndJudged(
  tools: ReadonlyMap<string, Tool>,
  counts: Float64Array,
  all: Goals,
  { smoke }: Settings,
): boolean {
  const mean = (sums: Float64Array): Estimate =>
    meanInterval(sums.map((sum, at) => sum / (counts[at] ?? 1)).filter((_, at) => (counts[at] ?? 0) > 0));
  const figures = [...tools].map(
    ([name, tool]): Figures => ({
      ...{ name, tool, change: mean(tool.change), agree: mean(tool.agree) },
      divergence: mean(tool.divergence),
    }),
  );
  table(
    ["", ">change, points (95 %)", ">agreement, %", ">KL", ">kB", ">× float32", ">s"],
    figures.map(({ name, change, agree, divergence, tool }) => [
      name,
      points(change),
      (100 * agree.value).toFixed(2),
      divergence.value.toPrecision(2),
      (tool.bytes / 1000).toFixed(0),
      tool.speed.toFixed(2),
      tool.seconds.toFixed(1),
    ]),
  );
  if (smoke) {
    line("  a smoke run: too few samples to judge by");
    return true;
  }
  const judging = figures.find(({ name }) => name === ours);
  if (judging === undefined) return false;
  const peers = figures.filter(({ name }) => ownVariants[name] === undefined);
  const checks = judged(judging, peers, mean, all);
  for (const [text, met, shown] of checks) line(`  ${target(text, met, shown)}`);
  return checks.every(([, met]) => met);
}

type Check = readonly [text: string, met: boolean, shown: boolean];

function judged(
  ours: Figures,
  peers: readonly Figures[],
  mean: (sums: Float64Array) => Estimate,
  all: Goals,
): readonly Check[] {
  const { change, agree, divergence, tool } = ours;
  const { drop, agreement: least, cost } = all;
  const checks: Check[] = [[`within ${100 * drop} points`, -change.value <= drop, -change.low <= drop]];
  if (least !== "peers") checks.push([`agreement ≥ ${100 * least} %`, agree.value >= least, agree.low >= least]);
  const [first] = peers;
  if (first === undefined) return checks;
  if (least === "peers") {
    const best = peers.reduce((a, b) => (b.agree.value > a.agree.value ? b : a), first);
    const agreementGain = mean(tool.agree.map((sum, at) => sum - (best.tool.agree[at] ?? 0)));
    checks.push([
      `agreement as ${best.name}, ${points(agreementGain)}`,
      agreementGain.value >= 0,
      agreementGain.low >= 0,
    ]);
    const nearest = peers.reduce((a, b) => (b.divergence.value < a.divergence.value ? b : a), first);
    const divergenceGain = mean(tool.divergence.map((sum, at) => sum - (nearest.tool.divergence[at] ?? 0)));
    const ratio = (divergence.value / nearest.divergence.value).toFixed(2);
    checks.push([`KL as ${nearest.name}, ${ratio} of it`, divergenceGain.value <= 0, divergenceGain.high <= 0]);
  }
  if (cost === undefined) return checks;
  const bytes = tool.bytes / Math.min(...peers.map((one) => one.tool.bytes));
  const speed = tool.speed / Math.max(...peers.map((one) => one.tool.speed));
  checks.push([`${bytes.toFixed(3)} ≤ ${cost.bytes} of the smallest`, bytes <= cost.bytes, true]);
  checks.push([`${speed.toFixed(2)} ≥ ${cost.speed} of the fastest`, speed >= cost.speed, true]);
  return checks;
}
