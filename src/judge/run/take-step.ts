/**
 * Runs a step of a candidate, compares its result with the original, and keeps layers at higher precision if it misses the goal. Commands, recipes
 * and the search use these functions: a command is a candidate of one step.
 */
import { capitalize, Miss, type Model, PithError, throwIfAborted } from "#ir";
import type { Context, OptionValues } from "#pass";
import { counted, excessText } from "../../core/numbers.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { ResultFails, requireLoads } from "../../runtime/run/load-check.ts";
import type { RunTarget } from "../../runtime/run/run-target.ts";
import { type Goal, isWithin, judge, needsFallback } from "../compare/goal.ts";
import { checkTargets, type OnTarget } from "../compare/target-check.ts";
import { excessOf, excessOfNoise, searchWithoutData } from "../fallback/fallback-samples.ts";
import { formatSettings, type PrecisionFallback } from "../fallback/precise-layers.ts";
import { type FallbackJudge, type FallbackRequest, findFallback } from "../fallback/precision-fallback.ts";
import { fitToBytes, fitToDownload } from "../fallback/size-budget.ts";
import { judgeResult, type Lost } from "../measure/judgement.ts";
import { checkFunctionAndLoading, type KeptFunction, trainingOf, withOutputsOf } from "../measure/kept-function.ts";
import type { PairedResult } from "../measure/paired-metrics.ts";
import type { PassStep } from "../recipe/pass-steps.ts";
import type { Measured } from "../record/data.ts";
import { brokenText, lossText } from "../record/verdict.ts";
import type { Runner, StepOutput, StepResult } from "../steps/runner.ts";
import { recordOnce, type Store } from "../steps/store.ts";
import { keyOfSamples } from "./data-parts.ts";
import { checkGoal, type GoalCheck, type Reference } from "./step-comparison.ts";
import type { StepContext, StepRequest } from "./step-request.ts";

export interface Compared extends PairedResult {
  readonly reference?: Reference | undefined;
  /** The measured file, if the result is measured as it would be written, with its masks applied. */
  readonly measured?: Measured;
}

/** Compares stored models with the original, or with their reference, on the test samples. */
export interface Comparer<C extends Compared = Compared> {
  readonly goal: Goal | undefined;
  /** Number of samples on which options were chosen. They are excluded from the comparison. */
  readonly searched?: number | undefined;
  compare(output: string, name: string): Promise<C>;
  /** Reserves samples for a search. @returns a Miss if there are too few samples. */
  separate(goal: Goal, context: Context): Promise<SearchSamples<C> | Miss>;
}

interface SearchSamples<C extends Compared> {
  readonly search: FallbackJudge;
  /** Compares on the samples that are not for the search. */
  readonly others: Comparer<C> | undefined;
}

/** What all steps of a candidate share. */
export interface StepsRun<C extends Compared = Compared>
  extends Pick<StepRequest, "inputs" | "output" | "condition" | "force"> {
  readonly store: Store;
  readonly runner: Runner;
  readonly context: StepContext;
  /** Undefined without data. */
  readonly comparer: Comparer<C> | undefined;
  /** Samples on which outputs are compared; undefined for random inputs. */
  readonly test: Dataset | undefined;
  readonly calibrate?: Dataset | undefined;
  readonly targets: readonly RunTarget[];
  /** Plain data that determines the metrics of a model. */
  readonly judging?: unknown;
  open(output: string): Promise<Model>;
  openOriginal(): Promise<Model>;
  /** Called before the pass runs, with the chosen options. */
  announce?(options: OptionValues): Promise<void>;
  isJudged(step: PassStep, result: StepResult): Promise<boolean>;
  /** Only load the result, because the pass discards the trained weights, or because a folder compares its models together. */
  readonly skipsComparison?: boolean;
}

/** Comparison by the metric, or without data, of the outputs. */
interface Findings<C extends Compared> {
  readonly compared: C | undefined;
  readonly kept: KeptFunction | undefined;
}

export interface Taken<C extends Compared = Compared> {
  readonly result: StepResult;
  readonly options: OptionValues;
  /** Undefined if the step is not judged. */
  readonly findings: Findings<C> | undefined;
  /** Compares the results of later steps, without the samples on which this step was chosen. */
  readonly comparer: Comparer<C> | undefined;
  readonly fallback?: PrecisionFallback | undefined;
  /** Reason why no layers are kept at higher precision, although the step misses the goal. */
  readonly failedFallback?: Miss | undefined;
}

