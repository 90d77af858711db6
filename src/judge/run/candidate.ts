/** Runs the steps of a candidate, compares their results with the original, and judges the last one. A command is a candidate of one step. */
import type { Dataset } from "#batches";
import { capitalize, counted, excessText, Miss, type Model, PithError, throwIfAborted } from "#ir";
import type { Context, OptionValues } from "#pass";
import type { Task } from "../../runtime/metrics/metric.ts";
import { requireLoads } from "../../runtime/run/load-check.ts";
import { type Goal, isWithin, judge, needsFallback } from "../compare/goal.ts";
import { checkTargets, type TargetCheck } from "../compare/target-check.ts";
import {
  createJudgeWithoutData,
  lossRatioOf,
  noiseRatioOf,
  type OtherSamples,
  separateSearchSamples,
} from "../fallback/fallback-samples.ts";
import { formatSettings, type PrecisionFallback } from "../fallback/precise-layers.ts";
import { type FallbackJudge, findFallback } from "../fallback/precision-fallback.ts";
import { fitToBytes, fitToDownload } from "../fallback/size-budget.ts";
import { checkFunction, type FunctionCheck, trainingOf, withOutputsOf } from "../measure/function-check.ts";
import type { PairedMetricsOptions, PairedResult } from "../measure/paired-metrics.ts";
import { judgeResult, type RejectionCause } from "../measure/rejection-cause.ts";
import type { PassStep } from "../recipe/pass-steps.ts";
import type { Measured } from "../record/run-record.ts";
import { brokenText, lossText } from "../record/verdict.ts";
import type { StepOutput, StepResult, StepRunner } from "../steps/runner.ts";
import { changeStep, type ParsedStep } from "../steps/step-options.ts";
import { recordOnce, type Store } from "../steps/store.ts";
import { keyOfSamples } from "./record-keys.ts";
import { checkGoal, type GoalCheck, type Reference } from "./step-comparison.ts";
import type { StepContext, StepRequest } from "./step-request.ts";

export interface MetricComparison extends PairedResult {
  readonly reference?: Reference | undefined;
  /** The file as it would be written, with masks applied. */
  readonly measured?: Measured;
}

/** Compares stored models on the test samples with the model that they must equal. */
export interface Comparer<C extends MetricComparison = MetricComparison> {
  readonly task: Pick<Task, "test" | "metric">;
  readonly options: PairedMetricsOptions;
  readonly goal: Goal | undefined;
  /** Number of samples on which options were chosen, which are not compared. */
  readonly searched?: number | undefined;
  compare(output: string, name: string): Promise<C>;
  /** Returns a comparer on samples that a search for options does not use. */
  without(searchSamples: OtherSamples): Promise<Comparer<C>>;
}

export interface CandidateRequest<C extends MetricComparison = MetricComparison>
  extends Pick<StepRequest, "inputs" | "output" | "condition" | "force" | "judgedTogether" | "targets"> {
  /** Undefined for the step of a command. */
  readonly name?: string;
  readonly steps: readonly PassStep[];
  readonly store: Store;
  readonly runner: StepRunner;
  readonly context: StepContext;
  /** Undefined without data. */
  readonly comparer: Comparer<C> | undefined;
  readonly originalName: string;
  /** Stored model that results are compared with (default: the original of the store). */
  readonly original?: string;
  /** Undefined for random inputs. */
  readonly test: Dataset | undefined;
  readonly calibrate?: Dataset | undefined;
  /** Plain data that determines the metrics of a model. */
  readonly metricInputs?: unknown;
  /** Whether timing, reports or other candidates need the stored results. */
  readonly keepsResults?: boolean;
  /** The stored model that is judged if there are no steps. */
  readonly result?: string;
  /** Called before the pass runs, with the chosen options. */
  announce?(step: ParsedStep): void;
  /** Default: as the step requires. */
  isJudged?(result: StepResult): Promise<boolean>;
  /** @returns false to skip the next steps and the judgement. */
  onFinished?(step: PassStep, finishedStep: FinishedStep<C>, wasStored: boolean): boolean;
  /** Returns why a result misses the goal (default: if it lost its knowledge). */
  goalMissText?(check: GoalCheck, finishedStep: Omit<JudgedResult<C>, "output">): string | undefined;
}

