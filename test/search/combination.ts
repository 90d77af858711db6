import type { Figures } from "../../src/recipe/objective.ts";
import type { Combination, Offer } from "../../src/search/combinations.ts";
import type { Scored } from "../../src/search/record.ts";

export const offer = (name: string, kind: Offer["kind"], more: Partial<Offer> = {}): Offer => ({
  ...{ name, kind, family: name, options: {}, runs: 1, pass: name },
  ...more,
});

const nothing = { result: undefined, validation: undefined, comparison: undefined, agreement: undefined };

/** A combination that was tried. @param figures none where it was refused. */
export const scored = (combination: Combination, figures: Figures | undefined): Scored => ({
  ...{ combination, figures, seconds: 1, spent: 1, sameAs: undefined },
  attempt: {
    ...{ usable: true, evaluation: undefined },
    variant: { name: combination.name, steps: [], refused: undefined, verdict: undefined, ...nothing },
  },
});
