/** Tries one recipe on a copy of a model, and describes its result as a variant of the run. */
import { asPithError, Miss, stripPeriod } from "#ir";
import type { Task } from "../../runtime/metrics/types.ts";
import { type Goal, judge } from "../compare/goal.ts";
import { separateSearchSamples } from "../fallback/fallback-samples.ts";
import type { Evaluation, Evaluator } from "../measure/evaluator.ts";
import { findLostKnowledge } from "../measure/judge-result.ts";
import type { Purpose } from "../measure/objective.ts";
import type { GoalOptions } from "../measure/paired-metrics.ts";
import type { PassStep } from "../recipe/pass-steps.ts";
import type { Recipe } from "../recipe/recipe.ts";
import type { Measured, StepRecord, Variant } from "../record/run-record.ts";
import { trains } from "../steps/step-options.ts";
import {
  type CandidateRequest,
  type CandidateResult,
  type Comparer,
  runCandidate,
  type TakenStep,
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
  extends Pick<CandidateRequest, "store" | "runner" | "context" | "targets" | "judging" | "calibrate">,
    Pick<Task, "test" | "metric"> {
  readonly evaluator: Evaluator;
  readonly requestedGoal: GoalOptions;
  readonly onMeasured: (measured: Measured) => void;
  readonly purpose: Purpose | undefined;
}

/** Evaluation with its evaluator, which excludes the samples of an earlier search for options. */
interface AttemptEvaluation extends Evaluation {
  readonly evaluator: Evaluator;
}

export interface Attempt {
  readonly variant: Variant;
  /** Whether the result can be chosen: no step failed, no output is broken, something changed, and with other candidates, it is smaller. */
  readonly usable: boolean;
  readonly evaluation: Evaluation | undefined;
  /** Measures on the samples on which the result was compared; undefined without an evaluation. */
  readonly evaluator?: Evaluator;
}

/** Runs a candidate. With other candidates, most errors reject it instead of being thrown, and a result that is not smaller is rejected. */
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
    ...{ usable: false, evaluation: undefined },
    variant: { name, steps: records, ...noResult, rejected: stripPeriod(reason), rejectedAs },
  });
  try {
    result = await runCandidate<AttemptEvaluation>({
      ...{ ...run, name, steps, output: run.evaluator.output },
      comparer: createComparer(run.evaluator, goal, name, run),
      ...{ original: original.sha256, originalName: original.name, keepsResults: hasOtherCandidates },
      onTaken(step, takenStep, wasStored) {
        records.push(recordOf(step, takenStep));
        reportStep(step, takenStep, wasStored, run);
        const laterSteps = steps.slice(records.length);
        return !isIdle(step, records) || !laterSteps.some(hasOtherCandidates ? () => true : dependsOnLoss);
      },
    });
  } catch (error) {
    const { code, message } = asPithError(error);
    if (!hasOtherCandidates || code === "E_SOURCE_CHANGED") throw error;
    return fail(message);
  }
  if (records.length < steps.length) return fail(nothingChanged(records), "unchanged");
  const { takenStep, judgement } = result;
  const evaluation = takenStep?.findings?.compared;
  if (evaluation === undefined) return fail("it has no steps");
  const { evaluator, comparison, agreement, measured, validation } = evaluation;
  const unchangedReason = judgement === undefined ? nothingChanged(records) : undefined;
  const { lost, kept, targets = [] } = judgement ?? {};
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
    comparison,
    agreement,
    verdict: goal === undefined ? undefined : judge(comparison, goal),
    ...rejectedAs(unchangedReason, lost?.text, largerReason),
    validation: evaluator.metrics.validate(evaluation, goal),
    ...(kept?.likeness === undefined ? {} : { likeness: kept.likeness }),
    ...(kept?.others === undefined ? {} : { others: kept.others }),
    ...(targets.length === 0 ? {} : { targets }),
  };
  // A function that is lost on test samples does not exclude the candidate here, because test samples must not influence the choice.
  const isWrong =
    lost?.because === "broken" ||
    lost?.because === "target" ||
    lost?.because === "form" ||
    (validation !== undefined && findLostKnowledge(validation, goal) !== undefined);
  const usable = (unchangedReason ?? largerReason) === undefined && !isWrong;
  return { variant, usable, evaluation, evaluator };
}

/** Compares results with the goal of a candidate. After a search for options, validation samples are excluded, as in a run of several candidates. */
function createComparer(
  evaluator: Evaluator,
  goal: Goal | undefined,
  candidate: string,
  task: Pick<RunContext, "test" | "metric">,
): Comparer<AttemptEvaluation> {
  const comparer: Comparer<AttemptEvaluation> = {
    goal,
    // A recipe with one step has the name of this step, which is then not repeated.
    async compare(output, name) {
      const title = name.endsWith(` ${candidate}`) ? name : `${candidate}, ${name}`;
      return { ...(await evaluator.measure(output, title, goal)), evaluator };
    },
    async separate(goal, context) {
      const original = await evaluator.open(evaluator.original);
      // The search samples are all compared: none of them is set aside for another choice.
      const options = { ...evaluator.options, choice: undefined };
      const separated = await separateSearchSamples(original, task, options, goal, context);
      if (separated instanceof Miss) return separated;
      const divided = await evaluator.reserveValidation();
      const otherComparer = divided === evaluator ? comparer : createComparer(divided, goal, candidate, task);
      return { search: separated.search, others: otherComparer };
    },
  };
  return comparer;
}

/** Returns whether a technique and all steps before it changed nothing, so that the rest of the recipe is that of another candidate. */
const isIdle = ({ pass }: PassStep, records: readonly StepRecord[]): boolean =>
  pass.moves !== undefined && !trains(pass) && records.every(({ changes }) => changes.length === 0);

const dependsOnLoss = ({ pass }: PassStep): boolean => trains(pass) || pass.reference === "original";

/** Returns whether a step trains the model, so that its predictions can intentionally differ from the original's. */
export function isTrained({ steps }: CandidateSteps): boolean {
  return steps.some(({ pass }) => trains(pass));
}

function recordOf({ id, name }: PassStep, { result: stepResult, findings }: TakenStep<AttemptEvaluation>): StepRecord {
  const { output: _, warnings: __, history, curve, training, ...result } = stepResult;
  const { by, unit } = training?.chosen ?? {};
  const record: StepRecord = {
    ...{ id, name, ...result },
    history: history?.map(({ epoch, loss, evaluations }) => ({ epoch, loss, evaluations })),
    curve: curve && { first: curve.first, every: curve.every, losses: curve.losses, by, unit },
  };
  if (findings?.compared === undefined) return record;
  const { measured, comparison, agreement } = findings.compared;
  return { ...record, after: measured, comparison, agreement };
}

function reportStep(
  { name }: PassStep,
  { result, findings, failedFallback }: TakenStep<AttemptEvaluation>,
  wasStored: boolean,
  { context, onMeasured }: RunContext,
): void {
  const warn = (id: string, text: string): void => context.log({ id, text, level: "warning" });
  if (failedFallback !== undefined)
    warn("fallback", `${name}: no layers are kept at higher precision: ${failedFallback.reason}`);
  if (wasStored) for (const text of result.warnings) warn("before", text);
  else if (findings?.compared !== undefined) onMeasured(findings.compared.measured);
}

const noResult = { result: undefined, comparison: undefined, agreement: undefined, verdict: undefined };

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
