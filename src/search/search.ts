/**
 * Searches for the model with the lowest cost that meets an objective. Moves that passes offer form the candidates, and `forecast.ts` predicts
 * untried candidates from results. Candidates are compared on at most half of the test samples, finalists on the others.
 */
import { counted, integer, type Model, throwIfAborted } from "#ir";
import { type Context, completeContext } from "#pass";
import { defaultDrop } from "../judge/compare/goal.ts";
import { objectiveOf } from "../judge/measure/objective.ts";
import { type CandidateSteps, tryCandidate } from "../judge/run/attempt.ts";
import type { Compressed } from "../judge/run/compress.ts";
import type { Trials } from "../judge/run/trials.ts";
import { withStore } from "../judge/steps/store.ts";
import type { Task } from "../runtime/metrics/metric.ts";
import { abortAfter, secondsSince } from "../runtime/run/elapsed.ts";
import { Budget } from "./budget.ts";
import { SearchClock } from "./clock.ts";
import type { Combination } from "./combinations.ts";
import { FinalEvaluation, maxFinalists } from "./final-evaluation.ts";
import { Forecast } from "./forecast.ts";
import { measureTradeoff, type TradeoffOptions } from "./measure-tradeoff.ts";
import { Rounds } from "./rounds.ts";
import { describeTrial, nameOfSameFile, type ScoredTrial } from "./scored-trials.ts";
import {
  openFinalTrials,
  type PooledSearchOptions,
  type SearchOptions,
  type SearchSetup,
  setUpSearch,
  warnOfSharedSamples,
} from "./search-setup.ts";
import { WorkEstimate } from "./work-estimate.ts";

/**
 * Searches combinations of all techniques within the time limit, and evaluates the best few on samples that the search did not use.
 * @param task disjoint training, calibration and test samples, and the metric.
 * @returns the best model and its file, the candidates in `run.search`, and the recipes of the finalists.
 * @throws PithError E_DATA for unsuitable data or a model at chance level, E_OPTION for an unknown technique, E_STOPPED on the context's signal.
 * @example
 * const task = { train: data, calibrate: calibration, test: unseen, metric: accuracy() };
 * const { result, run } = await search(model, task, { goal: { maxDrop: 0.01 }, minutes: 5, purpose: "size" });
 * for (const { name, bytes, drop } of run.search?.points ?? []) console.log(name, bytes, drop);
 * if (result !== undefined) await save(result.model, "small.onnx");
 */
export function search(
  original: Model,
  task: Task,
  options: SearchOptions = {},
  context: Partial<Context> = {},
): Promise<Compressed> {
  return searchWithPool(original, task, options, context);
}

export async function searchWithPool(
  original: Model,
  task: Task,
  options: PooledSearchOptions,
  partialContext: Partial<Context>,
): Promise<Compressed> {
  const context = completeContext(partialContext);
  return withStore(original, options, async (store) => {
    const startTime = performance.now();
    const searchTask = await setUpSearch(store, original, task, options, context);
    const finalTrials = await openFinalTrials(searchTask);
    warnOfSharedSamples(searchTask);
    const { evaluator } = searchTask.trials;
    const searchProcess = new Search(
      searchTask,
      finalTrials,
      secondsSince(startTime),
      await evaluator.sizeFor(options.purpose, evaluator.original.measured),
    );
    await searchProcess.run().finally(() => options.jobPool?.close());
    const result = await searchProcess.evaluateFinalists();
    return { ...result, run: { ...result.run, seconds: secondsSince(startTime) } };
  });
}

/** Evaluates a candidate and stores the result in `resumeFolder`, where a search with equal options finds it. */
export async function evaluateIntoStore(
  original: Model,
  task: Task,
  options: SearchOptions & { readonly resumeFolder: string },
  name: string,
  partialContext: Partial<Context> = {},
): Promise<void> {
  await withStore(original, options, async (store) => {
    const { trials, context } = await setUpSearch(store, original, task, options, completeContext(partialContext));
    const candidate = trials.candidates.find((candidate) => candidate.name === name);
    if (candidate === undefined) throw new RangeError(`"${name}" is not a candidate`);
    const startTime = performance.now();
    await tryCandidate(candidate, true, trials);
    await new SearchClock(store, options, trials.metricInputs, context).measure(candidate, startTime);
  });
}

