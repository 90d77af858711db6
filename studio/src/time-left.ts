/**
 * Estimates how long a run still takes. A stage takes as long as in an earlier run of the model, or else a typical time, times the pace of this run:
 * the seconds of its finished stages by those that were expected. Within a stage, the pace of its steps counts.
 */
import type { Progress, Settings } from "./backend/backend.ts";
import { recipeOf } from "./settings/presets.ts";

/** Seconds of each stage of a small network. Only their ratios count after the first stages. */
const typicalSeconds: Readonly<Record<string, number>> = {
  ...{ original: 0.4, evaluate: 0.3, prune: 5, factorize: 5, recover: 6, "recover trained": 40 },
  ...{ "quantize static": 2.5, "quantize bits": 5, "quantize download": 10, "quantize dtype": 3 },
  ...{ "timing the finalists": 4.5, "measure the speed": 4.5, "measure the download": 1.5 },
};
const defaultSeconds = 0.3;
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

  /** Returns the seconds of all stages, for the next run. */
  end(now: number): StageSeconds {
    this.#begin("", now);
    return new Map([...this.#measured, ...this.#finished]);
  }

  secondsLeft(now: number): number {
    const pace = this.#pace;
    const elapsedInStage = now - this.#stageStart;
    const expected = Math.max(0, pace * this.#secondsOf(this.#stage) - elapsedInStage);
    const bySteps = this.#stepsLeft(now);
    // A technique can have several parts, each with steps of its own.
    const hasParts = /^(quantize|prune|factorize)/.test(this.#stage);
    const inStage = bySteps === undefined ? expected : hasParts ? Math.max(bySteps, expected) : bySteps;
    const later = this.#expected.slice(this.#position + 1).reduce((sum, key) => sum + this.#secondsOf(key), 0);
    if (this.#settings.preset !== "search") return inStage + pace * later;
    const final = this.#secondsOf("timing the finalists") + maxFinalists * this.#secondsOf("original");
    return Math.max(0, 60 * this.#settings.amount - (now - this.#start)) + pace * final;
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

  /** Seconds of the finished stages by those that were expected. A second of each keeps the first, short stages from deciding. */
  get #pace(): number {
    const [actual, expected] = [...this.#finished].reduce(
      ([a, b], [key, seconds]) => [a + seconds, b + this.#secondsOf(key)],
      [1, 1],
    );
    return actual / expected;
  }

  #secondsOf(key: string): number {
    return this.#measured.get(key) ?? typicalSeconds[key] ?? defaultSeconds;
  }

  /** Returns the seconds of the remaining steps at the pace of the last half of them; undefined before there is one. */
  #stepsLeft(now: number): number | undefined {
    const [first, last] = [this.#steps[0], this.#steps.at(-1)];
    if (first === undefined || last === undefined || this.#total === undefined) return undefined;
    const half = this.#steps.findLast(({ done }) => done <= (first.done + last.done) / 2);
    if (half === undefined || half.done === last.done) return undefined;
    const left = ((this.#total - last.done) * (last.at - half.at)) / (last.done - half.done);
    return Math.max(0, left - (now - last.at));
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
  const made = recipeOf(settings);
  const steps = "steps" in made ? made.steps.flatMap((step) => Object.keys(step)) : [];
  const stages = hasSamples
    ? ["original", ...steps.flatMap((step) => [step, "evaluate"]), "timing the finalists"]
    : [...steps, "compare the outputs", "measure the speed"];
  return [...stages, "measure the download"].map((stage) => keyOf(stage, settings));
}
