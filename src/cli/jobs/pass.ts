/** Job of the commands that change a model: run a pass, measure before and after on data, and write what is still worth having. */
import { cost } from "../../analysis/cost.ts";
import { infer } from "../../analysis/infer.ts";
import { type Dataset, openParts } from "../../data/index.ts";
import { createEngine, type Engine } from "../../engine/index.ts";
import { PithError } from "../../errors.ts";
import {
  agreement,
  type Comparison,
  compareRows,
  judge,
  measure,
  type Size,
  size,
  type Verdict,
} from "../../evaluate/index.ts";
import type { Model } from "../../graph/model.ts";
import { assertValid } from "../../graph/verify.ts";
import type { JobContext } from "../../job/job.ts";
import { open, save } from "../../onnx/index.ts";
import type { Change, Context, Outcome } from "../../passes/index.ts";
import { calibrationSamples, recipeVersion } from "../../recipe/index.ts";
import { verdictSentence } from "../../report/verdict.ts";
import type { DataRequest } from "../data.ts";
import { filesOf } from "../files.ts";
import { type MetricName, metricNamed } from "../metrics.ts";
import { figure } from "../numbers.ts";
import { passCommandNamed, runPass } from "../passes.ts";
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

export interface Weight extends Size {
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
  /** Why the result would not have been written but for `force`. */
  readonly lost: string | undefined;
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
  const nothing = {
    changes: outcome.changes,
    misses,
    before,
    after: undefined,
    preprocessing: judging?.preparation.name,
    comparison: undefined,
    verdict: undefined,
    lost: undefined,
    written: undefined,
  };
  if (outcome.changes.length === 0) return nothing;
  assertValid(model);

  const comparison = judging === undefined ? undefined : await judging.compare(model);
  const verdict =
    comparison === undefined || input.maxDrop === undefined
      ? undefined
      : judge(comparison, { maxDrop: input.maxDrop, strict: input.strict });
  const lost =
    comparison === undefined || command.samples === "train"
      ? undefined
      : lossOf(comparison, verdict, judging?.preparation, input);
  if (lost !== undefined && !input.force) {
    throw new PithError("E_ACCURACY_LOST", `${lost}. Nothing was written.`, {
      hint: "Ask for less, or write it all the same: --force (before fine-tuning, for instance).",
    });
  }
  if (context.signal.aborted) throw new PithError("E_STOPPED", "Stopped on request. Nothing was written.");
  context.stage("write");
  await save(model, input.out);
  context.stage("compress");
  const after = await weightOf(await open(input.out), input.out);
  return { ...nothing, after, comparison, verdict, lost, written: input.out };
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
    ...(await size(...filesOf(model, path))),
    parameters,
    macs: typeof macs === "number" ? String(macs) : macs.text,
  };
}

interface Judging {
  readonly preparation: Preparation;
  /** What the pass trains on or calibrates with. */
  readonly forPass: Dataset | undefined;
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
  const step = { id: input.command, options: input.options };
  const { train, calibrate, test } = await openParts(data.path, {
    calibrate: calibrationSamples({ version: recipeVersion, steps: [step] }),
    seed: input.seed,
    ...(data.samples === undefined ? {} : { test: data.samples }),
  });
  if (training && train === undefined) {
    throw new PithError(
      "E_DATA",
      `${test.name} has one part only: there is nothing to train on beside what it is judged by.`,
    );
  }
  const forPass = training ? train : calibrate;
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
    forPass: forPass === undefined ? undefined : preparation.ready(forPass),
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

/** A share that lost more than half of what it was above chance is not the same function any more. */
const lostShare = 0.5;

/** The sentence that says what was lost: the goal, or, without one, the function. */
function lossOf(
  { metric, unit, original, candidate }: Comparison,
  verdict: Verdict | undefined,
  preparation: Preparation | undefined,
  input: PassInput,
): string | undefined {
  if (verdict !== undefined)
    return verdict.met ? undefined : verdictSentence({ maxDrop: input.maxDrop ?? 0 }, verdict, unit);
  if (unit !== "share") return undefined;
  const floor = preparation?.chance?.share ?? 0;
  if (candidate.value - floor >= lostShare * (original.value - floor)) return undefined;
  return `${metric} falls from ${figure(unit, original.value)} to ${figure(unit, candidate.value)} (n = ${candidate.count})`;
}
