/**
 * A search for the model of least cost that an objective allows. What passes offer (`passes/moves.ts`) makes combinations; each round tries those that are expected to gain
 * most for their work, and what they come to tells what to expect of the others (`forecast.ts`). Formats of numbers come first, by themselves: they need no training.
 *
 * Combinations are compared on one half of the test samples. Only the finalists are evaluated on the other half.
 */
import type { Dataset } from "../data/index.ts";
import { stopIfAsked } from "../errors.ts";
import { type Goal, judge, type Task } from "../evaluate/index.ts";
import { bytes, change, counted, integer, times } from "../evaluate/numbers.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/index.ts";
import { completeContext } from "../passes/pass.ts";
import { type Figures, type Objective, type ObjectiveOptions, objectiveOf } from "../recipe/objective.ts";
import { type Compressed, compressIn, openTrials, type RunOptions, type Trials } from "../recipe/run.ts";
import { type Attempt, type Candidate, type CandidateSteps, secondsSince } from "../recipe/variant.ts";
import type { Measured } from "../report/data.ts";
import { openStore, type Store } from "../run/store.ts";
import { version } from "../version.ts";
import { Clock } from "./clock.ts";
import { type Combination, recipeOf } from "./combinations.ts";
import { expectedDrop } from "./expected-drop.ts";
import { finalistsOf } from "./finalists.ts";
import { Forecast } from "./forecast.ts";
import { combinationsFor, type OffersOptions } from "./offers.ts";
import { divided, type SearchParts } from "./parts.ts";
import type { Ahead } from "./pool.ts";
import { recordOf, resolved, type Scored } from "./record.ts";
import { timeText, Work } from "./work.ts";

export interface SearchOptions extends RunOptions, ObjectiveOptions, Pick<OffersOptions, "techniques"> {
  /** How long to search (10). */
  readonly minutes?: number | undefined;
  /** Combinations at most, in place of minutes: the result does not depend on the machine then. */
  readonly steps?: number | undefined;
  /** A better one was found: judged on the samples that are searched on. */
  readonly onBest?: (best: Finalists) => Promise<void>;
  /** Tries several combinations in parallel in other processes, by `tryIn` with the same `resumeFolder`. */
  readonly ahead?: Ahead | undefined;
}

export interface Finalists extends Compressed {
  /** As the variants of the run are. */
  readonly candidates: readonly Candidate[];
}

const usualMinutes = 10;
/** Combinations of a round. */
const ofRound = 3;
/** An expected gain below is not worth a try: 2 % of the bytes. */
const leastGain = 0.03;
/** By how much an expected figure may fall short, as a share of what is allowed. */
const slack = 0.25;
/** The last combination is stopped when it takes so many times the minutes that there are. */
const mostOver = 1.1;
const roundsOfTiming = 7;

/**
 * Searches combinations of all techniques, as long as there is time, and judges the best few on samples that were not searched on.
 * @param task disjoint training, calibration and test samples, and the metric.
 * @throws PithError E_DATA if the data does not fit the model, E_STOPPED on the context's signal.
 */
export async function search(
  original: Model,
  task: Task,
  options: SearchOptions = {},
  given: Partial<Context> = {},
): Promise<Finalists> {
  const context = completeContext(given);
  const store = await openStore(original, options);
  try {
    const started = performance.now();
    const searched = await Search.open(store, original, task, options, context);
    // The finalists are timed with nothing beside.
    await searched.run().finally(() => options.ahead?.close());
    const found = await searched.finals();
    return { ...found, run: { ...found.run, seconds: secondsSince(started) } };
  } finally {
    await store.release();
  }
}

/**
 * Tries one combination and stores its result in `resumeFolder`, where a search with the same folder finds it.
 * @param options those of the search.
 * @throws PithError as `search`.
 */
