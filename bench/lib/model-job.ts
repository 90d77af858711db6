/**
 * Job of the bench of models: one model through the jobs of the commands, in one process. Each finished step is told at once, so that
 * what a crash takes down is one step, and the bench goes on with the next in another process.
 */
import { join } from "node:path";
import type { DataRequest } from "../../src/cli/data.ts";
import { fileBytes, filesOf } from "../../src/cli/files.ts";
import { describeModel } from "../../src/cli/inspect/describe.ts";
import evalJob, { type EvalInput, type Measurement } from "../../src/cli/jobs/eval.ts";
import passJob from "../../src/cli/jobs/pass.ts";
import plotJob from "../../src/cli/jobs/plot.ts";
import simplifyJob from "../../src/cli/jobs/simplify.ts";
import { createEngine, type Engine } from "../../src/engine/index.ts";
import { PithError } from "../../src/errors.ts";
import { decibels, latency, type Spread, size } from "../../src/evaluate/index.ts";
import { type Model, verify } from "../../src/graph/index.ts";
import type { JobContext } from "../../src/job/job.ts";
import { open } from "../../src/onnx/index.ts";
import { isFloat, toFloat64 } from "../../src/tensor/convert.ts";
import type { Batch, Dense } from "../../src/tensor/types.ts";
import { writeNpz } from "./npz.ts";
import { runnable, samplesLike } from "./random-inputs.ts";

/** What a row of the table is about, in its order. */
export const steps = [
  "inspect",
  "plot",
  "eval",
  "simplify",
  "prune",
  "dynamic",
  "static",
  "weights",
  "float16",
  "factorize",
] as const;
export type Step = (typeof steps)[number];

/** The stage before the first step, in which the model runs for the first time. */
export const lookingForData = "look for data";

/** What became of a step. All but the first two are faults of Pith or of the runtime, or say that the function is gone. */
export type Outcome =
  | "done"
  /** Nothing was changed, for reasons that are said. */
  | "refused"
  /** It was written because that was forced: it answers as its original no longer. */
  | "lost"
  /** A sentence in place of a result. */
  | "error"
  /** An exception that is no PithError. */
  | "internal"
  /** The result is no legal graph, or does not run where its original does, or a step that should change nothing did. */
  | "wrong"
  /** The process ended. */
  | "crashed"
  | "too slow";

export interface Row {
  readonly step: Step;
  readonly outcome: Outcome;
  readonly seconds: number;
  readonly bytes?: number;
  readonly brotli?: number | undefined;
  /** Times as fast as the original. */
  readonly speed?: Spread;
  /** Samples that are answered as the original does; undefined where the outputs are not scores of classes. */
  readonly agreement?: number | undefined;
  /** Infinite where nothing differs; undefined where it is not measured. */
  readonly decibels?: number | undefined;
  readonly note: string;
  /** What was refused: where, and why. */
  readonly misses?: readonly { readonly at: string | undefined; readonly reason: string }[];
}

export interface ModelInput {
  readonly path: string;
  /** Steps that are still to do. */
  readonly steps: readonly Step[];
  /** Data sets with labels, of which the first that the model knows something about is used. */
  readonly labelled: readonly string[];
  /** Samples of such a data set that the model is judged by. */
  readonly samples: number;
  /** Why the model is not to be run: it took a process down. */
  readonly notRun: string | undefined;
  readonly seed: number;
}

/** Less of ten classes is no knowledge: a network that was never trained may be lucky. */
const leastAccuracy = 0.3;
/** How often a model is timed beside its original. */
const rounds = 12;
/** Fewer decibels than these between a model and itself are no rounding. */
const sameDecibels = 60;

interface Measured {
  /** What `--data` is given; undefined where no random data set can be made. */
  readonly data: DataRequest | undefined;
  /** A batch that the original runs on; a sentence where there is none. */
  readonly feeds: Batch | string;
  readonly about: string;
}

export default async function modelJob(input: ModelInput, context: JobContext): Promise<void> {
  const engine = createEngine();
  const quiet: JobContext = { ...context, stage: () => {}, progress: () => {}, log: () => {} };
  const original = await open(input.path);
  context.stage(lookingForData);
  const measured =
    input.notRun === undefined
      ? await findData(engine, original, input, quiet)
      : { data: undefined, feeds: input.notRun, about: input.notRun };
  for (const step of input.steps) {
    context.stage(step);
    const started = performance.now();
    const found = await attempt(() => takeStep(step, { engine, original, measured, input, context: quiet }));
    const row: Row = { ...found, step, seconds: (performance.now() - started) / 1000 };
    // JSON has no infinity.
    const text = JSON.stringify(row, (_, value) => (value === Number.POSITIVE_INFINITY ? "infinite" : value));
    context.log({ id: "row", text });
  }
}

/** A row as it was told. */
export function readRow(text: string): Row {
  return JSON.parse(text, (_, value) => (value === "infinite" ? Number.POSITIVE_INFINITY : value)) as Row;
}