export interface Judgement<C extends Compared = Compared> {
  readonly compared: C | undefined;
  readonly goalCheck: GoalCheck | undefined;
  /** Comparison of the outputs; undefined for a pass that discards the trained weights on purpose. */
  readonly kept: KeptFunction | undefined;
  readonly lost: Lost | undefined;
  readonly targets: readonly OnTarget[];
}

/**
 * Runs a step on a stored model, and compares its result. @param steps all steps up to this one.
 * @throws PithError E_ACCURACY_LOST if no result passes together with the other models of a folder, and the errors of the pass.
 */
export async function takeStep<C extends Compared>(
  steps: readonly PassStep[],
  step: PassStep,
  input: string,
  run: StepsRun<C>,
): Promise<Taken<C>> {
  const { runner, context } = run;
  throwIfAborted(context.signal);
  const kept = step.fallsBack === true && step.pass.milderForms !== undefined ? new Map() : undefined;
  const { options, comparer } = await chooseOptions(step, input, run);
  await run.announce?.(options);
  const result = await runner.run({ ...step, options }, input, { kept });
  context.engine.forget();
  if (!(await run.isJudged(step, result))) return { result, options, comparer, findings: undefined };
  const taken = { result, options, comparer, findings: await find(steps, step, result.output, comparer, run) };
  const isLimited = step.bytes !== undefined || step.download !== undefined;
  // With a limit, layers at higher precision would exceed it.
  if (kept === undefined || isLimited) return taken;
  return keepPreciseLayers(steps, step, input, taken, { ...context, kept }, run);
}

async function find<C extends Compared>(
  steps: readonly PassStep[],
  { name }: PassStep,
  output: string,
  comparer: Comparer<C> | undefined,
  run: StepsRun<C>,
): Promise<Findings<C>> {
  if (comparer === undefined) return { compared: undefined, kept: await checkFunction(steps, output, undefined, run) };
  run.context.stage("evaluate");
  return { compared: await comparer.compare(output, `after ${name}`), kept: undefined };
}

/** Judges the result of the last step. @param missedText returns why a result misses the goal (default: only if it lost its knowledge). */
export async function judgeSteps<C extends Compared>(
  steps: readonly PassStep[],
  { result: { output }, findings, comparer }: Taken<C>,
  original: string,
  run: StepsRun<C>,
  missedText: (check: GoalCheck, compared: C) => string | undefined = ({ lostKnowledge }) => lostKnowledge,
): Promise<Judgement<C>> {
  const compared = findings?.compared;
  const goalCheck = compared && checkGoal(compared, comparer?.goal, original);
  const kept = findings?.kept ?? (await checkFunction(steps, output, compared, run));
  const missed = compared && goalCheck && missedText(goalCheck, compared);
  const verdict = await judgeResult({ comparison: compared?.comparison, missed, kept }, run.force === true, () =>
    checkOnTargets(compared?.measured?.sha256 ?? output, run),
  );
  return { compared, goalCheck, kept, ...verdict };
}

async function checkFunction<C extends Compared>(
  steps: readonly PassStep[],
  output: string,
  compared: C | undefined,
  { store, context, judging, test, force = false, output: outputName, ...run }: StepsRun<C>,
): Promise<KeptFunction | undefined> {
  const trained = trainingOf(steps);
  const digest = compared?.measured?.sha256 ?? output;
  if (run.skipsComparison === true) {
    await requireLoads(context.engine, await run.open(digest), await run.openOriginal());
    return undefined;
  }
  const key = { comparedOutputs: digest, judging, trained, seed: context.seed };
  return recordOnce(store.records, key, async () => {
    if (trained !== "labels" || test === undefined) context.stage("compare");
    const functionTest = { test, comparison: compared?.comparison, trained, output: outputName, forced: force };
    try {
      return await checkFunctionAndLoading(context, await run.openOriginal(), await run.open(digest), functionTest);
    } catch (error) {
      if (!(error instanceof PithError) || error.code === "E_STOPPED" || error instanceof ResultFails) throw error;
      const hint = "The result could not be compared with the original, and was not written: `force` writes it.";
      throw error.reworded({ hint: error.hint ?? hint });
    }
  });
}

