/** Runs one recipe on a copy of a model and measures it after each judged step. */
import { asPithError, Miss, stripPeriod, throwIfAborted } from "#ir";
import type { Context, OptionValues } from "#pass";
import { excessText } from "../../core/numbers.ts";
import type { Task } from "../../runtime/metrics/types.ts";
import type { RunTarget } from "../../runtime/run/run-target.ts";
import { type Goal, isWithin, judge, judge as judgeGoal, needsFallback } from "../compare/goal.ts";
import { checkTargets, type OnTarget } from "../compare/target-check.ts";
import { excessOf, searchOnValidation } from "../fallback/fallback-samples.ts";
import { findFallback, type StepOutput } from "../fallback/precision-fallback.ts";
import { fitToBytes } from "../fallback/size-budget.ts";
import type { Evaluation, Evaluator } from "../measure/evaluator.ts";
import { findLostKnowledge, judgeResult } from "../measure/judgement.ts";
import { checkFunction, type KeptFunction, trainingOf, withOutputsOf } from "../measure/kept-function.ts";
import type { Purpose } from "../measure/objective.ts";
import type { GoalOptions } from "../measure/paired-metrics.ts";
import type { PassStep } from "../recipe/pass-steps.ts";
import type { Recipe } from "../recipe/recipe.ts";
import type { Measured, StepRecord, Variant } from "../record/data.ts";
import type { Runner, StepResult } from "../steps/runner.ts";
import { trains } from "../steps/step-options.ts";
import { recordOnce, type Store } from "../steps/store.ts";
import { keyOfSamples } from "./data-parts.ts";

export interface Candidate {
  readonly name: string;
  readonly recipe: Recipe;
  readonly searched?: Variant["searched"];
}

export interface CandidateSteps extends Candidate {
  readonly steps: readonly PassStep[];
}

export interface RunContext {
  readonly runner: Runner;
  /** Plain data that determines the metrics of a model. */
  readonly judging: unknown;
  readonly evaluator: Evaluator;
  readonly task: Task;
  readonly requestedGoal: GoalOptions;
  readonly context: Context;
  readonly onStage: (name: string) => void;
  readonly onMeasured: (measured: Measured) => void;
  readonly targets: readonly RunTarget[];
  readonly store: Store;
  readonly purpose: Purpose | undefined;
}

export interface Attempt {
  readonly variant: Variant;
  /** Whether the result can be chosen: no step or check failed, something changed, and with other candidates, it is smaller than the original. */
  readonly usable: boolean;
  readonly evaluation: Evaluation | undefined;
}

/**
 * Runs a candidate's steps, and continues after the last step that an earlier run finished. If there are other candidates, a failed step does not
 * throw but rejects the candidate, and so does a result that is not smaller.
 */