/** Approximate, for timing the finalists and writing reports. */
const secondsOfTiming = 10;

class Search {
  readonly #task: SearchSetup;
  readonly #clock: SearchClock;
  readonly #budget: Budget;
  readonly #work: WorkEstimate;
  readonly #rounds: Rounds;
  readonly #tradeoffOptions: TradeoffOptions;
  readonly #finalEvaluation: FinalEvaluation;
  readonly #stepsOf: ReadonlyMap<string, CandidateSteps>;
  readonly #secondsBefore: number;

  constructor(searchTask: SearchSetup, finalTrials: Trials, secondsBefore: number, size: number) {
    this.#task = searchTask;
    this.#secondsBefore = secondsBefore;
    const { trials, options, store, task, context, combinations } = searchTask;
    const { evaluator, goal, candidates } = trials;
    const { measured } = evaluator.original;
    const clock = new SearchClock(store, options, trials.metricInputs, context);
    const unit = goal?.maxDrop || defaultDrop(task.metric, measured.estimate.value);
    const objective = objectiveOf(options, goal?.maxDrop ?? unit, measured);
    const forecast = new Forecast({ size, speed: 1, drop: 0 }, unit);
    const isDone = (name: string): boolean => clock.isDone(name);
    this.#clock = clock;
    this.#budget = new Budget(options);
    this.#work = new WorkEstimate(evaluator.originalTime);
    this.#rounds = new Rounds({ combinations, objective, forecast, work: this.#work, isDone });
    const { targets, about, purpose } = options;
    const timingKey = { machine: about?.machine, judging: trials.metricInputs };
    this.#tradeoffOptions = { evaluator, objective, purpose, metric: task.metric, store, targets, timingKey };
    this.#finalEvaluation = new FinalEvaluation(searchTask, finalTrials, this.#rounds, objective);
    this.#stepsOf = new Map(candidates.map((candidate) => [candidate.name, candidate]));
  }

  async run(): Promise<void> {
    const { trials, context, combinations } = this.#task;
    const [budget, rounds] = [this.#budget, this.#rounds];
    const { knownCount, spentSeconds } = await this.#clock.begin(trials.candidates);
    if (Number.isFinite(budget.minutes))
      context.log({
        id: "duration",
        text: this.#work.timeText(combinations, budget.minutes, spentSeconds, this.#secondsOutsideSearch),
      });
    if (knownCount > 0)
      context.log({ id: "known", text: `${counted(knownCount, "candidate")} known from earlier runs` });
    for (let round = rounds.next(budget.secondsLeft); round.length > 0; round = rounds.next(budget.secondsLeft)) {
      await this.#evaluateInParallel(round);
      for (const combination of round) {
        if (!budget.isOpen && rounds.tried.length > 0) {
          const triedText = counted(rounds.tried.length, "candidate");
          if (budget.candidatesLeft === 0)
            context.log({ id: "limit", text: `the search ended at its limit of ${triedText}; others can be better` });
          return;
        }
        throwIfAborted(context.signal, `Stopped before ${combination.name}.`);
        const scoredTrial = await this.#try(combination);
        if (scoredTrial === undefined) {
          const text = `${combination.name}: stopped without a result, because the time for the search was over`;
          context.log({ id: "late", text });
          return;
        }
        await this.#recordAttempt(scoredTrial);
        await this.#trim();
      }
    }
    if (budget.isOpen)
      context.log({
        id: "ended",
        text: `no other candidate is expected to gain anything${Number.isFinite(budget.minutes) ? " in time" : ""}`,
      });
  }

  /** Assumes that a finalist takes as long per sample as the original. */
  get #secondsOutsideSearch(): number {
    const { trials, splits } = this.#task;
    const { seconds, samples } = trials.evaluator.originalTime;
    const secondsPerFinalist = (seconds * (splits.test.count ?? samples)) / Math.max(1, samples);
    return this.#secondsBefore + secondsOfTiming + maxFinalists * secondsPerFinalist;
  }