export async function tryIn(
  original: Model,
  task: Task,
  options: SearchOptions & { readonly resumeFolder: string },
  name: string,
  given: Partial<Context> = {},
): Promise<void> {
  // The search sees to the size of the folder.
  const { resumeFolder, bucket } = options;
  const store = await openStore(original, { resumeFolder, bucket });
  try {
    // Speeds are measured where nothing runs beside.
    const alone = { ...options, purpose: "size" } as const;
    await (await Search.open(store, original, task, alone, completeContext(given))).tryNamed(name);
  } finally {
    await store.release();
  }
}

interface Begun {
  readonly store: Store;
  readonly original: Model;
  readonly task: Task;
  readonly options: SearchOptions;
  readonly context: Context;
  readonly parts: SearchParts;
  readonly all: readonly Combination[];
  readonly trials: Trials;
  /** Ends what is being tried when the time is over. */
  readonly late: AbortController;
}

class Search {
  readonly #begun: Begun;
  readonly #clock: Clock;
  readonly #tried: Scored[] = [];
  readonly #work: Work;
  readonly #forecast: Forecast;
  readonly #stepsOf: ReadonlyMap<string, CandidateSteps>;
  readonly #objective: Objective;
  readonly #maxDrop: number | undefined;
  readonly #started = performance.now();
  #spent = 0;
  #best: Scored | undefined;

  private constructor(begun: Begun) {
    this.#begun = begun;
    const { evaluator, goal, candidates } = begun.trials;
    const { measured } = evaluator.original;
    this.#maxDrop = goal?.maxDrop;
    this.#work = new Work(evaluator.took);
    this.#clock = new Clock(begun.store, begun.options, evaluator.took.samples, begun.context);
    this.#objective = objectiveOf(begun.options, this.#maxDrop, measured);
    const { bytes: size, brotli } = measured;
    this.#forecast = new Forecast({ bytes: size, brotli, speed: 1, drop: 0 }, this.#maxDrop || 1);
    this.#stepsOf = new Map(candidates.map((one) => [one.name, one]));
  }

  static async open(
    store: Store,
    original: Model,
    task: Task,
    options: SearchOptions,
    context: Context,
  ): Promise<Search> {
    const parts = divided(task.test, context.seed);
    const target = (options.targets ?? []).map(({ name }) => name);
    const all = combinationsFor(await store.open(store.original), task, { target, techniques: options.techniques });
    const late = new AbortController();
    let isOpened = false;
    const quiet: Context = {
      ...context,
      signal: AbortSignal.any([context.signal, late.signal]),
      // What passes say of each combination is in its record.
      log: (event) => isOpened || context.log(event),
    };
    const trials = await openTrials(
      store,
      all.map((one) => ({ name: one.name, recipe: recipeOf(one) })),
      { ...task, test: parts.search },
      { ...options, choice: true, onMeasured: (measured) => isOpened || options.onMeasured?.(measured) },
      quiet,
    );
    if (options.force !== true) trials.evaluator.metrics.requireAboveChance();
    isOpened = true;
    return new Search({ store, original, task, options, context, parts, all, trials, late });
  }

