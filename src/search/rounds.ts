/** Chooses the next candidates of a search: number formats first, then candidates with the highest expected gain per work. */
import type { Objective } from "../judge/measure/objective.ts";
import type { Combination } from "./combinations.ts";
import type { Forecast } from "./forecast.ts";
import { isUsable, type ScoredTrial } from "./scored-trials.ts";
import type { WorkEstimate } from "./work-estimate.ts";

const candidatesPerRound = 3;
const maxLessLossy = 2;
/** Minimum expected decrease of the objective's cost. For a cost by bytes, 0.03 is 2 % of the bytes. */
const minGain = 0.03;

export interface RoundsOptions {
  readonly combinations: readonly Combination[];
  readonly objective: Objective;
  readonly forecast: Forecast;
  readonly work: WorkEstimate;
  isDone(name: string): boolean;
}

export class Rounds {
  readonly #options: RoundsOptions;
  readonly #tried: ScoredTrial[] = [];
  readonly #ratios: number[] = [];
  #best: ScoredTrial | undefined;

  constructor(options: RoundsOptions) {
    this.#options = options;
  }

  get tried(): readonly ScoredTrial[] {
    return this.#tried;
  }

  get best(): ScoredTrial | undefined {
    return this.#best;
  }

  add(scored: ScoredTrial): boolean {
    const { combination, attempt, seconds } = scored;
    const { work, forecast, objective } = this.#options;
    work.add(combination, attempt.variant.steps, seconds);
    const prediction = forecast.predict(combination);
    if (prediction !== undefined && isUsable(scored)) this.#ratios.push(scored.tradeoff.size / prediction.size);
    forecast.add({ ...scored, isUnchanged: attempt.variant.rejectedAs === "unchanged" });
    this.#tried.push(scored);
    if (!isUsable(scored) || objective.shortfall(scored.tradeoff) > 0) return false;
    const best = this.#best?.tradeoff;
    if (best !== undefined && objective.cost(scored.tradeoff) >= objective.cost(best)) return false;
    this.#best = scored;
    return true;
  }

  /** Returns the next round. @param seconds that remain. */
  next(seconds: number): readonly Combination[] {
    if (this.#tried.length === 0) {
      const formats = this.#firstFormats();
      // There are no number formats if `techniques` excludes quantization, or if no format reaches the target size.
      if (formats.length > 0) return formats;
    }
    const families = new Set<string | undefined>();
    const round: Combination[] = [];
    for (const combination of this.rankUntried(seconds)) {
      if (round.length === candidatesPerRound) break;
      const family = combination.structure?.family;
      if (families.has(family)) continue;
      families.add(family);
      round.push(combination);
    }
    return round;
  }

