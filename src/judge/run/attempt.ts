/** Tries one recipe on a copy of a model, and describes its result as a variant of the run. */
import { asPithError, stripPeriod } from "#ir";
import type { Task } from "../../runtime/metrics/metric.ts";
import type { Goal } from "../compare/goal.ts";
import type { Evaluation, Evaluator } from "../measure/evaluator.ts";
import type { Purpose } from "../measure/objective.ts";
import type { GoalOptions } from "../measure/paired-metrics.ts";
import { findLostKnowledge } from "../measure/rejection-cause.ts";
import type { PassStep } from "../recipe/pass-steps.ts";
import type { Recipe } from "../recipe/recipe.ts";
import type { Measured, StepRecord, Variant } from "../record/run-record.ts";
import { isTraining } from "../steps/step-options.ts";
import {
  type CandidateRequest,
  type CandidateResult,
  type Comparer,
  comparedResultOf,
  type FinishedStep,
  runCandidate,
} from "./candidate.ts";

export interface Candidate {
  readonly name: string;
  readonly recipe: Recipe;
  readonly searched?: Variant["searched"];
}

export interface CandidateSteps extends Candidate {
  readonly steps: readonly PassStep[];
}

export interface RunContext
  extends Pick<CandidateRequest, "store" | "runner" | "context" | "targets" | "metricInputs" | "calibrate">,
    Pick<Task, "test" | "metric"> {
  readonly evaluator: Evaluator;
  readonly requestedGoal: GoalOptions;
  readonly onMeasured: (measured: Measured) => void;
  readonly purpose: Purpose | undefined;
}

/** The evaluator excludes the samples of an earlier search for options. */
interface AttemptEvaluation extends Evaluation {
  readonly evaluator: Evaluator;
}

export interface Attempt {
  readonly variant: Variant;
  /** Whether the result can be chosen. */
  readonly isUsable: boolean;
  readonly evaluation: Evaluation | undefined;
  /** Measures on the samples on which the result was compared. */
  readonly evaluator?: Evaluator;
}

/** With other candidates, most errors reject the candidate instead of being thrown. */
export async function tryCandidate(
  candidate: CandidateSteps,
  hasOtherCandidates: boolean,
  run: RunContext,
): Promise<Attempt> {
  const { name, steps } = candidate;
  const original = run.evaluator.original.measured;
  const goal = run.evaluator.metrics.resolveGoal(run.requestedGoal, isTrained(candidate));
  const records: StepRecord[] = [];
  let result: CandidateResult<AttemptEvaluation>;
  const fail = (reason: string, rejectedAs: "failed" | "unchanged" = "failed"): Attempt => ({
    isUsable: false,
    evaluation: undefined,
    variant: { name, steps: records, ...noResult, rejected: stripPeriod(reason), rejectedAs },
  });
  try {
    result = await runCandidate<AttemptEvaluation>({
      ...run,
      name,
      steps,
      output: run.evaluator.output,
      comparer: createComparer(run.evaluator, goal, name, run),
      original: original.sha256,
      originalName: original.name,
      keepsResults: hasOtherCandidates,
      onFinished(step, finishedStep, wasStored) {
        records.push(recordOf(step, finishedStep));
        reportStep(step, finishedStep, wasStored, run);
        const laterSteps = steps.slice(records.length);
        return !hasNoEffect(step, records) || !laterSteps.some(hasOtherCandidates ? () => true : dependsOnLoss);
      },
    });
  } catch (error) {
    const { code, message } = asPithError(error);
    if (!hasOtherCandidates || code === "E_SOURCE_CHANGED") throw error;
    return fail(message);
  }
  if (records.length < steps.length) return fail(formatUnchanged(records), "unchanged");
  const { finishedStep, judgement } = result;
  const { findings } = finishedStep ?? {};
  const evaluation = findings?.metricComparison;
  if (evaluation === undefined) return fail("it has no steps");
  const { evaluator, agreement, measured, validation } = evaluation;
  const unchangedReason = judgement === undefined ? formatUnchanged(records) : undefined;
  const { rejectionCause } = judgement ?? {};
  const { targets, ...compared } = comparedResultOf({ ...findings, ...judgement });
  const comparedSizeOf = (file: Measured): Promise<number> => evaluator.sizeFor(run.purpose, file);
  const largerReason =
    hasOtherCandidates && (await comparedSizeOf(measured)) >= (await comparedSizeOf(original))
      ? "it is not smaller than the original"
      : undefined;
  const variant: Variant = {
    name,
    ...(candidate.searched === undefined ? {} : { searched: candidate.searched }),
    steps: records,
    result: { ...measured, name },
    ...compared,
    agreement,
    ...classifyMiss(unchangedReason, rejectionCause?.text, largerReason),
    validation: evaluator.metrics.validate(evaluation, goal),
    ...(targets.length === 0 ? {} : { targets }),
  };
  // Test samples must not influence the choice, so a function that is lost on them does not exclude the candidate.
  const isWrong =
    rejectionCause?.because === "broken" ||
    rejectionCause?.because === "target" ||
    rejectionCause?.because === "form" ||
    (validation !== undefined && findLostKnowledge(validation, goal) !== undefined);
  const isUsable = (unchangedReason ?? largerReason) === undefined && !isWrong;
  return { variant, isUsable, evaluation, evaluator };
}

