/**
 * A search for the model of least cost that an objective allows. What passes offer (`passes/moves.ts`) makes combinations; each round tries those that are expected to gain
 * most for their work, and what they come to tells what to expect of the others (`forecast.ts`). Formats of numbers come first, by themselves: they need no training.
 *
 * Half of the test part is searched on. The other half is looked at for the finalists alone.
 */
import { type Dataset, isIndexed } from "../data/index.ts";
import { view } from "../data/indexed.ts";
import { stopIfAsked } from "../errors.ts";
import { type Goal, judge, type Task } from "../evaluate/index.ts";
import { counted, integer } from "../evaluate/numbers.ts";
import type { TargetName } from "../evaluate/run-target.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/index.ts";
import { completeContext } from "../passes/pass.ts";
import { type Figures, frontOf, type Objective, type ObjectiveOptions, objectiveOf } from "../recipe/objective.ts";
import { isRepeat, type Recipe, recipeText } from "../recipe/recipe.ts";
import { type Compressed, compressIn, openTrials, type RunOptions, type Trials } from "../recipe/run.ts";
import { steps } from "../recipe/steps.ts";
import { type Attempt, type Candidate, secondsSince } from "../recipe/variant.ts";
import type { Measured, SearchRecord } from "../report/data.ts";
import { openStore, type Store } from "../run/store.ts";
import { random } from "../tensor/random.ts";
import { type Combination, combinationsOf, offersFor, recipeOf, runsOf } from "./combinations.ts";
import { Forecast, type Tried } from "./forecast.ts";

export interface SearchOptions extends RunOptions, ObjectiveOptions {
  /** No combination begins after so many (10). */
  readonly minutes?: number | undefined;
  /** Combinations at most, in place of minutes: the result does not depend on the machine then. */
  readonly steps?: number | undefined;
  /** A better one was found: judged on the samples that are searched on. */
  readonly onBest?: (best: Finalists) => Promise<void>;
}

export interface Finalists extends Compressed {
  /** As the variants of the run are. */
  readonly candidates: readonly Candidate[];
}

const usualMinutes = 10;
/** That passes look at unless said. */
const samplesToCalibrate = 200;
/** Combinations of a round. */
const ofRound = 3;
/** An expected gain below is not worth a try: 2 % of the bytes. */
const leastGain = 0.03;
/** By how much an expected figure may fall short, as a share of what is allowed. */
const slack = 0.25;
/** Work beside that of moves and of judging, in runs of a sample. */
const overhead = 200;
/** By so much the last combination may take longer than there is time. */
const mostOver = 1.5;
const roundsOfTiming = 7;
/** Those that the test samples judge. */
const mostFinalists = 4;
/** With fewer in each half, all samples are both searched on and judged by. */
const fewestSamples = 100;

interface Scored extends Tried {
  readonly attempt: Attempt;
  readonly seconds: number;
}

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
  const store = await openStore(original, options.resumeFolder);
  try {
    return await searchWith(store, original, task, options, context);
  } finally {
    await store.release();
  }
}