  async run(): Promise<void> {
    const { options, all, context } = this.#begun;
    const { steps: most, minutes = usualMinutes } = options;
    if (most === undefined) {
      const seconds = all.map((one) => this.#work.secondsOf(one));
      context.log({ id: "duration", text: timeText(minutes, seconds) });
    }
    // A request to the bucket for each combination would take longer than what it tells saves.
    await this.#clock.begin(options.bucket === undefined ? all.map(({ name }) => name) : []);
    for (let round = this.#round(); round.length > 0; round = this.#round()) {
      await this.#tryAhead(round);
      for (const combination of round) {
        if (!this.#isOpen()) return;
        stopIfAsked(context.signal, `Stopped before ${combination.name}.`);
        const one = await this.#try(combination);
        if (one === undefined) return;
        await this.#note(one);
        await this.#trim();
      }
    }
  }

  /** Judges the best few on the samples that were not searched on. */
  async finals(): Promise<Finalists> {
    const { context, parts, options } = this.#begun;
    const bySize = objectiveOf({ purpose: "size" }, this.#maxDrop, this.#begun.trials.evaluator.original.measured);
    const finalists = finalistsOf(this.#tried, this.#objective, bySize);
    const [tried, best] = [counted(this.#tried.length, "combination"), counted(finalists.length, "finalist")];
    const on = parts.isApart ? "other" : "the same";
    context.log({ id: "finalists", text: `${tried} tried; ${best} judged on ${on} samples` });
    const log: Context["log"] = (event) => event.id === "resume" || context.log(event);
    const found = await this.#judged(finalists, parts.test, options, { ...context, log });
    await this.#clock.end();
    return { ...found, run: { ...found.run, search: this.#record(parts.isApart) } };
  }

  /** Between combinations nothing else is read again without asking whether it is there, unless other processes are at work: then the end of the search trims. */
  async #trim(): Promise<void> {
    const { store, trials, options } = this.#begun;
    if (options.ahead === undefined) await store.trim([trials.evaluator.original.measured.sha256]);
  }

  /** @throws RangeError if there is no such combination. */
  async tryNamed(name: string): Promise<void> {
    const combination = this.#begun.all.find((one) => one.name === name);
    if (combination === undefined) throw new RangeError(`"${name}" is no combination`);
    await this.#try(combination);
  }

  /** A round, and where there is room what is likely to follow it: which combinations count does not depend on it. */
  async #tryAhead(round: readonly Combination[]): Promise<void> {
    const { options, context, late } = this.#begun;
    const { ahead, steps: most = Number.POSITIVE_INFINITY } = options;
    if (ahead === undefined || !this.#isOpen()) return;
    const next = round.slice(0, most - this.#tried.length);
    const isLast = this.#tried.length + next.length >= most;
    const others = isLast ? [] : this.#promising().filter((one) => !round.includes(one));
    const missing = (some: readonly Combination[]): readonly string[] =>
      some.map(({ name }) => name).filter((name) => !this.#clock.isDone(name));
    const names = missing(next);
    if (names.length === 0) return;
    options.onStage?.(`${counted(names.length, "combination")}, ${integer(ahead.jobs)} at a time`);
    const left = this.#untilLate;
    const timer = Number.isFinite(left) ? setTimeout(() => late.abort(), (1000 * left) / ahead.jobs) : undefined;
    const signal = AbortSignal.any([context.signal, late.signal]);
    await ahead.tryRound(names, missing(others), signal).finally(() => clearTimeout(timer));
    stopIfAsked(context.signal, "Stopped while combinations were tried.");
  }

  #isOpen(): boolean {
    const { steps: most } = this.#begun.options;
    return most === undefined ? this.#left > 0 : this.#tried.length < most;
  }

  /** Seconds of all jobs together: by what counts, which an earlier process may have spent, and by the clock, as some combinations are tried ahead in vain. */
  get #left(): number {
    const { steps: most, minutes = usualMinutes, ahead } = this.#begun.options;
    if (most !== undefined) return Number.POSITIVE_INFINITY;
    const jobs = ahead?.jobs ?? 1;
    return jobs * (60 * minutes - Math.max(this.#spent / jobs, secondsSince(this.#started)));
  }

  /** Until what is being tried is stopped: not before there is something to show. */
  get #untilLate(): number {
    const { minutes = usualMinutes, ahead } = this.#begun.options;
    if (this.#best === undefined) return Number.POSITIVE_INFINITY;
    return this.#left + (mostOver - 1) * 60 * minutes * (ahead?.jobs ?? 1);
  }

  /** The next combinations to try: number formats alone first, then those with the largest expected gain for their cost, one for each family of structures. */
  #round(): readonly Combination[] {
    if (this.#tried.length === 0)
      return this.#begun.all.filter(({ structure, training }) => structure === undefined && training === undefined);
    const families = new Set<string | undefined>();
    const round: Combination[] = [];
    for (const combination of this.#promising()) {
      if (round.length === ofRound) break;
      const family = combination.structure?.family;
      if (families.has(family)) continue;
      families.add(family);
      round.push(combination);
    }
    return round;
  }

  /** Those that are expected to gain something in time, the best for their work first. */
  #promising(): readonly Combination[] {
    const done = new Set(this.#tried.map(({ combination }) => combination.name));
    const best = this.#best?.figures;
    const found = this.#begun.all.flatMap((combination) => {
      if (done.has(combination.name)) return [];
      const seconds = this.#clock.isDone(combination.name) ? 0 : this.#work.secondsOf(combination);
      if (seconds > this.#left) return [];
      const figures = this.#forecast.of(combination);
      if (figures === undefined || !this.#objective.allows(figures, slack)) return [];
      const gain = best === undefined ? 1 : this.#objective.cost(best) - this.#objective.cost(figures);
      return gain < leastGain ? [] : [{ combination, worth: gain / this.#work.runsOf(combination) }];
    });
    return found.toSorted((a, b) => b.worth - a.worth).map(({ combination }) => combination);
  }

  /** Undefined where the time is over before it is through. */
  async #try(combination: Combination): Promise<Scored | undefined> {
    const { trials, options, context, late } = this.#begun;
    const candidate = this.#stepsOf.get(combination.name);
    if (candidate === undefined) throw new RangeError(`"${combination.name}" is no combination`);
    options.onStage?.(this.#stage(combination));
    const started = performance.now();
    const left = this.#untilLate;
    const timer = Number.isFinite(left) ? setTimeout(() => late.abort(), 1000 * left) : undefined;
    try {
      const attempt = await trials.attempt(candidate, true);
      const figures = await this.#figuresOf(attempt);
      const { seconds, spent } = await this.#clock.taken(combination.name, started);
      return { combination, attempt, figures, seconds, spent, sameAs: this.#sameAs(attempt) };
    } catch (error) {
      if (late.signal.aborted && !context.signal.aborted) return undefined;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** What is being tried, what has been found, and what is left. */
  #stage({ name }: Combination): string {
    const { steps: most = 0, ahead } = this.#begun.options;
    const minutes = this.#left / (60 * (ahead?.jobs ?? 1));
    const left = Number.isFinite(minutes)
      ? `${integer(Math.max(1, Math.ceil(minutes)))} min left`
      : `${integer(most - this.#tried.length)} left`;
    const best = this.#best === undefined ? "" : `, best ${this.#best.combination.name}`;
    return `${name} (${integer(this.#tried.length)} tried${best}, ${left})`;
  }

  /** An earlier combination that came to the same file. */
  #sameAs({ evaluation }: Attempt): string | undefined {
    if (evaluation === undefined) return undefined;
    const { sha256 } = evaluation.measured;
    return this.#tried.find(({ attempt }) => attempt.evaluation?.measured.sha256 === sha256)?.combination.name;
  }

  async #note(one: Scored): Promise<void> {
    const { combination, attempt, figures, seconds, spent } = one;
    this.#spent += spent;
    this.#work.add(combination, attempt.variant.steps, seconds);
    this.#tried.push(one);
    this.#forecast.add(one);
    this.#begun.context.log({ id: "tried", text: this.#lineOf(one) });
    if (figures === undefined || !attempt.usable || !this.#objective.allows(figures)) return;
    const best = this.#best?.figures;
    if (best !== undefined && this.#objective.cost(figures) >= this.#objective.cost(best)) return;
    this.#best = one;
    const { context, options, parts } = this.#begun;
    context.log({ id: "best", text: `best so far: ${combination.name}` });
    if (options.onBest === undefined) return;
    const silent: Context = { ...context, log: () => {}, progress: () => {} };
    const quiet = { ...options, rounds: 0, front: false, onMeasured: () => {}, onStage: () => {} };
    const found = await this.#judged([one], parts.search, quiet, silent);
    await options.onBest({ ...found, run: { ...found.run, search: this.#record(false) } });
  }

  /** "palettes of 4 bits: 7.08 kB, −0.1 points, 0.98 × as fast" */
  #lineOf({ combination: { name }, attempt, figures, sameAs }: Scored): string {
    const { metric } = this.#begun.task;
    if (sameAs !== undefined) return `${name}: the same file as ${sameAs}`;
    if (figures === undefined) return `${name}: refused: ${attempt.variant.refused ?? "it cannot be judged"}`;
    const moved = change(metric.unit, (metric.better === "higher" ? -1 : 1) * figures.drop);
    const speed = figures.speed === undefined ? "" : `, ${times(figures.speed)} as fast`;
    const refused = attempt.usable ? "" : `; refused: ${attempt.variant.refused ?? ""}`;
    return `${name}: ${bytes(figures.bytes)}, ${moved}${speed}${refused}`;
  }

  async #judged(some: readonly Scored[], test: Dataset, own: SearchOptions, by: Context): Promise<Finalists> {
    const { store, original, task, options } = this.#begun;
    const candidates = some.map(({ combination, attempt }) => ({
      name: combination.name,
      recipe: resolved(recipeOf(combination), attempt),
    }));
    const objective = (goal: Goal | undefined, measured: Measured): Objective =>
      objectiveOf(options, goal?.maxDrop, measured);
    const judging = { ...own, choice: false, compared: Math.max(1, some.length), objective };
    return { candidates, ...(await compressIn(store, original, candidates, { ...task, test }, judging, by)) };
  }

  #record(apart: boolean) {
    return recordOf(this.#tried, this.#begun.trials.evaluator.took.samples, apart);
  }

  async #figuresOf({ evaluation, variant }: Attempt): Promise<Figures | undefined> {
    if (evaluation === undefined || variant.refusedAs === "unchanged") return undefined;
    const drop = this.#dropOf(evaluation);
    if (!Number.isFinite(drop)) return undefined;
    const { bytes: size, brotli } = evaluation.measured;
    return { bytes: size, brotli, speed: await this.#speedOf(evaluation), drop };
  }

  /** On other samples. Where layers were spared, a part of the samples has chosen them; all of them say more than the others alone. */
  #dropOf({ comparison, agreement, validation }: NonNullable<Attempt["evaluation"]>): number {
    const { truth, interval } = this.#begun.task.metric;
    const parts = [{ comparison, agreement }, ...(validation === undefined ? [] : [validation])].map((part) => ({
      ...judge(part.comparison, { maxDrop: this.#maxDrop ?? 0 }).drop,
      changed: 1 - (part.agreement?.value ?? 1),
    }));
    const samples = parts.reduce((sum, { count }) => sum + count, 0);
    const mean = (of: "value" | "changed"): number =>
      parts.reduce((sum, part) => sum + (part[of] * part.count) / samples, 0);
    const isAccuracy = truth !== "original" && interval === "proportion";
    return isAccuracy ? expectedDrop({ drop: mean("value"), changed: mean("changed"), samples }) : mean("value");
  }

  async #speedOf(evaluation: NonNullable<Attempt["evaluation"]>): Promise<number | undefined> {
    const { id } = this.#objective;
    if (id !== "usual" && id !== "speed" && id !== "faster") return undefined;
    const { trials, store, options } = this.#begun;
    const { evaluator } = trials;
    const { records } = store;
    // What is kept may be of another machine, or of before an update.
    const where = { version, machine: options.about?.machine };
    const key = { speed: evaluation.measured.sha256, beside: evaluator.original.measured.sha256, ...where };
    const known = (await records?.read(key)) as number | undefined;
    if (known !== undefined) return known;
    const { models } = await evaluator.time([evaluation], { rounds: roundsOfTiming });
    const speed = models[1]?.speedup.median;
    if (speed !== undefined) await records?.write(key, speed);
    return speed;
  }
}
