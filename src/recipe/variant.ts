/** One recipe on one model: its steps in order on a copy, measured after each. */
import { clause, refusalIn, stopIfAsked } from "../errors.ts";
import { judge as judgeGoal, type Task } from "../evaluate/index.ts";
import { type OnTarget, rightOn } from "../evaluate/right-on.ts";
import type { RunTarget } from "../evaluate/run-target.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/index.ts";
import { namesAt } from "../passes/schema.ts";
import type { Measured, StepRecord, Variant } from "../report/data.ts";
import { stepNames } from "../report/verdict.ts";
import type { Evaluation, Evaluator } from "./evaluator.ts";
import { judgeResult } from "./judgement.ts";
import { type KeptFunction, keptFunction } from "./kept-function.ts";
import type { GoalOptions } from "./paired-metrics.ts";
import type { DoneSteps, PartialRun } from "./partial-run.ts";
import { completeOptions, type PassStep, type Recipe } from "./recipe.ts";
import { runStep, type StepOutcome, trains } from "./steps.ts";

export interface Candidate {
  /** What the report calls it. */
  readonly name: string;
  readonly recipe: Recipe;
}

export interface CandidateSteps extends Candidate {
  readonly steps: readonly PassStep[];
}

export interface RunContext {
  readonly evaluator: Evaluator;
  readonly partial: PartialRun | undefined;
  readonly task: Task;
  readonly asked: GoalOptions;
  readonly context: Context;
  readonly onStage: (name: string) => void;
  readonly onMeasured: (measured: Measured) => void;
  readonly targets: readonly RunTarget[];
}

export interface Attempt {
  readonly variant: Variant;
  /** No step failed, something changed, and the result is smaller where there are other candidates. */
  readonly usable: boolean;
  readonly evaluation: Evaluation | undefined;
}

/** Runs a candidate, of which some steps may be done. With other candidates a failure, or a result that is not smaller, is a refusal. */
export async function attempt(
  original: Model,
  candidate: CandidateSteps,
  done: DoneSteps,
  hasOtherCandidates: boolean,
  run: RunContext,
): Promise<Attempt> {
  const { evaluator } = run;
  const goal = evaluator.metrics.goal(run.asked, isTrained(candidate));
  const records: StepRecord[] = [];
  let standing: Evaluation | undefined;
  try {
    const all = candidate.steps;
    const model = done.model ?? original.clone();
    for (const { record, warnings } of done.steps) {
      records.push(record);
      for (const text of warnings) run.context.log({ id: "before", text, level: "warning" });
    }
    if (records.length > 0) {
      const last = stepNames(all)[records.length - 1];
      run.context.log({ id: "resume", text: `${candidate.name}: continued after ${last}` });
      standing = await evaluator.measure(model, `${candidate.name}, after ${last}`);
    }
    for (let count = records.length + 1; count <= all.length; count++) {
      const taken = await takeStep(model, all.slice(0, count), candidate, run);
      records.push(taken.record);
      standing = taken.standing;
    }
  } catch (error) {
    const { message } = refusalIn(error);
    if (!hasOtherCandidates) throw error;
    return { variant: failed(candidate.name, records, message), usable: false, evaluation: undefined };
  }
  if (standing === undefined)
    return { variant: failed(candidate.name, records, "it has no steps"), usable: false, evaluation: undefined };
  const { comparison, agreement, measured } = standing;
  const unchanged = evaluator.isChanged(standing) ? undefined : nothingChanged(records);
  const kept = unchanged === undefined ? await keptBy(standing, candidate, run) : undefined;
  const { lost, targets } = await judgeResult({ comparison, kept }, false, async () =>
    unchanged === undefined ? onTargets(standing, run) : [],
  );
  const larger =
    hasOtherCandidates && measured.bytes >= evaluator.original.measured.bytes
      ? "it is not smaller than the original"
      : undefined;
  const variant: Variant = {
    name: candidate.name,
    steps: records,
    result: { ...measured, name: candidate.name },
    comparison,
    agreement,
    verdict: goal === undefined ? undefined : judgeGoal(comparison, goal),
    ...refusedAs(unchanged, lost?.text, larger),
    validation: evaluator.metrics.onValidation(standing, goal),
    ...(kept?.likeness === undefined ? {} : { likeness: kept.likeness }),
    ...(kept?.others === undefined ? {} : { others: kept.others }),
    ...(targets.length === 0 ? {} : { targets }),
  };
  // Another function shows on test samples, which do not choose.
  const fails = lost?.because === "broken" || lost?.because === "target";
  return { variant, usable: (unchanged ?? larger) === undefined && !fails, evaluation: standing };
}