  /**
   * Returns the untried candidates that fit into the remaining seconds, in the order in which to try them: until a result meets the objective, those
   * expected to meet it, the least work first; then those expected to be better than the best, the highest gain per work first.
   */
  rankUntried(seconds: number): readonly Combination[] {
    const { combinations, work, forecast, objective, isDone } = this.#options;
    const triedNames = new Set(this.#tried.map(({ combination }) => combination.name));
    // Predictions for a family without a result are uncertain, so a first candidate is worth trying.
    const families = new Set(this.#tried.map(({ combination: { structure } }) => structure?.family));
    const [best, byteExcess] = [this.#best?.tradeoff, this.#byteExcess];
    const minMisses = Math.min(
      ...this.#tried.flatMap((scored) => (isUsable(scored) ? [objective.shortfall(scored.tradeoff)] : [])),
    );
    const candidates = combinations.flatMap((combination) => {
      if (triedNames.has(combination.name)) return [];
      if (!isDone(combination.name) && work.secondsOf(combination) > seconds) return [];
      const figures = forecast.predict(combination);
      if (figures === undefined) return [];
      const runs = work.runsOf(combination);
      if (best === undefined) {
        const misses = objective.shortfall({ ...figures, size: figures.size * byteExcess });
        if (misses <= objective.slack) return [{ combination, misses: 0, worth: 1 / runs }];
        const isNew = combination.structure !== undefined && !families.has(combination.structure.family);
        return isNew || misses < minMisses - minGain ? [{ combination, misses, worth: 1 / runs }] : [];
      }
      const gain = objective.cost(best) - objective.cost(figures);
      return objective.shortfall(figures) > objective.slack || gain < minGain
        ? []
        : [{ combination, misses: 0, worth: gain / runs }];
    });
    if (candidates.length === 0) return this.#lessLossyThanBest(seconds);
    // A larger format is more likely to meet the goal after the same training, so a smaller one waits for it.
    const waits = ({ structure, format, training }: Combination): boolean =>
      structure === undefined &&
      training !== undefined &&
      candidates.some(
        ({ combination: other }) =>
          other.structure === undefined &&
          other.training?.name === training.name &&
          (other.format?.sizeShare ?? 0) > (format?.sizeShare ?? 0),
      );
    const meetingObjective = candidates.filter(({ combination, misses }) => misses === 0 && !waits(combination));
    return (meetingObjective.length > 0 ? meetingObjective : candidates)
      .toSorted((a, b) => a.misses - b.misses || b.worth - a.worth)
      .map(({ combination }) => combination);
  }

  /** Variants of the best candidate with less lossy formats, in case the best misses the goal on other samples. */
  #lessLossyThanBest(seconds: number): readonly Combination[] {
    const { combinations, work, isDone } = this.#options;
    const best = this.#best?.combination;
    const loses = best?.format?.relativeLoss;
    if (best === undefined || loses === undefined) return [];
    const { structure, recovery, format } = best;
    return combinations
      .filter(
        (other) =>
          other.structure === structure && other.recovery === recovery && other.format?.family === format?.family,
      )
      .filter((other) => (other.format?.relativeLoss ?? loses) < loses)
      .toSorted((a, b) => (b.format?.relativeLoss ?? 0) - (a.format?.relativeLoss ?? 0))
      .slice(0, maxLessLossy)
      .filter((other) => !this.#tried.some(({ combination }) => combination === other))
      .filter((other) => isDone(other.name) || work.secondsOf(other) <= seconds);
  }

  get #byteExcess(): number {
    const logs = this.#ratios.map(Math.log);
    return Math.max(1, Math.exp(logs.reduce((sum, log) => sum + log, 0) / Math.max(1, logs.length)));
  }

  /** Returns the formats to try first. Speeds do not count, because they are not known yet. Each family contributes its best expected format. */
  #firstFormats(): readonly Combination[] {
    const { combinations, forecast, objective, work } = this.#options;
    const fittingFormats = combinations.flatMap((combination) => {
      const { structure, training, fallback } = combination;
      if ((structure ?? training ?? fallback) !== undefined) return [];
      const figures = forecast.predict(combination);
      return figures !== undefined && objective.shortfall({ ...figures, speed: undefined }) <= objective.slack
        ? [{ combination, cost: objective.cost(figures), misses: objective.shortfall(figures) }]
        : [];
    });
    type Fitting = (typeof fittingFormats)[number];
    const isBetter = (a: Fitting, b: Fitting): boolean =>
      a.combination.format?.family === b.combination.format?.family && (a.misses - b.misses || a.cost - b.cost) < 0;
    const isByBytes = objective.id === "size" || objective.id === "download";
    const formats = fittingFormats.filter((format) => !fittingFormats.some((other) => isBetter(other, format)));
    if (!isByBytes) return formats.map(({ combination }) => combination);
    const costs: number[] = [];
    return formats
      .toSorted((a, b) => work.runsOf(a.combination) - work.runsOf(b.combination))
      .flatMap(({ combination, cost }) => {
        if (costs.some((other) => Math.abs(other - cost) < minGain)) return [];
        costs.push(cost);
        return [combination];
      });
  }
}
