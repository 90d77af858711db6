/** Recipes built from moves: at most one structural change, the training or refitting behind it, and one number format. */
import type { Move } from "../passes/moves.ts";
import { type Recipe, recipeVersion } from "../recipe/recipe.ts";

export interface Offer extends Move {
  /** Of its pass. */
  readonly pass: string;
}

/** In the order of its steps. */
export interface Combination {
  readonly name: string;
  readonly structure: Offer | undefined;
  /** The cheapest of each family that comes before the last. */
  readonly healing: readonly Offer[];
  readonly numbers: Offer | undefined;
}

/** All combinations of offers. Without a structural change nothing is healed. */
export function combinationsOf(offers: readonly Offer[]): readonly Combination[] {
  const of = (kind: Offer["kind"]): readonly Offer[] => offers.filter((offer) => offer.kind === kind);
  const structures: readonly (Offer | undefined)[] = [undefined, ...of("structure")];
  const numbers: readonly (Offer | undefined)[] = [undefined, ...of("numbers")];
  const healings = healingsOf(of("healing"));
  return structures.flatMap((structure) =>
    (structure === undefined ? [[]] : healings).flatMap((healing) =>
      numbers.flatMap((last) => {
        const parts = [structure, ...healing, last].filter((one) => one !== undefined);
        if (parts.length === 0) return [];
        return { name: parts.map(({ name }) => name).join(", "), structure, healing, numbers: last };
      }),
    ),
  );
}

/** Nothing; each offer of the cheapest family; each dearer one behind the cheapest of the families before it. */
function healingsOf(offers: readonly Offer[]): readonly (readonly Offer[])[] {
  const sorted = offers.toSorted((a, b) => a.runs - b.runs);
  const families = [...new Set(sorted.map(({ family }) => family))];
  const first = families.map((family) => sorted.find((offer) => offer.family === family));
  return [
    [],
    ...sorted.map((offer) => [
      ...first.slice(0, families.indexOf(offer.family)).filter((one) => one !== undefined),
      offer,
    ]),
  ];
}

export const partsOf = ({ structure, healing, numbers }: Combination): readonly Offer[] =>
  [structure, ...healing, numbers].filter((one) => one !== undefined);

/** Only what comes last is judged: what comes before may lose, as something heals it. */
export function recipeOf(combination: Combination): Recipe {
  const parts = partsOf(combination);
  return {
    version: recipeVersion,
    steps: parts.map(({ pass, options, spares }, at) => {
      const isLast = at === parts.length - 1;
      if (isLast) return { id: pass, options, ...(spares === true ? { judge: "spare" as const } : {}) };
      return { id: pass, options, judge: false };
    }),
  };
}