export async function runCandidate(
  candidate: CandidateSteps,
  hasOtherCandidates: boolean,
  run: RunContext,
): Promise<Attempt> {
  const { runner, evaluator, context } = run;
  const { length: doneCount } = (await runner.states(candidate.steps)).filter((step) => step.done);
  const goal = evaluator.metrics.goal(run.requestedGoal, isTrained(candidate));
  const records: StepRecord[] = [];
  let evaluation: Evaluation | undefined;
  const last = candidate.steps[doneCount - 1];
  if (last !== undefined) context.log({ id: "resume", text: `${candidate.name}: continued after ${last.name}` });
  try {
    let input = run.store.original;
    for (const [index, step] of candidate.steps.entries()) {
      // With several candidates, no stored result is removed, because timing and reports need all of them.
      if (!hasOtherCandidates) await run.store.trim([input, evaluator.original.measured.sha256]);
      const result = await takeStep(step, input, { done: index < doneCount, candidate: candidate.name, goal }, run);
      records.push(result.record);
      evaluation = result.evaluation;
      input = result.output;
      if (
        isIdle(step, records) &&
        candidate.steps.slice(index + 1).some(hasOtherCandidates ? () => true : dependsOnLoss)
      )
        return { ...noAttempt, variant: failedVariant(candidate.name, records, nothingChanged(records), "unchanged") };
    }
  } catch (error) {
    const { code, message } = asPithError(error);
    if (!hasOtherCandidates || code === "E_SOURCE_CHANGED") throw error;
    return { ...noAttempt, variant: failedVariant(candidate.name, records, message) };
  }
  if (evaluation === undefined)
    return { ...noAttempt, variant: failedVariant(candidate.name, records, "it has no steps") };
  const { comparison, agreement, measured, validation } = evaluation;
  const unchangedReason = evaluator.isChanged(evaluation) ? undefined : nothingChanged(records);
  const functionCheck = unchangedReason === undefined ? await compareFunctions(evaluation, candidate, run) : undefined;
  const missed = findLostKnowledge(evaluation, goal);
  const { lost, targets } = await judgeResult({ comparison, missed, kept: functionCheck }, false, async () =>
    unchangedReason === undefined ? onTargets(evaluation, run) : [],
  );
  const comparedSizeOf = (file: Measured): Promise<number> => evaluator.sizeFor(run.purpose, file);
  const largerReason =
    hasOtherCandidates && (await comparedSizeOf(measured)) >= (await comparedSizeOf(evaluator.original.measured))
      ? "it is not smaller than the original"
      : undefined;
  const variant: Variant = {
    name: candidate.name,
    ...(candidate.searched === undefined ? {} : { searched: candidate.searched }),
    steps: records,
    result: { ...measured, name: candidate.name },
    comparison,
    agreement,
    verdict: goal === undefined ? undefined : judgeGoal(comparison, goal),
    ...rejectedAs(unchangedReason, lost?.text, largerReason),
    validation: evaluator.metrics.onValidation(evaluation, goal),
    ...(functionCheck?.likeness === undefined ? {} : { likeness: functionCheck.likeness }),
    ...(functionCheck?.others === undefined ? {} : { others: functionCheck.others }),
    ...(targets.length === 0 ? {} : { targets }),
  };
  // A function that is lost on test samples does not exclude the candidate here, because test samples must not influence the choice.
  const isWrong =
    lost?.because === "broken" ||
    lost?.because === "target" ||
    lost?.because === "form" ||
    (validation !== undefined && findLostKnowledge(validation, goal) !== undefined);
  return { variant, usable: (unchangedReason ?? largerReason) === undefined && !isWrong, evaluation };
}

const noAttempt = { usable: false, evaluation: undefined };

/** Returns whether a technique and all steps before it changed nothing, so that the rest of the recipe is that of another candidate. */
const isIdle = ({ pass }: PassStep, records: readonly StepRecord[]): boolean =>
  pass.moves !== undefined && !trains(pass) && records.every(({ changes }) => changes.length === 0);

/** Returns whether a step makes up for the loss of earlier steps. */
const dependsOnLoss = ({ pass }: PassStep): boolean => trains(pass) || pass.reference === "original";

/** Returns whether a step trains the model, so that its predictions can intentionally differ from the original's. */
export function isTrained({ steps }: CandidateSteps): boolean {
  return steps.some(({ pass }) => trains(pass));
}

async function compareFunctions(
  evaluation: Evaluation,
  candidate: CandidateSteps,
  run: RunContext,
): Promise<KeptFunction> {
  const { evaluator, context, task, judging, store, onStage } = run;
  const trained = trainingOf(candidate.steps);
  const key = { comparedOutputs: evaluation.measured.sha256, judging, trained, seed: context.seed };
  return recordOnce(store.records, key, async () => {
    if (trained !== "labels") onStage("compare");
    const { comparison } = evaluation;
    const functionTest = { test: task.test, comparison, trained, output: evaluator.output, forced: false };
    return checkFunction(
      context,
      await evaluator.open(evaluator.original),
      await evaluator.open(evaluation),
      functionTest,
    );
  });
}