async function checkOnTargets<C extends Compared>(
  digest: string,
  { store, context, judging, test, output, targets, ...run }: StepsRun<C>,
): Promise<readonly OnTarget[]> {
  if (targets.length === 0) return [];
  const { engine, seed, signal } = context;
  const key = { onTargets: digest, judging, seed, targets: targets.map(({ where }) => where) };
  const work = async (): Promise<readonly OnTarget[]> => {
    context.stage("targets");
    const result = await run.open(digest);
    const reference = withOutputsOf(await run.openOriginal(), result);
    return checkTargets(engine, targets, reference, result, { samples: test, output, seed, signal });
  };
  return recordOnce(store.records, key, work, (checks) => checks.every(({ right }) => right !== undefined));
}

/** Chooses options so that the result has at most the requested size. The result is compared on samples that this choice did not use. */
async function chooseOptions<C extends Compared>(
  step: PassStep,
  input: string,
  run: StepsRun<C>,
): Promise<Pick<Taken<C>, "options" | "comparer">> {
  const { bytes, download, options } = step;
  const { context, comparer, store, runner, calibrate, output } = run;
  if (bytes === undefined && download === undefined) return { options, comparer };
  context.stage("choose bits");
  const request = await requestFor(step, input, quiet(context), run);
  const progressContext = { ...quiet(context), progress: context.progress };
  if (bytes === undefined) return { options: await fitToDownload(request, download ?? 0, progressContext), comparer };
  const separated = calibrate === undefined ? await separate(comparer, run) : undefined;
  const samples =
    separated === undefined || separated instanceof Miss
      ? (calibrate ?? run.inputs?.calibrate)
      : separated.search.samples;
  const work = (): Promise<OptionValues> => fitToBytes({ ...request, samples }, bytes, progressContext);
  const key = store.records && {
    ...{ bitsWithin: bytes, samples: await keyOfSamples(samples), output },
    of: await runner.keyOf(step, input),
  };
  return {
    options: await recordOnce(store.records, key, work),
    comparer: separated === undefined || separated instanceof Miss ? comparer : separated.others,
  };
}

/** The first run logged the step's messages, and a search reports progress per attempt. */
const quiet = (context: Context): Context => ({ ...context, log: () => {}, progress: () => {}, phase: () => {} });

async function separate<C extends Compared>(
  comparer: Comparer<C> | undefined,
  { context, inputs, output, openOriginal }: StepsRun<C>,
): Promise<SearchSamples<C> | Miss> {
  if (comparer?.goal !== undefined) return comparer.separate(comparer.goal, quiet(context));
  return { search: searchWithoutData(await openOriginal(), inputs, output, quiet(context)), others: comparer };
}

/** Returns the request for trying other options of a step. */
async function requestFor<C extends Compared>(
  step: PassStep,
  input: string,
  context: Context,
  { store, runner, output }: StepsRun<C>,
) {
  return {
    ...{ pass: step.pass, options: step.options, output },
    original: await store.open(input),
    run(options: OptionValues, pass = step.pass): Promise<StepOutput> {
      throwIfAborted(context.signal);
      return runner.attempt({ ...step, pass, options }, input, context);
    },
  } satisfies Partial<FallbackRequest>;
}

type FallbackRecord =
  | { readonly options?: undefined; readonly reason: string }
  | (Pick<StepResult, "changes" | "misses" | "options"> & { readonly fallback: PrecisionFallback });

