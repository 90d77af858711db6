/** Estimates a candidate's work in runs of the original on one sample, or in seconds. */
import { counted, waitingText } from "#ir";
import type { StepRecord } from "../judge/record/run-record.ts";
import { minutesText } from "./budget.ts";
import { type Combination, partsOf } from "./combinations.ts";

/** Share of a format's work after another of its family, because activation statistics are reused. */
const familyWorkShare = 0.5;
/** Work of a candidate in addition to its moves and evaluation, in runs of the original on one sample. */
const overhead = 200;

interface MeasuredWork {
  readonly runs: number;
  readonly seconds: number;
}

const noWork: MeasuredWork = { runs: 0, seconds: 0 };

export class WorkEstimate {
  readonly #evaluationSamples: number;
  readonly #finishedPrefixes = new Set<string>();
  readonly #byPass = new Map<string, MeasuredWork>();
  #evaluationWork: MeasuredWork;
  readonly #secondsPerSample: number;

  /** @param original number of samples that evaluate each candidate, and the original's duration on them. */
  constructor(original: { readonly samples: number; readonly seconds: number }) {
    const { samples, seconds } = original;
    this.#evaluationSamples = samples;
    this.#secondsPerSample = seconds / Math.max(1, samples);
    this.#evaluationWork = { runs: samples, seconds };
  }

  /** @param seconds the candidate's duration, including the precision fallback and the evaluation. */
  add(combination: Combination, steps: readonly StepRecord[], seconds: number): void {
    let remainingSeconds = seconds;
    for (const [index, { pass }] of partsOf(combination).entries()) {
      // The precision fallback has no step record.
      const stepSeconds = steps[index]?.seconds ?? (combination.fallback === undefined ? undefined : remainingSeconds);
      if (stepSeconds === undefined) continue;
      const runs = this.#runsOf(combination, index);
      if (!this.#finishedPrefixes.has(prefixOf(combination, index))) {
        const { runs: earlierRuns, seconds: spent } = this.#byPass.get(pass) ?? noWork;
        this.#byPass.set(pass, { runs: earlierRuns + runs, seconds: spent + stepSeconds });
        remainingSeconds -= stepSeconds;
      }
      this.#finishedPrefixes.add(prefixOf(combination, index));
      this.#finishedPrefixes.add(familyOf(combination, index));
    }
    if (combination.fallback !== undefined) return;
    const { runs, seconds: spent } = this.#evaluationWork;
    this.#evaluationWork = {
      runs: runs + this.#evaluationSamples + overhead,
      seconds: spent + Math.max(0, remainingSeconds),
    };
  }

  runsOf(combination: Combination): number {
    return partsOf(combination).reduce(
      (sum, _, index) => sum + this.#runsOf(combination, index),
      this.#evaluationSamples + overhead,
    );
  }

  secondsOf(combination: Combination): number {
    const { runs: evaluatedRuns, seconds } = this.#evaluationWork;
    const evaluationSeconds = (seconds / Math.max(1, evaluatedRuns)) * (this.#evaluationSamples + overhead);
    return partsOf(combination).reduce((sum, { pass }, index) => {
      const { runs, seconds } = this.#byPass.get(pass) ?? noWork;
      const secondsPerRun = runs === 0 ? this.#secondsPerSample : seconds / runs;
      return sum + this.#runsOf(combination, index) * secondsPerRun;
    }, evaluationSeconds);
  }

  /** Returns "10 minutes of search at most, about 12 minutes in all with the final evaluation. 10 minutes are too short for most …". */
  timeText(combinations: readonly Combination[], minutes: number, spent: number, otherSeconds: number): string {
    const time = minutesText(minutes);
    const spentText = spent < 1 ? "" : `, of which ${counted(Math.round(spent), "second")} were spent before the stop`;
    const totalTime = waitingText(Math.max(0, 60 * minutes - spent) + otherSeconds);
    const limitText = `${time} of search at most${spentText}${totalTime === undefined ? "" : `, ${totalTime} in all with the final evaluation`}`;
    const isLong = (combination: Combination): boolean => this.secondsOf(combination) > 30 * minutes;
    const longCandidates = combinations.filter(isLong);
    if (longCandidates.length === 0) return limitText;
    const trainedCandidates = combinations.filter(({ recovery, format, training }) =>
      [...recovery, format, training].some((offer) => offer?.hasTraining === true),
    );
    const share = trainedCandidates.filter(isLong).length > trainedCandidates.length / 2 ? "most" : "some";
    const suggestedMinutes =
      Math.ceil((4 * Math.min(...longCandidates.map((combination) => this.secondsOf(combination)))) / 600) * 10;
    return `${limitText}. ${time} ${minutes === 1 ? "is" : "are"} too short for ${share} training-based candidates: \`minutes: ${suggestedMinutes}\` includes some`;
  }

  #runsOf(combination: Combination, index: number): number {
    const { runs = 0, relativeLoss } = partsOf(combination)[index] ?? {};
    if (this.#finishedPrefixes.has(prefixOf(combination, index))) return 0;
    return relativeLoss !== undefined && this.#finishedPrefixes.has(familyOf(combination, index))
      ? familyWorkShare * runs
      : runs;
  }
}

const familyOf = (combination: Combination, index: number): string =>
  `${index === 0 ? "" : prefixOf(combination, index - 1)}: family ${partsOf(combination)[index]?.family}`;

const prefixOf = (combination: Combination, index: number): string =>
  partsOf(combination)
    .slice(0, index + 1)
    .map(({ name }) => name)
    .join(", ");