/** Whether a candidate learns, so that it may have to answer otherwise than before. */
export function isTrained({ steps }: CandidateSteps): boolean {
  return steps.some(({ pass }) => trains(pass));
}

function keptBy(
  standing: Evaluation,
  candidate: CandidateSteps,
  { evaluator, context, task, onStage }: RunContext,
): Promise<KeptFunction> {
  const { given } = standing.answers;
  const trained = isTrained(candidate);
  if (!trained) onStage("compare");
  const judged = { test: task.test, answered: given.length, trained, output: evaluator.output, forced: false };
  return keptFunction(context, evaluator.original.model, standing.model, judged);
}

async function onTargets(
  standing: Evaluation,
  { evaluator, context, task, onStage, targets }: RunContext,
): Promise<readonly OnTarget[]> {
  if (targets.length === 0) return [];
  onStage("targets");
  const { engine, seed, signal } = context;
  const { output, original } = evaluator;
  return rightOn(engine, targets, original.model, standing.model, { samples: task.test, output, seed, signal });
}

/** @param taken the steps up to this one, which is the last. */
async function takeStep(
  model: Model,
  taken: readonly PassStep[],
  candidate: CandidateSteps,
  { evaluator, partial, task, context, onStage, onMeasured }: RunContext,
): Promise<{ readonly record: StepRecord; readonly standing: Evaluation }> {
  const step = taken.at(-1);
  if (step === undefined) throw new Error("internal: no step was to be taken");
  const { pass } = step;
  const name = stepNames(candidate.steps)[taken.length - 1] ?? step.id;
  stopIfAsked(context.signal, `Stopped before ${name}.`);
  onStage(name);
  const started = performance.now();
  const checkpoint = namesAt(pass.options).includes("checkpoint") ? await partial?.checkpoint(taken) : undefined;
  const warnings: string[] = [];
  const logging: Context = {
    ...context,
    log(event) {
      if (event.level === "warning") warnings.push(event.text);
      context.log(event);
    },
  };
  const outcome = await runStep(pass, model, { ...step.options, ...checkpoint }, task, logging);
  const seconds = secondsSince(started);
  onStage("evaluate");
  const standing = await evaluator.measure(model, `${candidate.name}, after ${name}`);
  const { measured, comparison, agreement } = standing;
  onMeasured(measured);
  const record: StepRecord = {
    id: step.id,
    options: completeOptions(pass, step.options),
    changes: outcome.changes,
    misses: outcome.misses.map((miss) => ({ at: miss.at, reason: miss.reason })),
    history: outcome.history?.map(({ epoch, loss, evaluations }) => ({ epoch, loss, evaluations })),
    curve: curveOf(outcome),
    ...(outcome.learnt === undefined ? {} : { learnt: outcome.learnt }),
    seconds,
    after: measured,
    comparison,
    agreement,
  };
  await partial?.keepStep(taken, model, { record, warnings });
  return { record, standing };
}

function curveOf({ curve, training }: StepOutcome): StepRecord["curve"] {
  if (curve === undefined) return undefined;
  const { first, every, losses } = curve;
  const { by, unit } = training?.chosen ?? {};
  return { first, every, losses, by, unit };
}

function failed(name: string, records: readonly StepRecord[], refused: string): Variant {
  const unknown = { result: undefined, comparison: undefined, agreement: undefined, verdict: undefined };
  return { name, steps: records, ...unknown, refused: clause(refused), refusedAs: "failed" };
}

function refusedAs(
  unchanged: string | undefined,
  lost: string | undefined,
  larger: string | undefined,
): Pick<Variant, "refused" | "refusedAs"> {
  if (unchanged !== undefined) return { refused: unchanged, refusedAs: "unchanged" };
  if (lost !== undefined) return { refused: lost, refusedAs: "lost" };
  return larger === undefined ? { refused: undefined } : { refused: larger, refusedAs: "not smaller" };
}

function nothingChanged(records: readonly StepRecord[]): string {
  const why = whyUnchanged(records);
  return why === undefined ? "nothing changed" : `nothing changed: ${why}`;
}

export function whyUnchanged(records: readonly StepRecord[]): string | undefined {
  const [first] = records.flatMap(({ misses }) => misses);
  return first?.at === undefined ? first?.reason : `${first.at}: ${first.reason}`;
}

export function secondsSince(started: number): number {
  return (performance.now() - started) / 1000;
}
