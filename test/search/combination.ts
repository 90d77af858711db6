import type { Tradeoff } from "../../src/judge/measure/objective.ts";
import type { Combination, Offer } from "../../src/search/combinations.ts";
import { Forecast } from "../../src/search/forecast.ts";
import type { ScoredTrial } from "../../src/search/scored-trials.ts";

export const offer = (name: string, kind: Offer["kind"], more: Partial<Offer> = {}): Offer => ({
  ...{ name, kind, family: name, options: {}, runs: 1, pass: name },
  ...more,
});

/** Returns a function that finds combinations by name. @throws Error if no combination has the name. */
export const createFinder =
  (all: readonly Combination[]) =>
  (name: string): Combination => {
    const combination = all.find((one) => one.name === name);
    if (combination === undefined) throw new Error(`"${name}" is no combination`);
    return combination;
  };

/** Returns a forecast by name. @param tried figures by name; undefined if the combination was rejected. @param goal maximum drop. */
export function forecastOf(
  all: readonly Combination[],
  tried: Readonly<Record<string, Tradeoff | undefined>> = {},
  goal = 0.01,
) {
  const named = createFinder(all);
  const forecast = new Forecast({ size: 1000, speed: 1, drop: 0 }, goal);
  for (const [name, tradeoff] of Object.entries(tried)) forecast.add({ combination: named(name), tradeoff });
  return (name: string) => forecast.predict(named(name));
}

const nothing = { result: undefined, validation: undefined, comparison: undefined, agreement: undefined };

/** Returns a tried combination. @param tradeoff undefined if it was rejected. */
export const scored = (combination: Combination, tradeoff: Tradeoff | undefined): ScoredTrial => ({
  ...{ combination, tradeoff, seconds: 1, spent: 1, sameAs: undefined },
  attempt: {
    ...{ isUsable: true, evaluation: undefined },
    variant: { name: combination.name, steps: [], rejected: undefined, verdict: undefined, ...nothing },
  },
});