type Found = Omit<Row, "step" | "seconds">;

async function attempt(body: () => Promise<Found>): Promise<Found> {
  try {
    return await body();
  } catch (error) {
    if (error instanceof PithError && error.code === "E_STOPPED") throw error;
    if (error instanceof PithError) return { outcome: "error", note: `${error.code}: ${error.message}` };
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { outcome: "internal", note: stack.split("\n").slice(0, 3).join(" ") };
  }
}

interface Doing {
  readonly engine: Engine;
  readonly original: Model;
  readonly measured: Measured;
  readonly input: ModelInput;
  readonly context: JobContext;
}

async function takeStep(step: Step, doing: Doing): Promise<Found> {
  const { input, context, measured } = doing;
  const out = join(context.temporary, `${step}.onnx`);
  switch (step) {
    case "inspect": {
      const model = await open(input.path);
      const bytes = await fileBytes(filesOf(model, input.path));
      const { layers, operators, notUnderstood } = await describeModel(model, input.path, bytes);
      const nodes = Object.values(operators).reduce((sum, count) => sum + count, 0);
      const reasons = notUnderstood.length === 0 ? "" : `; ${notUnderstood.length} not understood`;
      return {
        outcome: "done",
        ...(await size(...filesOf(model, input.path))),
        note: `${nodes} nodes, ${layers.length} layers${reasons}; ${measured.about}`,
        misses: notUnderstood,
      };
    }
    case "plot": {
      const page = join(context.temporary, "plot.html");
      const written = await plotJob({ model: input.path, name: "model", out: page, amount: 0.5 }, context);
      return { outcome: "done", note: `a page of ${Math.ceil(written / 1000)} kB` };
    }
    case "eval": {
      if (typeof measured.feeds === "string") return { outcome: "refused", note: measured.about };
      const found = await measure(doing, input.path, doing.original);
      const same = !((found.decibels ?? Number.POSITIVE_INFINITY) < sameDecibels);
      return { outcome: same ? "done" : "wrong", note: "with itself", ...found };
    }
    case "simplify": {
      const given = {
        model: input.path,
        out,
        set: {},
        fix: {},
        keepOutputs: [],
        finalize: false,
        sizes: {},
        force: true,
      };
      const { before, after, comparison, misses } = await simplifyJob({ ...given, seed: input.seed }, context);
      const apart = typeof comparison === "string" ? `not compared: ${comparison}` : undefined;
      const wrong = typeof comparison !== "string" && !(comparison.difference <= comparison.tolerance);
      const said = wrong ? `output "${comparison.at}" ${comparison.difference.toExponential(1)} apart` : apart;
      const note = `${before.nodes} → ${after.nodes} nodes${said === undefined ? "" : `; ${said}`}`;
      const found = await judged(doing, out, { outcome: wrong ? "wrong" : "done", note, misses });
      return { ...found, misses };
    }
    case "prune":
      return pass(doing, out, "prune", { amount: 0.3, structured: true });
    case "factorize":
      return pass(doing, out, "factorize", { energy: 0.9 });
    default:
      return pass(doing, out, "quantize", { scheme: step });
  }
}

/** A command that changes a model, forced to write; without data where the model takes no random ones. */
async function pass(doing: Doing, out: string, command: string, options: Record<string, unknown>): Promise<Found> {
  const { input, context, measured } = doing;
  const { data } = measured;
  if (data === undefined && options.scheme === "static")
    return { outcome: "refused", note: `no data: ${measured.about}` };
  const settings = { metric: "accuracy", output: undefined, maxDrop: undefined, strict: false, force: true } as const;
  const result = await passJob(
    { command, model: input.path, out, options, data, ...settings, seed: input.seed },
    context,
  );
  const { misses, lost, changes } = result;
  if (result.written === undefined) {
    const [first] = misses;
    return { outcome: "refused", note: first === undefined ? "there is nothing to change" : first.reason, misses };
  }
  const note = lost ?? `${changes.length} changed${misses.length === 0 ? "" : `, ${misses.length} refused`}`;
  return judged(doing, out, { outcome: lost === undefined ? "done" : "lost", note, misses });
}

/** The written file: legal, measured beside the original, timed beside it. */
async function judged(doing: Doing, out: string, found: Found): Promise<Found> {
  const { engine, original, measured, context } = doing;
  const written = await open(out);
  const weight = await size(...filesOf(written, out));
  const faults = verify(written);
  if (faults.length > 0) return { ...found, ...weight, outcome: "wrong", note: `illegal: ${faults[0]}` };
  if (typeof measured.feeds === "string") return { ...found, ...weight, note: `${found.note}; not run` };
  try {
    const figures = await measure(doing, out, written);
    const timed = await latency(engine, [original, written], measured.feeds, {
      rounds,
      warmUp: 2,
      signal: context.signal,
    });
    const speed = timed.models[1]?.speedup;
    return { ...found, ...weight, ...figures, ...(speed === undefined ? {} : { speed }) };
  } catch (error) {
    if (!(error instanceof PithError) || error.code === "E_STOPPED") throw error;
    const note = `its original runs, and it does not: ${error.code}: ${error.message}`;
    return { ...found, ...weight, outcome: "wrong", note };
  }
}