/** Comparison by the metric, or without data, of the outputs. */
export interface Findings<C extends MetricComparison = MetricComparison> {
  readonly metricComparison: C | undefined;
  /** Undefined without a goal. */
  readonly goalCheck: GoalCheck | undefined;
  /** Undefined if only the metric was compared, or a folder compares its models together. */
  readonly functionCheck: FunctionCheck | undefined;
}

interface JudgedResult<C extends MetricComparison> {
  readonly output: string;
  readonly findings: Findings<C>;
  readonly searched?: number | undefined;
}

export interface FinishedStep<C extends MetricComparison = MetricComparison>
  extends Partial<Omit<JudgedResult<C>, "output">> {
  readonly result: StepResult;
  readonly fallback?: PrecisionFallback;
  /** Why no layers are kept at higher precision, although the step misses the goal. */
  readonly failedFallback?: Miss;
}

export interface Judgement<C extends MetricComparison = MetricComparison> extends Findings<C> {
  readonly rejectionCause: RejectionCause | undefined;
  readonly targets: readonly TargetCheck[];
}

export const comparedResultOf = ({ metricComparison, goalCheck, functionCheck, targets = [] }: Partial<Judgement>) => ({
  comparison: metricComparison?.comparison,
  verdict: goalCheck?.verdict,
  likeness: functionCheck?.likeness,
  others: functionCheck?.others,
  targets,
});

type FallbackRecord =
  | { readonly options?: undefined; readonly reason: string }
  | (Pick<StepResult, "changes" | "misses" | "options"> & { readonly fallback: PrecisionFallback });

export interface CandidateResult<C extends MetricComparison = MetricComparison> {
  readonly finishedStep: FinishedStep<C> | undefined;
  /** Undefined if the last result was not compared or is the original. */
  readonly judgement: Judgement<C> | undefined;
}

/** Continues after the last step that an earlier run finished. @throws PithError E_ACCURACY_LOST, and the errors of the passes. */
export async function runCandidate<C extends MetricComparison = MetricComparison>(
  candidate: CandidateRequest<C>,
): Promise<CandidateResult<C>> {
  const { name, steps, store, runner, original = store.original } = candidate;
  let position = "";
  const context: StepContext = {
    ...candidate.context,
    stage: (stage) => candidate.context.stage(`${position}${stage}`),
  };
  const run = new CandidateRun({ ...candidate, original, context });
  const states = store.records === undefined ? [] : await runner.states(steps);
  const { length: storedCount } = states.filter(({ done }) => done);
  const lastStored = steps[storedCount - 1];
  if (lastStored !== undefined) context.log({ id: "resume", text: `${name}: continued after ${lastStored.name}` });
  let finishedStep: FinishedStep<C> | undefined;
  let judgedResult: JudgedResult<C> | undefined;
  for (const [index, step] of steps.entries()) {
    const input: string = finishedStep?.result.output ?? store.original;
    if (candidate.keepsResults !== true) await store.trim([input, original]);
    throwIfAborted(context.signal, `Stopped before ${step.name}.`);
    if (steps.length > 1) position = `step ${index + 1} of ${steps.length}: `;
    const wasStored = index < storedCount;
    if (!wasStored) context.stage(step.name);
    finishedStep = await run.runStep(step, input);
    if (candidate.onFinished?.(step, finishedStep, wasStored) === false) return { finishedStep, judgement: undefined };
    const { result, findings, searched } = finishedStep;
    judgedResult = findings && { output: result.output, findings, searched };
  }
  if (candidate.result !== undefined)
    judgedResult = { output: candidate.result, findings: await run.compareResult(candidate.result) };
  return { finishedStep, judgement: judgedResult && (await run.judge(judgedResult)) };
}

class CandidateRun<C extends MetricComparison> {
  readonly #run: CandidateRequest<C> & { readonly original: string };
  #comparer: Comparer<C> | undefined;