  async evaluateFinalists(): Promise<Compressed> {
    const result = await this.#finalEvaluation.evaluateFinalists();
    await this.#clock.end();
    return result;
  }

  /** Parallel processes may still need the files. */
  async #trim(): Promise<void> {
    const { store, trials, options } = this.#task;
    if (options.jobPool === undefined) await store.trim([trials.evaluator.original.measured.sha256]);
  }

  /** Idle processes evaluate likely next candidates, which do not change the order of the search. */
  async #evaluateInParallel(round: readonly Combination[]): Promise<void> {
    const { options, context, timeLimitController: timeLimit } = this.#task;
    const budget = this.#budget;
    const { jobPool } = options;
    if (jobPool === undefined || !budget.isOpen) return;
    const nextCandidates = round.slice(0, budget.candidatesLeft);
    const isLast = nextCandidates.length >= budget.candidatesLeft;
    const likelyCandidates = isLast
      ? []
      : this.#rounds.rankUntried(budget.secondsLeft).filter((combination) => !round.includes(combination));
    const missingNames = (combinations: readonly Combination[]): readonly string[] =>
      combinations.map(({ name }) => name).filter((name) => !this.#clock.isDone(name));
    const names = missingNames(nextCandidates);
    if (names.length === 0) return;
    options.onStage?.(`${counted(names.length, "candidate")}, ${integer(jobPool.jobs)} at a time`);
    const cancel = this.#stopWhenLate();
    const roundContext = { signal: AbortSignal.any([context.signal, timeLimit.signal]), progress: context.progress };
    await jobPool.runRound(names, missingNames(likelyCandidates), roundContext).finally(cancel);
    throwIfAborted(context.signal, "Stopped while candidates were tried.");
  }

  /** Starts a timer: it stops the running candidate a tenth after the time limit, if a result meets the objective. @returns a function that stops the timer. */
  #stopWhenLate(): () => void {
    return abortAfter(
      this.#task.timeLimitController,
      this.#rounds.best === undefined ? Number.POSITIVE_INFINITY : this.#budget.secondsUntilStop,
    );
  }

  /** Returns undefined if the time limit stopped the candidate. */
  async #try(combination: Combination): Promise<ScoredTrial | undefined> {
    const { trials, options, context, timeLimitController: timeLimit, stage } = this.#task;
    const { tried, best } = this.#rounds;
    const candidate = this.#stepsOf.get(combination.name);
    if (candidate === undefined) throw new RangeError(`"${combination.name}" is not a candidate`);
    const bestText = best === undefined ? "" : `, best ${best.combination.name}`;
    stage.name = `${combination.name} (${integer(tried.length)} tried${bestText}, ${this.#budget.leftText})`;
    options.onStage?.(stage.name);
    const startTime = performance.now();
    const cancel = this.#stopWhenLate();
    try {
      const attempt = await tryCandidate(candidate, true, trials);
      const tradeoff = await measureTradeoff(attempt, this.#tradeoffOptions);
      const { seconds, spent } = await this.#clock.measure(candidate, startTime);
      return { combination, attempt, tradeoff, seconds, spent, sameAs: nameOfSameFile(attempt, tried) };
    } catch (error) {
      if (timeLimit.signal.aborted && !context.signal.aborted) return undefined;
      throw error;
    } finally {
      cancel();
    }
  }

  async #recordAttempt(scoredTrial: ScoredTrial): Promise<void> {
    const { context, options } = this.#task;
    this.#budget.spend(scoredTrial.spent / (options.jobPool?.jobs ?? 1));
    const isBest = this.#rounds.add(scoredTrial);
    context.log({ id: "tried", text: describeTrial(scoredTrial, this.#tradeoffOptions) });
    if (!isBest) return;
    // Before the message, so that a user who stops after the message finds the result.
    if (options.onBest !== undefined) await options.onBest(await this.#finalEvaluation.evaluateInterim(scoredTrial));
    context.log({ id: "best", text: `best so far: ${scoredTrial.combination.name}` });
  }
}
