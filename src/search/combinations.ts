/** Recipes built from moves: at most one structural change, the training or refitting behind it, one number format, and training of what that stores. */
import type { Move } from "../passes/moves.ts";
import { type Recipe, type RecipeStep, recipeVersion } from "../recipe/recipe.ts";

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
  /** Of the numbers as they are stored. */
  readonly training: Offer | undefined;
  /** Layers left in milder forms, where the same without it misses the goal. */
  readonly sparing: SparingOffer | undefined;
}

/** A step of it, or its sparing. */
export type CombinationPart = Pick<Offer, "name" | "pass" | "runs">;

export interface SparingOffer extends CombinationPart {
  /** Name of the combination without it. */
  readonly of: string;
}

/** Attempts of a sparing, about. */
const attempts = 10;
/** Of a sample, to judge each, about. */
const runsOfAttempt = 200;

/** The share of a target size that is kept free for metadata which training adds: the roles of tensors, and the hash of the data. */
const ofTraining = 0.01;

/** All combinations of offers. Without a structural change nothing is healed before there are numbers to train. */
export function combinationsOf(offers: readonly Offer[]): readonly Combination[] {
  const of = (kind: Offer["kind"]): readonly Offer[] => offers.filter((offer) => offer.kind === kind);
  const structures: readonly (Offer | undefined)[] = [undefined, ...of("structure")];
  const healing = of("healing");
  const trainings = healing.filter(({ trains }) => trains === true);
  const formats = of("numbers").flatMap((numbers): readonly Pick<Combination, "numbers" | "training">[] => [
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

const sparingOf = (of: string, { runs }: Offer): SparingOffer => ({
  ...{ name: "sensitive layers at higher precision", pass: "sparing", of },
  runs: attempts * (runs + runsOfAttempt),
});

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

export const partsOf = (combination: Omit<Combination, "name">): readonly CombinationPart[] =>
  [...stepsOf(combination), combination.sparing].filter((one) => one !== undefined);

const stepsOf = ({ structure, healing, numbers, training }: Omit<Combination, "name">): readonly Offer[] =>
  [structure, ...healing, numbers, training].filter((one) => one !== undefined);

/** Only what comes last is judged: what comes before may lose, as something heals it. */
export function recipeOf(combination: Combination): Recipe {
  const parts = stepsOf(combination);
  return {
    version: recipeVersion,
    steps: parts.map(({ pass, options, bytes }, at): RecipeStep => {
      const isLast = at === parts.length - 1;
      const room = bytes === undefined || isLast ? bytes : (1 - ofTraining) * bytes;
      const step = { id: pass, options, ...(room === undefined ? {} : { bytes: room }) };
      if (!isLast) return { ...step, judge: false };
      return combination.sparing !== undefined ? { ...step, judge: "spare" } : step;
    }),
  };
}
