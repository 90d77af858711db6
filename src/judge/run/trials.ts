/** Trials of candidates: their steps, the measured original and the goal. */
import type { Model } from "#ir";
import { type Context, completeContext } from "#pass";
import { levelOf } from "../../core/math/confidence-interval.ts";
import type { Task } from "../../runtime/metrics/metric.ts";
import { watchLoads } from "../../runtime/run/load-check.ts";
import type { Goal } from "../compare/goal.ts";
import { Evaluator, type EvaluatorOptions, MeasurementRecords } from "../measure/evaluator.ts";
import { goalOf } from "../measure/objective.ts";
import { openSteps } from "../recipe/pass-steps.ts";
import { StepRunner } from "../steps/runner.ts";
import { type Store, withStore } from "../steps/store.ts";
import { type Candidate, type CandidateSteps, isTrained, type RunContext, tryCandidate } from "./attempt.ts";
import { metricInputsOf, recordSplits, type SplitRecords, samplesKey } from "./record-keys.ts";
import type { RunOptions } from "./run-options.ts";

export interface Trials extends RunContext {
  readonly candidates: readonly CandidateSteps[];
  readonly splits: SplitRecords;
  readonly goal: Goal | undefined;
}

/**
 * Prepares the trials of candidates: expands their recipes, measures the original and determines the goal.
 * @param earlier trials on the same samples, whose measurements are used again.
 * @throws PithError E_DATA if the data does not fit the model. Without `force`, also if its outputs are NaN, or if it is at chance level and no
 * recipe trains.
 */
export async function openTrials(
  store: Store,
  recipes: readonly Candidate[],
  task: Task,
  options: RunOptions & Pick<EvaluatorOptions, "firstLook">,
  context: Context,
  earlier?: Trials,
): Promise<Trials> {
  const { name = "original", onStage = () => {}, onMeasured = () => {} } = options;
  const requestedGoal = goalOf(options) ?? {};
  onStage("original");
  const candidates = await Promise.all(
    recipes.map(
      async (candidate): Promise<CandidateSteps> => ({
        ...candidate,
        steps: await openSteps(candidate.recipe, options.passes),
      }),
    ),
  );
  const splits = await recordSplits(task, candidates, earlier?.splits);
  const metricInputs = earlier?.metricInputs ?? (await metricInputsOf(store, task, splits, options));
  const level = options.compared === undefined ? undefined : levelOf(options.compared);
  const choice = options.choice ?? candidates.length > 1;
  const evaluatorOptions = { ...options, name, level, maxDrop: requestedGoal.maxDrop, choice };
  const evaluator =
    (await earlier?.evaluator.withOptions(evaluatorOptions, context)) ??
    (await Evaluator.create(new MeasurementRecords(store, metricInputs), task, evaluatorOptions, context));
  onMeasured(evaluator.original.measured);
  // A model that will be trained may be at chance level.
  if (options.force !== true) evaluator.metrics.requireAnswers();
  if (options.force !== true && !candidates.some(isTrained)) evaluator.metrics.requireAboveChance();
  const { chanceNote } = evaluator.metrics;
  if (chanceNote !== undefined) context.log({ id: "chance", text: chanceNote, level: "warning" });
  const goal = evaluator.metrics.resolveGoal(requestedGoal, candidates.every(isTrained));
  const samples = {
    train: await samplesKey(task.train, splits.train),
    calibrate: await samplesKey(task.calibrate, splits.calibrate),
  };
  const runner = new StepRunner({ store, data: task, samples }, { ...context, phase: onStage });
  const { targets = [], purpose } = options;
  const { test, calibrate, metric } = task;
  return {
    candidates,
    splits,
    goal,
    runner,
    metricInputs,
    evaluator,
    test,
    calibrate,
    metric,
    onMeasured,
    targets,
    store,
    purpose,
    context: { ...context, engine: watchLoads(context.engine), stage: onStage },
    requestedGoal: { stated: false, ...requestedGoal, ...goal },
  };
}

/** Stores results in `resumeFolder`, where `compress` finds them. @throws PithError as `runRecipe`, except for a rejected result. */
export async function runIntoStore(
  original: Model,
  candidate: Candidate,
  task: Task,
  options: RunOptions & { readonly resumeFolder: string },
  context: Partial<Context> = {},
): Promise<void> {
  await withStore(original, options, async (store) => {
    const trials = await openTrials(store, [candidate], task, options, completeContext(context));
    for (const openedCandidate of trials.candidates) await tryCandidate(openedCandidate, false, trials);
  });
}