async function searchWith(
  store: Store,
  original: Model,
  task: Task,
  options: SearchOptions,
  context: Context,
): Promise<Finalists> {
  const { minutes = usualMinutes, steps: most = Number.POSITIVE_INFINITY, onBest, onStage = () => {} } = options;
  const parts = divided(task.test, context.seed);
  const begun = performance.now();
  const offers = offersFor(steps.values(), await store.open(store.original), {
    samples: {
      calibrate: task.calibrate === undefined ? 0 : samplesToCalibrate,
      train: task.train?.count ?? 0,
    },
    target: (options.targets ?? []).map(({ name }) => name),
  });
  const all = combinationsOf(offers);
  const trials = await openTrials(
    store,
    all.map((one) => ({ name: one.name, recipe: recipeOf(one) })),
    { ...task, test: parts.search },
    { ...options, choice: true },
    context,
  );
  const { evaluator, goal } = trials;
  const stepsOf = new Map(trials.candidates.map((one) => [one.name, one]));
  const { measured } = evaluator.original;
  const beside = { bytes: measured.bytes, brotli: measured.brotli, speed: 1, drop: 0 };
  const objective = objectiveOf(options, goal?.maxDrop, measured);
  const forecast = new Forecast(beside, goal?.maxDrop || 1);
  const tried: Scored[] = [];
  const judged = evaluator.took.samples;
  let [spent, best]: [number, Scored | undefined] = [0, undefined];
  const recordOf = (): SearchRecord => {
    const known = tried.filter(({ figures, attempt }) => figures !== undefined && attempt.usable);
    const front = new Set(frontOf(known, ({ figures }) => figures ?? beside));
    const points = tried.map((one) => ({
      name: one.combination.name,
      ...one.figures,
      interval: intervalOf(one.attempt),
      isOnFront: front.has(one),
      refused: one.attempt.variant.refused,
      seconds: one.seconds,
      recipe: recipeText(resolved(recipeOf(one.combination), one.attempt)),
    }));
    return { samples: judged, apart: parts.test !== parts.search, points };
  };
  const silent: Context = { ...context, log: () => {}, progress: () => {} };
  const judgedBy = async (test: Dataset, some: readonly Scored[], own: SearchOptions, by: Context) => {
    const candidates = some.map(({ combination, attempt }) => ({
      name: combination.name,
      recipe: resolved(recipeOf(combination), attempt),
    }));
    const objective = (goal: Goal | undefined, { bytes }: Measured): Objective =>
      objectiveOf(options, goal?.maxDrop, { bytes });
    const judging = { ...own, choice: false, compared: Math.max(1, some.length), objective };
    return { candidates, ...(await compressIn(store, original, candidates, { ...task, test }, judging, by)) };
  };
  const bestSoFar = async (one: Scored): Promise<Finalists> => {
    const quiet = { ...options, rounds: 0, onMeasured: () => {}, onStage: () => {} };
    const { run, ...best } = await judgedBy(parts.search, [one], quiet, silent);
    return { ...best, run: { ...run, search: { ...recordOf(), apart: false } } };
  };
  const isOpen = (): boolean => tried.length < most && (options.steps !== undefined || spent < 60 * minutes);
  const secondsOf = (combination: Combination): number =>
    (runsOf(combination, judged) * evaluator.took.seconds) / Math.max(1, judged);
  /** Measured seconds over estimated ones, of what was tried. */
  const pace = (): number => spent / tried.reduce((sum, { combination }) => sum + secondsOf(combination), 0);
  const isTimed = objective.id === "usual" || objective.id === "speed" || objective.id === "faster";
  /** What would not end in time does not begin. */
  const inTime = (): readonly Combination[] =>
    options.steps !== undefined || tried.length === 0
      ? all
      : all.filter((combination) => spent + pace() * secondsOf(combination) < mostOver * 60 * minutes);
  if (options.steps === undefined) context.log({ id: "duration", text: timeText(minutes, all.map(secondsOf)) });
  for (let round = roundOf(all, forecast, objective, undefined, tried, judged); round.length > 0 && isOpen(); ) {
    for (const combination of round) {
      if (!isOpen()) break;
      stopIfAsked(context.signal, `Stopped before ${combination.name}.`);
      onStage(combination.name);
      const started = performance.now();
      const key = { search: combination.name, of: store.original, judged };
      const candidate = stepsOf.get(combination.name);
      if (candidate === undefined) continue;
      const attempt = await trials.attempt(candidate, true);
      const figures = await figuresOf(attempt, isTimed, trials, store, goal?.maxDrop);
      const before = (await store.records?.read(key)) as number | undefined;
      const seconds = before ?? secondsSince(started);
      if (before === undefined) await store.records?.write(key, seconds);
      spent += seconds;
      const one: Scored = { combination, attempt, figures, seconds };
      tried.push(one);
      forecast.add(one);
      if (figures === undefined || !attempt.usable || !objective.allows(figures)) continue;
      if (best?.figures !== undefined && objective.cost(figures) >= objective.cost(best.figures)) continue;
      best = one;
      context.log({ id: "best", text: `best so far: ${combination.name} (${tried.length} tried)` });
      await onBest?.(await bestSoFar(one));
    }
    round = roundOf(inTime(), forecast, objective, best?.figures, tried, judged);
  }
  const finalists = finalistsOf(tried, objective);
  context.log({
    id: "finalists",
    text: `${counted(tried.length, "combination")} tried; ${counted(finalists.length, "finalist")} judged on ${parts.test === parts.search ? "the same" : "other"} samples`,
  });
  const compressed = await judgedBy(parts.test, finalists, options, context);
  return { ...compressed, run: { ...compressed.run, search: recordOf(), seconds: secondsSince(begun) } };
}

/** "10 minutes at most. 120 of 480 combinations take longer than 5 minutes each: `minutes: 30` has time for some" */
function timeText(minutes: number, seconds: readonly number[]): string {
  const long = seconds.filter((one) => one > 30 * minutes);
  const most = `${counted(minutes, "minute")} at most`;
  if (long.length === 0) return most;
  // Some of them, each behind what comes before it.
  const enough = Math.ceil((4 * Math.min(...long)) / 600) * 10;
  return `${most}. ${integer(long.length)} of ${counted(seconds.length, "combination")}, those that train longest, take more than half of it: \`minutes: ${enough}\` has time for some`;
}

/** Every combination for a model, as if there were samples to calibrate and to train on: what the task has to be opened for. */
export async function movesFor(model: Model, target: readonly TargetName[]): Promise<readonly Candidate[]> {
  const samples = { calibrate: samplesToCalibrate, train: Number.POSITIVE_INFINITY };
  const candidates = combinationsOf(offersFor(steps.values(), model.clone(), { samples, target }));
  return candidates.map((one) => ({ name: one.name, recipe: recipeOf(one) }));
}