async function onTargets(evaluation: Evaluation, run: RunContext): Promise<readonly OnTarget[]> {
  const { evaluator, context, task, judging, store, onStage, targets } = run;
  if (targets.length === 0) return [];
  const { engine, seed, signal } = context;
  const key = { onTargets: evaluation.measured.sha256, judging, seed, targets: targets.map(({ where }) => where) };
  const work = async (): Promise<readonly OnTarget[]> => {
    onStage("targets");
    const [original, result] = [await evaluator.open(evaluator.original), await evaluator.open(evaluation)];
    const reference = withOutputsOf(original, result);
    return checkTargets(engine, targets, reference, result, {
      samples: task.test,
      output: evaluator.output,
      seed,
      signal,
    });
  };
  return recordOnce(store.records, key, work, (checks) => checks.every(({ right }) => right !== undefined));
}

async function takeStep(
  step: PassStep,
  input: string,
  { candidate, goal, done }: { readonly candidate: string; readonly goal: Goal | undefined; readonly done: boolean },
  run: RunContext,
): Promise<{ readonly record: StepRecord; readonly evaluation: Evaluation | undefined; readonly output: string }> {
  const { evaluator, context, onStage, onMeasured } = run;
  const { id, name, judged } = step;
  throwIfAborted(context.signal, `Stopped before ${name}.`);
  if (!done) onStage(name);
  const requestedResult = await runRecipeStep(step, input, run);
  let evaluation: Evaluation | undefined;
  const measure = async ({ output }: StepResult): Promise<Evaluation> => {
    onStage("evaluate");
    // A recipe with one step has the name of this step, which is then not repeated.
    return evaluator.measure(output, candidate === name ? `after ${name}` : `${candidate}, after ${name}`, goal);
  };
  if (judged) evaluation = await measure(requestedResult);
  const lessLossyStep = evaluation && (await findLessLossyStep(step, input, requestedResult, evaluation, goal, run));
  if (lessLossyStep !== undefined) evaluation = await measure(lessLossyStep);
  const { output, warnings, history, curve, training, ...result } = lessLossyStep ?? requestedResult;
  if (done) for (const text of warnings) context.log({ id: "before", text, level: "warning" });
  const { by, unit } = training?.chosen ?? {};
  const record: StepRecord = {
    ...{ id, name, ...result },
    history: history?.map(({ epoch, loss, evaluations }) => ({ epoch, loss, evaluations })),
    curve: curve && { first: curve.first, every: curve.every, losses: curve.losses, by, unit },
  };
  if (evaluation === undefined) return { record, evaluation, output };
  const { measured, comparison, agreement } = evaluation;
  if (!done) onMeasured(measured);
  return { record: { ...record, after: measured, comparison, agreement }, evaluation, output };
}

function failedVariant(
  name: string,
  records: readonly StepRecord[],
  rejected: string,
  rejectedAs: "failed" | "unchanged" = "failed",
): Variant {
  const noResult = { result: undefined, comparison: undefined, agreement: undefined, verdict: undefined };
  return { name, steps: records, ...noResult, rejected: stripPeriod(rejected), rejectedAs };
}

function rejectedAs(
  unchanged: string | undefined,
  lost: string | undefined,
  larger: string | undefined,
): Pick<Variant, "rejected" | "rejectedAs"> {
  if (unchanged !== undefined) return { rejected: unchanged, rejectedAs: "unchanged" };
  if (lost !== undefined) return { rejected: lost, rejectedAs: "lost" };
  return larger === undefined ? { rejected: undefined } : { rejected: larger, rejectedAs: "not smaller" };
}

function nothingChanged(records: readonly StepRecord[]): string {
  const reason = whyUnchanged(records);
  return reason === undefined ? "nothing changed" : `nothing changed: ${reason}`;
}

export function whyUnchanged(records: readonly StepRecord[]): string | undefined {
  const [first] = records.flatMap(({ misses }) => misses);
  return first?.at === undefined ? first?.reason : `${first.at}: ${first.reason}`;
}

/**
 * Runs a step on a stored model. If the step has a maximum size, first chooses the bits of each layer for it.
 * @throws PithError E_UNSUPPORTED if no choice of bits fits; errors of the pass.
 */