/** `pith eval --against`, or where no data set fits, both on one random batch. */
async function measure(doing: Doing, path: string, model: Model): Promise<Pick<Row, "agreement" | "decibels">> {
  const { engine, original, measured, input, context } = doing;
  if (measured.data !== undefined) {
    const { measured: found } = await evalJob(evaluation(path, input.path, measured.data, input.seed), context);
    return figuresOf(found);
  }
  if (typeof measured.feeds === "string") return {};
  const [first, second] = [await engine.load(original), await engine.load(model)];
  try {
    return { decibels: apart(await first.run(measured.feeds), await second.run(measured.feeds)) };
  } finally {
    await first.release();
    await second.release();
  }
}

function evaluation(model: string, against: string, data: DataRequest, seed: number): EvalInput {
  const nothing = { score: undefined, output: undefined, maxDrop: undefined, strict: false } as const;
  return { model, against, data, part: "test", metric: "accuracy", seed, ...nothing };
}

function figuresOf(found: Measurement | undefined): Pick<Row, "agreement" | "decibels"> {
  const value = (name: string): number | undefined =>
    found?.figures.find(({ metric }) => metric === name)?.estimate.value;
  return { agreement: value("agreement"), decibels: value("signal to noise") };
}

/** Decibels of the worst output of floats; 0 where one that should be equal is not. */
function apart(expected: Batch, got: Batch): number {
  const each = Object.entries(expected).map(([name, dense]) => {
    const other = got[name];
    return other === undefined || other.dims.join() !== dense.dims.join() ? 0 : signal(dense, other);
  });
  return Math.min(Number.POSITIVE_INFINITY, ...each);
}

function signal(expected: Dense, got: Dense): number {
  if (expected.type === "string" || got.type === "string" || !isFloat(expected.type)) {
    const same = expected.data.every((value, index) => value === got.data[index]);
    return same ? Number.POSITIVE_INFINITY : 0;
  }
  const [a, b] = [toFloat64(expected), toFloat64(got)];
  let [power, noise] = [0, 0];
  for (let index = 0; index < a.length; index++) {
    const [x = 0, y = 0] = [a[index], b[index]];
    if (Object.is(x, y) || x === y) continue;
    noise += (x - y) ** 2;
  }
  for (const x of a) power += x * x;
  return decibels(power, noise);
}

/** Data with labels that the model knows something about; else random samples; else one batch. */
async function findData(engine: Engine, model: Model, input: ModelInput, context: JobContext): Promise<Measured> {
  const nothing = { preprocess: undefined, set: [], states: [], batch: 32 };
  const session = await engine.load(model).catch((error: unknown) => {
    if (error instanceof PithError) return error.message;
    throw error;
  });
  if (typeof session === "string")
    return { data: undefined, feeds: session, about: `the runtime does not load it: ${session}` };
  const feeds = await runnable(session, model, input.seed).finally(() => session.release());
  if (typeof feeds === "string") return { data: undefined, feeds, about: `it was not run: ${feeds}` };
  for (const path of input.labelled) {
    const found = await known(input, { ...nothing, path, samples: input.samples }, context);
    if (found !== undefined) return { feeds, ...found };
  }
  const made = samplesLike(model, feeds, input.seed);
  if (made === undefined)
    return { data: undefined, feeds, about: "one random batch: its inputs share no axis of samples" };
  const path = join(context.temporary, "random.npz");
  writeNpz(path, made);
  const data = { ...nothing, path, samples: undefined };
  try {
    const { measured } = await evalJob(evaluation(input.path, input.path, data, input.seed), context);
    return { data, feeds, about: `${measured?.samples} random samples` };
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    return { data: undefined, feeds, about: `one random batch: ${error.message}` };
  }
}

/** "accuracy 98.3 % of 500 in mnist", where the model knows the data; what was guessed of it is stated from then on, since guessing takes long. */
async function known(
  input: ModelInput,
  data: DataRequest,
  context: JobContext,
): Promise<Omit<Measured, "feeds"> | undefined> {
  try {
    const evaluated = evaluation(input.path, input.path, data, input.seed);
    const { measured } = await evalJob({ ...evaluated, against: undefined }, context);
    const [figure] = measured?.figures ?? [];
    if (measured === undefined || figure === undefined || figure.estimate.low < leastAccuracy) return undefined;
    const preprocess = /^guessed "([^"]*)"/.exec(measured.preprocessing ?? "")?.[1];
    const about = `accuracy ${(100 * figure.estimate.value).toFixed(1)} % of ${measured.samples} in ${measured.dataset}`;
    return { data: { ...data, preprocess: preprocess ?? data.preprocess }, about };
  } catch (error) {
    if (error instanceof PithError) return undefined;
    throw error;
  }
}