/** The next to try: formats by themselves first, then those of the largest expected gain for their work, of each family of structures one. */
function roundOf(
  all: readonly Combination[],
  forecast: Forecast,
  objective: Objective,
  best: Figures | undefined,
  tried: readonly Scored[],
  judged: number,
): readonly Combination[] {
  if (tried.length === 0) return all.filter(({ structure }) => structure === undefined);
  const done = new Set(tried.map(({ combination }) => combination.name));
  const found = all.flatMap((combination) => {
    if (done.has(combination.name)) return [];
    const figures = forecast.of(combination);
    if (figures === undefined || !objective.allows(figures, slack)) return [];
    const gain = best === undefined ? 1 : objective.cost(best) - objective.cost(figures);
    return gain < leastGain ? [] : [{ combination, worth: gain / (runsOf(combination, judged) + overhead) }];
  });
  const families = new Set<string | undefined>();
  const round: Combination[] = [];
  for (const { combination } of found.toSorted((a, b) => b.worth - a.worth)) {
    if (round.length === ofRound) break;
    const family = combination.structure?.family;
    if (families.has(family)) continue;
    families.add(family);
    round.push(combination);
  }
  return round;
}

async function figuresOf(
  { evaluation, variant }: Attempt,
  isTimed: boolean,
  { evaluator }: Trials,
  { records }: Store,
  maxDrop: number | undefined,
): Promise<Figures | undefined> {
  if (evaluation === undefined || variant.refusedAs === "unchanged") return undefined;
  // Where layers were spared, a part of the samples has chosen them; all of them say more than the others alone.
  const drops = [evaluation, evaluation.validation].flatMap((one) =>
    one === undefined ? [] : [judge(one.comparison, { maxDrop: maxDrop ?? 0 }).drop],
  );
  const samples = drops.reduce((sum, { count }) => sum + count, 0);
  const drop = drops.reduce((sum, { value, count }) => sum + (value * count) / samples, 0);
  if (!Number.isFinite(drop)) return undefined;
  const { bytes, brotli, sha256 } = evaluation.measured;
  const key = { speed: sha256, beside: evaluator.original.measured.sha256 };
  let speed = isTimed ? ((await records?.read(key)) as number | undefined) : undefined;
  if (isTimed && speed === undefined) {
    const { models } = await evaluator.time([evaluation], { rounds: roundsOfTiming });
    speed = models[1]?.speedup.median;
    if (speed !== undefined) await records?.write(key, speed);
  }
  return { bytes, brotli, speed, drop };
}

/** Of its drop. */
function intervalOf({ evaluation }: Attempt): SearchRecord["points"][number]["interval"] {
  if (evaluation === undefined) return undefined;
  const { low, high } = judge(evaluation.comparison, { maxDrop: 0 }).drop;
  return { low, high };
}

/** With the forms of single layers that were found, so that nothing is searched again. */
function resolved(recipe: Recipe, { variant }: Attempt): Recipe {
  return {
    ...recipe,
    steps: recipe.steps.map((step, at) => {
      if (isRepeat(step)) return step;
      const { judge: _, ...plain } = step;
      const { overrides } = variant.steps[at]?.options ?? {};
      const isLast = at === recipe.steps.length - 1;
      const options = overrides === undefined ? step.options : { ...step.options, overrides };
      return { ...plain, options, ...(isLast ? {} : { judge: false }) };
    }),
  };
}

/** The best that are allowed, and of others on the front as many as there is room for; where none is allowed, those that lost least. */
function finalistsOf(tried: readonly Scored[], objective: Objective): readonly Scored[] {
  const sound = tried.filter(({ attempt, figures }) => figures !== undefined && attempt.usable);
  const figuresOf = ({ figures }: Scored): Figures => figures ?? { bytes: Number.POSITIVE_INFINITY, drop: 0 };
  const cost = (one: Scored): number => objective.cost(figuresOf(one));
  const allowed = sound.filter((one) => objective.allows(figuresOf(one))).toSorted((a, b) => cost(a) - cost(b));
  // Their refusals say why there is none.
  if (sound.length === 0) return tried.slice(0, mostFinalists);
  if (allowed.length === 0)
    return sound.toSorted((a, b) => figuresOf(a).drop - figuresOf(b).drop).slice(0, mostFinalists);
  const front = frontOf(allowed, figuresOf);
  return [...new Set([...allowed.slice(0, Math.ceil(mostFinalists / 2)), ...front])].slice(0, mostFinalists);
}

/** Samples to search on and samples to judge by; all for both where there are few, or they come as a stream. */
function divided(test: Dataset, seed: number): { readonly search: Dataset; readonly test: Dataset } {
  if (!isIndexed(test) || test.count < 2 * fewestSamples) return { search: test, test };
  const order = random(seed, "search").permutation(test.count);
  const half = Math.floor(test.count / 2);
  return {
    search: view(test, test.name, order.slice(0, half).sort()),
    test: view(test, test.name, order.slice(half).sort()),
  };
}