function createComparer(
  evaluator: Evaluator,
  goal: Goal | undefined,
  candidate: string,
  task: Comparer["task"],
): Comparer<AttemptEvaluation> {
  const comparer: Comparer<AttemptEvaluation> = {
    task,
    goal,
    // None of the search samples is set aside for another choice.
    options: { ...evaluator.options, choice: undefined },
    // A recipe with one step has the name of this step, which is then not repeated.
    async compare(output, name) {
      const title = name.endsWith(` ${candidate}`) ? name : `${candidate}, ${name}`;
      return { ...(await evaluator.measure(output, title, goal)), evaluator };
    },
    async without() {
      const dividedEvaluator = await evaluator.reserveValidation();
      return dividedEvaluator === evaluator ? comparer : createComparer(dividedEvaluator, goal, candidate, task);
    },
  };
  return comparer;
}

/** The rest of the recipe is then that of another candidate. */
const hasNoEffect = ({ pass }: PassStep, records: readonly StepRecord[]): boolean =>
  pass.moves !== undefined && !isTraining(pass) && records.every(({ changes }) => changes.length === 0);

const dependsOnLoss = ({ pass }: PassStep): boolean => isTraining(pass) || pass.reference === "original";

/** Predictions can then intentionally differ from the original's. */
export function isTrained({ steps }: CandidateSteps): boolean {
  return steps.some(({ pass }) => isTraining(pass));
}

function recordOf({ id, name }: PassStep, { result, findings }: FinishedStep<AttemptEvaluation>): StepRecord {
  const { output: _, warnings: __, history, curve, training, ...outcome } = result;
  const { by, unit } = training?.chosen ?? {};
  const record: StepRecord = {
    id,
    name,
    ...outcome,
    history: history?.map(({ epoch, loss, evaluations }) => ({ epoch, loss, evaluations })),
    curve: curve && { first: curve.first, every: curve.every, losses: curve.losses, by, unit },
  };
  if (findings?.metricComparison === undefined) return record;
  const { measured, comparison, agreement } = findings.metricComparison;
  return { ...record, after: measured, comparison, agreement };
}

function reportStep(
  { name }: PassStep,
  { result, findings, failedFallback }: FinishedStep<AttemptEvaluation>,
  wasStored: boolean,
  { context, onMeasured }: RunContext,
): void {
  const warn = (id: string, text: string): void => context.log({ id, text, level: "warning" });
  if (failedFallback !== undefined)
    warn("fallback", `${name}: no layers are kept at higher precision: ${failedFallback.reason}`);
  if (wasStored) for (const text of result.warnings) warn("before", text);
  else if (findings?.metricComparison !== undefined) onMeasured(findings.metricComparison.measured);
}

const noResult = { result: undefined, comparison: undefined, agreement: undefined, verdict: undefined };

function classifyMiss(unchanged?: string, lost?: string, larger?: string): Pick<Variant, "rejected" | "rejectedAs"> {
  if (unchanged !== undefined) return { rejected: unchanged, rejectedAs: "unchanged" };
  if (lost !== undefined) return { rejected: lost, rejectedAs: "lost" };
  return larger === undefined ? { rejected: undefined } : { rejected: larger, rejectedAs: "not smaller" };
}

function formatUnchanged(records: readonly StepRecord[]): string {
  const reason = whyUnchanged(records);
  return reason === undefined ? "nothing changed" : `nothing changed: ${reason}`;
}

export function whyUnchanged(records: readonly StepRecord[]): string | undefined {
  const [first] = records.flatMap(({ misses }) => misses);
  return first?.at === undefined ? first?.reason : `${first.at}: ${first.reason}`;
}