async function runRecipeStep(step: PassStep, input: string, run: RunContext): Promise<StepResult> {
  const { runner, evaluator, context, store, task } = run;
  const { bytes } = step;
  if (bytes === undefined) return runner.run(step, input);
  throwIfAborted(context.signal);
  const { output } = evaluator;
  const samples = await keyOfSamples(task.calibrate);
  const key = { bitsWithin: bytes, samples, output, of: await runner.keyOf(step, input) };
  const options = await recordOnce(store.records, key, async (): Promise<OptionValues> => {
    const request = { ...(await stepRequest(step, input, run)), samples: task.calibrate };
    return (await fitToBytes(request, bytes, { ...context, log: () => {} })).options;
  });
  return runner.run({ ...step, options }, input);
}

/**
 * Applies the precision fallback to a step that misses the goal, on the validation samples.
 * @returns undefined if the goal is met, or no layers at higher precision reach it. @throws PithError of the pass.
 */
async function findLessLossyStep(
  step: PassStep,
  input: string,
  requestedResult: StepResult,
  { comparison }: Evaluation,
  goal: Goal | undefined,
  run: RunContext,
): Promise<StepResult | undefined> {
  const { runner, evaluator, context, store, task, judging } = run;
  if (step.fallsBack !== true || goal === undefined) return undefined;
  const verdict = judge(comparison, goal);
  if (!needsFallback(verdict, goal)) return undefined;
  const warn = (text: string): void => context.log({ id: "fallback", text: `${step.name}: ${text}`, level: "warning" });
  const search = searchOnValidation(evaluator.metrics, task.test, goal);
  if (search instanceof Miss) {
    warn(`no layers are kept at higher precision: ${search.reason}`);
    return undefined;
  }
  if (input !== store.original) {
    const before = await evaluator.measure(input, `before ${step.name}`);
    if (!isWithin(judge(before.comparison, goal).drop, goal)) {
      warn("no layers are kept at higher precision: its input already misses the goal");
      return undefined;
    }
  }
  const key = { fallbackFor: goal, judging, of: await runner.keyOf(step, input) };
  const record = await recordOnce(store.records, key, async (): Promise<FallbackRecord> => {
    const lostText = excessText(comparison.unit, verdict.drop.value, goal.maxDrop);
    context.log({ id: "fallback", text: `${step.name}: ${lostText}: looking for the layers with the largest error` });
    const requestedOutput = await openOutput(requestedResult, run);
    const evaluated = evaluator.took.samples;
    const request = {
      ...(await stepRequest(step, input, run)),
      requestedOutput,
      search,
      evaluated,
      excess: excessOf(comparison, goal),
    };
    const result = await findFallback(request, { ...context, log: () => {} });
    if (result instanceof Miss) return { reason: result.reason };
    const { changes, misses } = result.output;
    return { options: result.options, changes, misses: misses.map(({ at, reason, by }) => ({ at, reason, by })) };
  });
  if (record.options === undefined) {
    warn(record.reason);
    return undefined;
  }
  const { options, changes, misses } = record;
  return { ...(await runner.run({ ...step, options }, input)), changes, misses };
}

type FallbackRecord =
  | { readonly options?: undefined; readonly reason: string }
  | (Pick<StepResult, "changes" | "misses"> & { readonly options: OptionValues });

/** Returns the request for trying other options of a step. The results of these attempts are kept in the store. */
async function stepRequest(step: PassStep, input: string, run: RunContext) {
  const { runner, evaluator, context, store } = run;
  return {
    pass: step.pass,
    options: step.options,
    original: await store.open(input),
    output: evaluator.output,
    async run(options: OptionValues, pass = step.pass): Promise<StepOutput> {
      throwIfAborted(context.signal);
      return openOutput(await runner.run({ ...step, pass, options }, input), run);
    },
  };
}

async function openOutput({ changes, misses, output }: StepResult, { store }: RunContext): Promise<StepOutput> {
  return { changes, misses, model: await store.open(output) };
}