  constructor(run: CandidateRequest<C> & { readonly original: string }) {
    this.#run = run;
    this.#comparer = run.comparer;
  }

  async runStep(step: PassStep, input: string): Promise<FinishedStep<C>> {
    const { runner, context, announce, isJudged } = this.#run;
    const kept = step.fallsBack === true && step.pass.fallbackOverrides !== undefined ? new Map() : undefined;
    const chosenStep = changeStep(step, await this.#chooseOptions(step, input));
    announce?.(chosenStep);
    const result = await runner.run(chosenStep, input, { intermediates: kept });
    if (!((await isJudged?.(result)) ?? step.judged)) return { result };
    const finishedStep = { result, findings: await this.compareResult(result.output, step) };
    // Layers at higher precision would exceed a maximum size.
    const isFinal = kept === undefined || (step.maxBytes ?? step.maxDownload) !== undefined;
    const attemptContext = { ...silence(context), intermediates: kept };
    const finalStep = isFinal ? finishedStep : await this.#keepPreciseLayers(step, input, finishedStep, attemptContext);
    return { ...finalStep, searched: this.#comparer?.searched };
  }

  /** Returns undefined if the result is the original. */
  async judge(judgedResult: JudgedResult<C>): Promise<Judgement<C> | undefined> {
    const { original, goalMissText = ({ lostKnowledge }) => lostKnowledge, force } = this.#run;
    const { metricComparison, goalCheck } = judgedResult.findings;
    const digest = metricComparison?.measured?.sha256 ?? judgedResult.output;
    if (digest === original) return undefined;
    const functionCheck = judgedResult.findings.functionCheck ?? (await this.#checkFunction(digest, metricComparison));
    const goalMiss = goalCheck && goalMissText(goalCheck, judgedResult);
    const checks = { comparison: metricComparison?.comparison, goalMiss, functionCheck };
    const verdict = await judgeResult(checks, force === true, () => this.#checkOnTargets(digest));
    return { metricComparison, goalCheck, functionCheck, ...verdict };
  }

  async compareResult(output: string, step?: PassStep, comparer = this.#comparer): Promise<Findings<C>> {
    const noComparison = { metricComparison: undefined, goalCheck: undefined };
    if (comparer === undefined) return { ...noComparison, functionCheck: await this.#checkFunction(output, undefined) };
    if (step !== undefined) this.#run.context.stage("evaluate");
    const metricComparison = await comparer.compare(output, `after ${step?.name}`);
    const goalCheck = checkGoal(metricComparison, comparer.goal, this.#run.originalName);
    return { metricComparison, goalCheck, functionCheck: undefined };
  }

  async #checkFunction(digest: string, metricComparison: C | undefined): Promise<FunctionCheck | undefined> {
    const { steps, store, context, metricInputs, test, force = false, output, judgedTogether } = this.#run;
    const trained = trainingOf(steps);
    if (judgedTogether === true) {
      const [original, result] = await this.#openPair(digest);
      await requireLoads(context.engine, result, original);
      return undefined;
    }
    const key = { comparedOutputs: digest, judging: metricInputs, trained, seed: context.seed };
    return recordOnce(store.records, key, async () => {
      if (trained !== "labels" || test === undefined) context.stage("compare");
      const functionTest = { test, comparison: metricComparison?.comparison, trained, output, forced: force };
      return checkFunction(context, ...(await this.#openPair(digest)), functionTest);
    });
  }

  /** Returns the original without outputs that the steps removed, and the result. */
  async #openPair(digest: string): Promise<readonly [original: Model, result: Model]> {
    const { steps, store } = this.#run;
    const [original, result] = [await store.read(this.#run.original), await store.read(digest)];
    return [steps.length === 0 ? original : withOutputsOf(original, result), result];
  }

  async #checkOnTargets(digest: string): Promise<readonly TargetCheck[]> {
    const { store, context, metricInputs, test, output, targets = [] } = this.#run;
    if (targets.length === 0) return [];
    const { engine, seed, signal } = context;
    const key = { onTargets: digest, judging: metricInputs, seed, targets: targets.map(({ where }) => where) };
    const work = async (): Promise<readonly TargetCheck[]> => {
      context.stage("targets");
      const [reference, result] = await this.#openPair(digest);
      return checkTargets(engine, targets, reference, result, { samples: test, output, seed, signal });
    };
    return recordOnce(store.records, key, work, (checks) => checks.every(({ right }) => right !== undefined));
  }

  /** Chooses options for the requested size. The result is compared on samples that this choice did not use. */
  async #chooseOptions(step: PassStep, input: string): Promise<OptionValues> {
    const { maxBytes, maxDownload, options } = step;
    const { context, store, runner, calibrate, inputs, output } = this.#run;
    const { records } = store;
    if (maxBytes === undefined && maxDownload === undefined) return options;
    context.stage("choose bits");
    const request = await this.#requestFor(step, input, silence(context));
    const searchContext = { ...silence(context), progress: context.progress };
    if (maxBytes === undefined) return fitToDownload(request, maxDownload ?? 0, searchContext);
    const separation =
      calibrate === undefined ? await this.#reserveSamples() : new Miss("calibration samples choose the bits");
    const samples = separation instanceof Miss ? (calibrate ?? inputs?.calibrate) : separation.search.samples;
    if (!(separation instanceof Miss)) this.#comparer = separation.others;
    const stepKey = records && (await runner.keyOf(step, input));
    const key = { bitsWithin: maxBytes, samples: records && (await keyOfSamples(samples)), output, of: stepKey };
    const work = (): Promise<OptionValues> => fitToBytes({ ...request, samples }, maxBytes, searchContext);
    return recordOnce(records, key, work);
  }

  /** @returns a Miss if there are too few samples. */
  async #reserveSamples(): Promise<{ search: FallbackJudge; others: Comparer<C> | undefined } | Miss> {
    const comparer = this.#comparer;
    const { store, inputs, output } = this.#run;
    const [original, context] = [await store.read(this.#run.original), silence(this.#run.context)];
    if (comparer?.goal === undefined)
      return { search: createJudgeWithoutData(original, inputs, output, context), others: comparer };
    const separation = await separateSearchSamples(original, comparer.task, comparer.options, comparer.goal, context);
    if (separation instanceof Miss) return separation;
    return { search: separation.search, others: await comparer.without(separation) };
  }

  async #requestFor(step: PassStep, input: string, context: Context) {
    const { store, runner, output } = this.#run;
    return {
      pass: step.pass,
      options: step.options,
      output,
      original: await store.open(input),
      run(options: OptionValues, pass = step.pass): Promise<StepOutput> {
        throwIfAborted(context.signal);
        return runner.attempt(changeStep(step, options, pass), input, context);
      },
    };
  }

  /** Returns the step unchanged if the fallback does not apply or fails. */
  async #keepPreciseLayers(
    step: PassStep,
    input: string,
    finishedStep: FinishedStep<C> & { readonly findings: Findings<C> },
    attemptContext: Context,
  ): Promise<FinishedStep<C>> {
    const { store, runner, context, metricInputs, condition, test } = this.#run;
    const { findings, result: requestedResult } = finishedStep;
    const comparer = this.#comparer;
    const cause = condition === undefined ? causeOf(findings) : "the models of the folder lose too much together";
    if (cause === undefined) return finishedStep;
    const fail = (failedFallback: Miss): FinishedStep<C> => ({ ...finishedStep, failedFallback });
    if (input !== store.original && comparer?.goal !== undefined) {
      const before = await comparer.compare(input, `before ${step.name}`);
      if (!isWithin(judge(before.comparison, comparer.goal).drop, comparer.goal))
        return fail(new Miss("its input already misses the goal"));
    }
    const separation = await this.#reserveSamples();
    if (separation instanceof Miss) return fail(separation);
    const request = await this.#requestFor(step, input, attemptContext);
    let failure: Miss | undefined;
    const stepKey = store.records && (await runner.keyOf(step, input));
    const key = { fallbackFor: comparer?.goal, judging: metricInputs, of: stepKey };
    const record = await recordOnce(store.records, key, async (): Promise<FallbackRecord> => {
      const name = this.#run.name === undefined ? "" : `${step.name}: `;
      context.log({ id: "fallback", text: `${name}${cause}: looking for the layers with the largest error` });
      context.stage("precision fallback");
      const search = (await condition?.(separation.search, silence(context))) ?? separation.search;
      const requestedOutput = { ...requestedResult, model: await store.open(requestedResult.output) };
      const lossRatio = condition === undefined ? findLossRatio(findings) : undefined;
      const evaluated = evaluatedCount(findings, test);
      const preciseForm = await findFallback({ ...request, search, requestedOutput, evaluated, lossRatio }, context);
      if (preciseForm instanceof Miss) {
        failure = preciseForm;
        return { reason: preciseForm.reason };
      }
      const { options, fallback, output } = preciseForm;
      const misses = output.misses.map(({ at, reason, by }) => ({ at, reason, by }));
      return { options, changes: output.changes, misses, fallback };
    });
    if (record.options === undefined) {
      // The model passes alone, but fails together with other models.
      if (condition !== undefined) throw new PithError("E_ACCURACY_LOST", `${capitalize(record.reason)}.`);
      return fail(failure ?? new Miss(record.reason));
    }
    const { options, changes, misses, fallback } = record;
    const result = await runner.run(changeStep(step, options), input, silence(context));
    const betterFindings = await this.compareResult(result.output, step, separation.others);
    const loss = separation.others === comparer ? undefined : findGoalMiss(betterFindings);
    if (loss !== undefined) return fail(new Miss(`${describeFallback(fallback)}, on other samples ${loss}`));
    this.#comparer = separation.others;
    return { result: { ...result, changes, misses }, findings: betterFindings, fallback };
  }
}

/** The first run logged the step's messages, and a search reports progress per attempt. */
const silence = (context: Context): Context => ({ ...context, log: () => {}, progress: () => {}, phase: () => {} });

/** Returns "with 2 layers at higher precision". */
export const describeFallback = ({ settings, preciseLayers }: PrecisionFallback): string =>
  `with ${settings === undefined ? `${counted(preciseLayers.length, "layer")} at higher precision` : formatSettings(settings)}`;

/** Returns undefined if the result meets the goal and kept its knowledge. */
function findGoalMiss({ goalCheck }: Findings): string | undefined {
  if (goalCheck === undefined || goalCheck.verdict.met) return goalCheck?.lostKnowledge;
  return lossText(goalCheck.comparison, goalCheck.verdict, goalCheck.goal);
}

/** Returns why the precision fallback applies. If only a strict goal rejects a result, more samples can help instead. */
function causeOf({ metricComparison, goalCheck, functionCheck }: Findings): string | undefined {
  if (goalCheck !== undefined) {
    const { comparison, verdict, goal, lostKnowledge } = goalCheck;
    if (!needsFallback(verdict, goal)) return lostKnowledge;
    const { value } = verdict.drop;
    return Number.isFinite(value) ? excessText(comparison.unit, value, goal.maxDrop) : `the metric is ${value}`;
  }
  if (metricComparison !== undefined) return brokenText(metricComparison.comparison);
  const { because, text } = functionCheck?.functionLoss ?? {};
  return because === "function" || because === "form" ? text : undefined;
}

function findLossRatio({ goalCheck, functionCheck }: Findings): number | undefined {
  if (goalCheck !== undefined) return lossRatioOf(goalCheck.comparison, goalCheck.goal);
  return typeof functionCheck?.likeness === "object" ? noiseRatioOf(functionCheck.likeness) : undefined;
}

/** Returns the number of samples on which both models ran. */
export function evaluatedCount({ metricComparison, functionCheck }: Findings, test: Dataset | undefined): number {
  const { samples = 0, countsPositions } = typeof functionCheck?.likeness === "object" ? functionCheck.likeness : {};
  return metricComparison?.answers.predicted.length ?? (countsPositions === true ? test?.count : undefined) ?? samples;
}