/** Applies the precision fallback to a step whose result misses the goal. Returns the step unchanged if the fallback does not apply or fails. */
async function keepPreciseLayers<C extends Compared>(
  steps: readonly PassStep[],
  step: PassStep,
  input: string,
  taken: Taken<C> & { readonly findings: Findings<C> },
  attemptContext: Context,
  run: StepsRun<C>,
): Promise<Taken<C>> {
  const { store, runner, context, judging, condition } = run;
  const { comparer, findings, result: requested } = taken;
  const goal = comparer?.goal;
  const cause = condition === undefined ? causeOf(findings, goal) : "the models of the folder lose too much together";
  if (cause === undefined) return taken;
  const fail = (failedFallback: Miss): Taken<C> => ({ ...taken, failedFallback });
  if (input !== store.original && comparer !== undefined && goal !== undefined) {
    const before = await comparer.compare(input, `before ${step.name}`);
    if (!isWithin(judge(before.comparison, goal).drop, goal))
      return fail(new Miss("its input already misses the goal"));
  }
  const separated = await separate(comparer, run);
  if (separated instanceof Miss) return fail(separated);
  const request = await requestFor(step, input, { ...quiet(attemptContext) }, run);
  let failure: Miss | undefined;
  let preciseOutput: StepOutput | undefined;
  const key = store.records && { fallbackFor: goal, judging, of: await runner.keyOf(step, input) };
  const record = await recordOnce(store.records, key, async (): Promise<FallbackRecord> => {
    const name = step.name === "" ? "" : `${step.name}: `;
    context.log({ id: "fallback", text: `${name}${cause}: looking for the layers with the largest error` });
    context.stage("precision fallback");
    const search = (await condition?.(separated.search, quiet(context))) ?? separated.search;
    const requestedOutput = { ...requested, model: await store.open(requested.output) };
    const fallbackRequest = {
      ...{ ...request, search, requestedOutput, evaluated: evaluatedCount(findings, run) },
      excess: condition === undefined ? excess(findings, comparer) : undefined,
    };
    const found = await findFallback(fallbackRequest, context);
    if (found instanceof Miss) {
      failure = found;
      return { reason: found.reason };
    }
    preciseOutput = found.output;
    const { changes, misses } = found.output;
    const plainMisses = misses.map(({ at, reason, by }) => ({ at, reason, by }));
    return { options: found.options, changes, misses: plainMisses, fallback: found.fallback };
  });
  if (record.options === undefined) {
    // The model is rejected although it passes alone, because it fails together with other models.
    if (condition !== undefined) throw new PithError("E_ACCURACY_LOST", `${capitalize(record.reason)}.`);
    return fail(failure ?? new Miss(record.reason));
  }
  const { options, changes, misses, fallback } = record;
  const stored =
    store.records === undefined && preciseOutput !== undefined
      ? { ...requested, output: await store.keep(preciseOutput.model) }
      : await runner.run({ ...step, options }, input, quiet(context));
  const { others } = separated;
  const better = await find(steps, step, stored.output, others, run);
  const missed = others === comparer ? undefined : missedText(better.compared, others?.goal);
  if (missed !== undefined) return fail(new Miss(`${describeFallback(fallback)}, on other samples ${missed}`));
  return {
    ...{ result: { ...stored, changes, misses }, options, findings: better },
    ...{ comparer: others, fallback },
  };
}

/** Returns why a result with layers at higher precision misses the goal; undefined if it meets it. */
function missedText(compared: Compared | undefined, goal: Goal | undefined): string | undefined {
  const check = compared && checkGoal(compared, goal, "");
  if (check === undefined) return undefined;
  return check.verdict.met ? check.lostKnowledge : lossText(check.comparison, check.verdict, check.goal);
}

/** Returns "with 2 layers at higher precision". */
export const describeFallback = ({ settings, preciseLayers }: PrecisionFallback): string =>
  `with ${settings === undefined ? `${counted(preciseLayers.length, "layer")} at higher precision` : formatSettings(settings)}`;

/** Returns why the precision fallback applies; undefined if it does not. If only a strict goal rejects a result, more samples can help. */
function causeOf<C extends Compared>({ compared, kept }: Findings<C>, goal: Goal | undefined): string | undefined {
  if (compared === undefined) {
    const isLost = kept?.lost?.because === "function" || kept?.lost?.because === "form";
    return isLost ? kept?.lost?.text : undefined;
  }
  const check = checkGoal(compared, goal, "");
  if (check === undefined) return brokenText(compared.comparison);
  const { comparison, verdict } = check;
  if (!needsFallback(verdict, check.goal)) return check.lostKnowledge;
  if (!Number.isFinite(verdict.drop.value)) return `the metric is ${verdict.drop.value}`;
  return excessText(comparison.unit, verdict.drop.value, check.goal.maxDrop);
}

function excess<C extends Compared>({ compared, kept }: Findings<C>, comparer: Comparer<C> | undefined) {
  const check = compared && checkGoal(compared, comparer?.goal, "");
  if (check !== undefined) return excessOf(check.comparison, check.goal);
  return typeof kept?.likeness === "object" ? excessOfNoise(kept.likeness) : undefined;
}

/** Returns the number of samples on which both models ran. */
export function evaluatedCount<C extends Compared>(
  { compared, kept }: Findings<C>,
  { test }: Pick<StepsRun<C>, "test">,
): number {
  const { samples = 0, countsPositions } = typeof kept?.likeness === "object" ? kept.likeness : {};
  return compared?.answers.given.length ?? (countsPositions === true ? test?.count : undefined) ?? samples;
}
