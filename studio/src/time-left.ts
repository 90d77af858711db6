/**
 * Estimates how long a run still takes. A stage takes as long as in an earlier run of the model, or else a typical time, times the pace of this run:
 * the seconds of its finished stages by those that were expected. Within a stage, the pace of its steps counts.
 */
import type { Progress, Settings } from "./backend/backend.ts";
import { recipeOf } from "./settings/presets.ts";

/** Seconds of each stage of a small network. Only their ratios count after the first stages. */
const typicalSeconds: Readonly<Record<string, number>> = {
  ...{ original: 0.1, evaluate: 0.08, prune: 0.7, factorize: 0.5, recover: 1.5, "recover trained": 16 },
  ...{ "quantize static": 0.6, "quantize bits": 3.6, "quantize download": 5.3, "quantize dtype": 2 },
  ...{ "timing the finalists": 0.9, "measure the speed": 0.9, "measure the download": 0.3 },
};
const defaultSeconds = 0.1;
/** Seconds, measured and expected, that keep the first, short stages from deciding the pace. */
const priorSeconds = 0.2;
/** A search evaluates at most this many finalists on other samples. */
const maxFinalists = 4;

/** Seconds of each stage of the last run, by its key. */
export type StageSeconds = ReadonlyMap<string, number>;

interface Step {
  readonly at: number;
  readonly done: number;
}

export class RunClock {
  readonly #start: number;
  readonly #settings: Settings;
  readonly #measured: StageSeconds;
  /** Keys of the stages that are expected, in their order. */
  readonly #expected: readonly string[];
  readonly #finished = new Map<string, number>();
  #position = 0;
  #stage = "";
  #stageStart: number;
  #total: number | undefined;
  /** Steps since the total last changed. */
  #steps: readonly Step[] = [];

  /** @param start in seconds, as all times. @param measured stages of earlier runs of this model. */
  constructor(settings: Settings, hasSamples: boolean, start: number, measured: StageSeconds) {
    this.#settings = settings;
    this.#start = start;
    this.#stageStart = start;
    this.#measured = measured;
    this.#expected = stagesOf(settings, hasSamples);
  }

  add({ stage, done, total }: Progress, now: number): void {
    const key = stage === undefined ? this.#stage : keyOf(stage, this.#settings);
    if (key !== this.#stage) this.#begin(key, now);
    if (done === undefined) return;
    const isNextPart = total !== this.#total || done < (this.#steps.at(-1)?.done ?? 0);
    this.#total = total;
    this.#steps = [...(isNextPart ? [] : this.#steps), { at: now, done }];
  }

  /** Returns the seconds of all stages, for the next run: the mean of this run and of earlier ones. */
  end(now: number): StageSeconds {
    this.#begin("", now);
    const means = Array.from(this.#finished, ([key, seconds]) => {
      return [key, (seconds + (this.#measured.get(key) ?? seconds)) / 2] as const;
    });
    return new Map([...this.#measured, ...means]);
  }

  secondsLeft(now: number): number {
    const pace = this.#pace;
    const elapsedInStage = now - this.#stageStart;
    const expected = Math.max(0, pace * this.#secondsOf(this.#stage) - elapsedInStage);
    const inStage = this.#inStage(expected, now);
    const later = this.#expected.slice(this.#position + 1).reduce((sum, key) => sum + this.#secondsOf(key), 0);
    if (this.#settings.preset !== "search") return inStage + pace * later;
    const final = this.#secondsOf("timing the finalists") + maxFinalists * this.#secondsOf("original");
    return Math.max(0, 60 * this.#settings.amount - (now - this.#start)) + pace * final;
  }

  /** Returns the seconds of the whole run, before it begins. */
  get expectedSeconds(): number {
    return this.secondsLeft(this.#start);
  }

  #begin(key: string, now: number): void {
    if (this.#stage !== "") this.#finished.set(this.#stage, now - this.#stageStart);
    const position = this.#expected.indexOf(key, this.#position);
    if (position >= 0) this.#position = position;
    this.#stage = key;
    this.#stageStart = now;
    this.#total = undefined;
    this.#steps = [];
  }

  /** Seconds of the finished stages by those that were expected. */
  get #pace(): number {
    const [actual, expected] = [...this.#finished].reduce(
      ([a, b], [key, seconds]) => [a + seconds, b + this.#secondsOf(key)],
      [priorSeconds, priorSeconds],
    );
    return actual / expected;
  }

  #secondsOf(key: string): number {
    return this.#measured.get(key) ?? typicalSeconds[key] ?? defaultSeconds;
  }

  /** Returns the seconds left in the stage: first as expected, and later at the pace of the last half of its steps. */
  #inStage(expected: number, now: number): number {
    const [first, last] = [this.#steps[0], this.#steps.at(-1)];
    if (first === undefined || last === undefined || this.#total === undefined) return expected;
    const half = this.#steps.findLast(({ done }) => done <= (first.done + last.done) / 2);
    if (half === undefined || half.done === last.done) return expected;
    const bySteps = ((this.#total - last.done) * (last.at - half.at)) / (last.done - half.done) - (now - last.at);
    // Some stages have several parts, each with its own steps, and others end with work without steps.
    if (!/^(original|evaluate|recover)/.test(this.#stage)) return Math.max(0, bySteps, expected);
    const share = Math.min(1, (3 * last.done) / this.#total);
    return Math.max(0, share * bySteps + (1 - share) * expected);
  }
}

/** "step 2 of 3: recover" → "recover trained". */
function keyOf(stage: string, { preset, isTrained, isFast }: Settings): string {
  const name = stage.replace(/^step \d+ of \d+: /, "");
  if (name === "recover" && isTrained === true) return "recover trained";
  if (name !== "quantize") return name;
  const form = preset === "channels" || preset === "low-rank" ? "static" : preset;
  return isFast === true ? `quantize ${form}, fast` : `quantize ${form}`;
}

function stagesOf(settings: Settings, hasSamples: boolean): readonly string[] {
  const recipe = recipeOf(settings);
  const steps = "steps" in recipe ? recipe.steps.flatMap((step) => Object.keys(step)) : [];
  const stages = hasSamples
    ? ["original", ...steps.flatMap((step) => [step, "evaluate"]), "timing the finalists"]
    : [...steps, "compare the outputs", "measure the speed"];
  return [...stages, "measure the download"].map((stage) => keyOf(stage, settings));
}
