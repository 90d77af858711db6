/** Job of the commands that change a model: run a pass, measure before and after on data, and write what is still worth having. */
import { cost } from "../../analysis/cost.ts";
import { infer } from "../../analysis/infer.ts";
import { type Dataset, openDataset, take } from "../../data/index.ts";
import { createEngine, type Engine } from "../../engine/index.ts";
import { PithError } from "../../errors.ts";
import { agreement, type Comparison, compareRows, judge, measure, type Verdict } from "../../evaluate/index.ts";
import type { Model } from "../../graph/model.ts";
import { assertValid } from "../../graph/verify.ts";
import type { JobContext } from "../../job/job.ts";
import { open, save } from "../../onnx/index.ts";
import type { Change, Context, Outcome } from "../../passes/index.ts";
import { type DataRequest, openParts } from "../data.ts";
import { fileBytes, filesOf } from "../files.ts";
import { figure, isShare, type MetricName, metricNamed } from "../metrics.ts";
import { passCommandNamed, runPass } from "../passes.ts";
import { verdictText } from "../verdict.ts";
import { type Preparation, prepare } from "./prepare.ts";

export interface PassInput {
  readonly command: string;
  readonly model: string;
  readonly out: string;
  /** Flags of the pass, as given: it checks them itself. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Whether the pass has an option called `data`. */
  readonly takesData: boolean;
  readonly data: DataRequest | undefined;
  readonly metric: MetricName;
  readonly output: string | undefined;
  readonly maxDrop: number | undefined;
  readonly strict: boolean;
  /** Write the result whatever became of its accuracy. */
  readonly force: boolean;
  readonly seed: number;
}

export interface Weight {
  readonly bytes: number;
  readonly parameters: number;
  /** A number, or a polynomial in named dimensions. */
  readonly macs: string;
}

export interface PassOutput {
  readonly changes: readonly Change[];
  readonly misses: readonly { readonly at: string | undefined; readonly reason: string }[];
  readonly before: Weight;
  readonly after: Weight | undefined;
  readonly preprocessing: string | undefined;
  readonly comparison: Comparison | undefined;
  readonly verdict: Verdict | undefined;
  /** Undefined where nothing changed: then nothing is written. */
  readonly written: string | undefined;
}

export default async function passJob(input: PassInput, context: JobContext): Promise<PassOutput> {
  const command = passCommandNamed(input.command);
  const [pass, model] = await Promise.all([command.load(), open(input.model)]);
  const original = model.clone();
  const engine = createEngine();
  const judging =
    input.data === undefined ? undefined : await openJudging(engine, original, input, input.data, context);

  context.stage(input.command);
  const given = judging !== undefined && input.takesData ? { ...input.options, data: judging.forPass } : input.options;
  const outcome: Outcome = await runPass(pass, model, given, passContext(engine, input, context));
  const misses = outcome.misses.map(({ reason, at }) => ({ reason, at }));
  const before = await weightOf(original, input.model);
  const nothing = { changes: outcome.changes, misses, before, preprocessing: judging?.preparation.name };
  if (outcome.changes.length === 0) {
    return { ...nothing, after: undefined, comparison: undefined, verdict: undefined, written: undefined };
  }
  assertValid(model);

  const comparison = judging === undefined ? undefined : await judging.compare(model);
  const verdict =
    comparison === undefined || input.maxDrop === undefined
      ? undefined
      : judge(comparison, { maxDrop: input.maxDrop, strict: input.strict });
  if (!input.force && command.samples !== "train") requireFunction(comparison, verdict, judging?.preparation, input);
  context.stage("write");
  await save(model, input.out);
  const after = await weightOf(await open(input.out), input.out);
  return { ...nothing, after, comparison, verdict, written: input.out };
}

function passContext(engine: Engine, input: PassInput, context: JobContext): Context {
  return {
    engine,
    seed: input.seed,
    signal: context.signal,
    log: (event) => context.log(event),
    progress: (done, total) => context.progress(done, total),
    open: (reference) => open(reference),
  };
}

async function weightOf(model: Model, path: string): Promise<Weight> {
  const copy = model.clone();
  const { parameters, macs } = cost(copy, infer(copy));
  return {
    bytes: await fileBytes(filesOf(model, path)),
    parameters,
    macs: typeof macs === "number" ? String(macs) : macs.text,
  };
}

interface Judging {
  readonly preparation: Preparation;
  /** What the pass trains on or calibrates with. */
  readonly forPass: Dataset;
  compare(model: Model): Promise<Comparison>;
}

async function openJudging(
  engine: Engine,
  original: Model,
  input: PassInput,
  data: DataRequest,
  context: JobContext,
): Promise<Judging> {
  const training = passCommandNamed(input.command).samples === "train";
  const { forPass, test } = training ? await openTraining(data) : await openCalibration(data);
  const preparation = await prepare(engine, original, input.model, data, test, context);
  if (!training && preparation.chance?.beaten === false && !input.force) {
    throw new PithError(
      "E_DATA",
      "The model is no better than chance on this data, before anything was changed: nothing was done.",
      {
        hint: "State the preprocessing it was trained with: --preprocess. Or the labels are of another data set. --force goes on.",
      },
    );
  }
  const options = input.output === undefined ? {} : { output: input.output };
  const metric = preparation.labelled ? metricNamed(input.metric, input.output) : agreement(options);
  return {
    preparation,
    forPass: preparation.ready(forPass),
    async compare(model) {
      context.stage("evaluate");
      const rows = await measure(engine, [original, model], preparation.ready(test), [metric], {
        batch: data.batch,
        signal: context.signal,
        progress: (done, total) => context.progress(done, total),
      });
      return compareRows(metric, rows[0]?.[0] ?? new Float64Array(), rows[1]?.[0] ?? new Float64Array());
    },
  };
}

async function openTraining(data: DataRequest): Promise<{ readonly forPass: Dataset; readonly test: Dataset }> {
  const [forPass, test] = await Promise.all([
    openDataset(data.path, { part: "train" }),
    openDataset(data.path, { part: "test" }),
  ]);
  return { forPass, test: data.samples === undefined ? test : take(test, data.samples) };
}

async function openCalibration(data: DataRequest): Promise<{ readonly forPass: Dataset; readonly test: Dataset }> {
  const { calibrate, test } = await openParts(data.path, data.samples);
  return { forPass: calibrate, test };
}

/** A share that lost more than half of what it was above chance is not the same function any more. */
const lostShare = 0.5;

/** @throws PithError E_ACCURACY_LOST if the goal is missed, or, without one, if the function is gone. */
function requireFunction(
  comparison: Comparison | undefined,
  verdict: Verdict | undefined,
  preparation: Preparation | undefined,
  input: PassInput,
): void {
  if (comparison === undefined) return;
  const { metric, original, candidate } = comparison;
  const hint = "Ask for less, or write it all the same: --force (before fine-tuning, for instance).";
  if (verdict !== undefined) {
    if (verdict.met) return;
    throw new PithError(
      "E_ACCURACY_LOST",
      `${verdictText(verdict, metric, input.maxDrop ?? 0)}. Nothing was written.`,
      { hint },
    );
  }
  if (!isShare(metric)) return;
  const floor = preparation?.chance?.share ?? 0;
  if (candidate.value - floor >= lostShare * (original.value - floor)) return;
  const change = `${metric} falls from ${figure(metric, original.value)} to ${figure(metric, candidate.value)}`;
  throw new PithError("E_ACCURACY_LOST", `${change} (n = ${candidate.count}). Nothing was written.`, { hint });
}
