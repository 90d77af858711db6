/** Candidates: at most one structural change, training or refitting after it, one number format, and training of the quantized values. */
import type { Move } from "../core/pass/moves.ts";
import { type Recipe, type RecipeStep, recipeVersion } from "../judge/recipe/recipe.ts";

export interface Offer extends Move {
  readonly pass: string;
}

export interface Combination {
  readonly name: string;
  readonly structure: Offer | undefined;
  /** The cheapest move of each family before the last one. */
  readonly healing: readonly Offer[];
  readonly numbers: Offer | undefined;
  readonly training: Offer | undefined;
  /** Precision fallback, if the candidate without it misses the goal. */
  readonly sparing: SparingOffer | undefined;
}

export type CombinationPart = Pick<Offer, "name" | "pass" | "runs"> & Partial<Pick<Offer, "family" | "loses">>;

export interface SparingOffer extends CombinationPart {
  readonly of: string;
}

/** Expected number of attempts of the precision fallback. */
const attempts = 10;
/** Cost of evaluating an attempt, in runs of a sample. */
const runsOfAttempt = 200;

/** Share of a target size that is reserved for metadata of training: tensor roles and the data's hash. */
const ofTraining = 0.01;

/** Combines all offers. Without a structural change, recovery needs quantized values to train. */
export function combinationsOf(offers: readonly Offer[]): readonly Combination[] {
  const ofKind = (kind: Offer["kind"]): readonly Offer[] => offers.filter((offer) => offer.kind === kind);
  const structures: readonly (Offer | undefined)[] = [undefined, ...ofKind("structure")];
  const healing = ofKind("healing");
  const trainings = healing.filter(({ trains }) => trains === true);
  const formats = ofKind("numbers").flatMap((numbers): readonly Pick<Combination, "numbers" | "training">[] => [
    ...(numbers.needsTraining === true ? [] : [{ numbers, training: undefined }]),
    ...(numbers.isTrainable === true ? trainings.map((training) => ({ numbers, training })) : []),
  ]);
  const healings = healingsOf(healing);
  return structures.flatMap((structure) =>
    (structure === undefined ? [[]] : healings).flatMap((healing) =>
      [{ numbers: undefined, training: undefined }, ...formats].flatMap((format): readonly Combination[] => {
        const combination = { structure, healing, ...format, sparing: undefined };
        const parts = partsOf(combination);
        if (parts.length === 0) return [];
        const name = parts.map((part) => part.name).join(", ");
        const { numbers, training } = format;
        const plain: Combination = { name, ...combination };
        if (numbers?.spares !== true || training !== undefined) return [plain];
        const sparing = sparingOf(name, numbers);
        return [plain, { ...plain, name: `${name}, ${sparing.name}`, sparing }];
      }),
    ),
  );
}

const sparingOf = (plainName: string, { runs }: Offer): SparingOffer => ({
  ...{ name: "sensitive layers at higher precision", pass: "sparing", of: plainName },
  runs: attempts * (runs + runsOfAttempt),
});

/** Nothing; each move of the cheapest family; each more expensive one after the cheapest of the families before it. */
function healingsOf(offers: readonly Offer[]): readonly (readonly Offer[])[] {
  const sorted = offers.toSorted((a, b) => a.runs - b.runs);
  const families = [...new Set(sorted.map(({ family }) => family))];
  const first = families.map((family) => sorted.find((offer) => offer.family === family));
  return [
    [],
    ...sorted.map((offer) => [
      ...first.slice(0, families.indexOf(offer.family)).filter((offer) => offer !== undefined),
      offer,
    ]),
  ];
}

export const partsOf = (combination: Omit<Combination, "name">): readonly CombinationPart[] =>
  [...stepsOf(combination), combination.sparing].filter((part) => part !== undefined);

const stepsOf = ({ structure, healing, numbers, training }: Omit<Combination, "name">): readonly Offer[] =>
  [structure, ...healing, numbers, training].filter((offer) => offer !== undefined);

/** Only the last step is judged: earlier ones may lose what later ones recover. */
export function recipeOf(combination: Combination): Recipe {
  const parts = stepsOf(combination);
  return {
    version: recipeVersion,
    steps: parts.map(({ pass, options, bytes }, index): RecipeStep => {
      const isLast = index === parts.length - 1;
      const room = bytes === undefined || isLast ? bytes : (1 - ofTraining) * bytes;
      const step = { id: pass, options, ...(room === undefined ? {} : { bytes: room }) };
      if (!isLast) return { ...step, judge: false };
      return combination.sparing !== undefined ? { ...step, judge: "spare" } : step;
    }),
  };
}
