/**
 * Combines moves of passes into candidates: at most one structural change, recovery or refitting after it, one number format, and training of the
 * quantized values.
 */
import type { Move } from "../core/pass/moves.ts";
import { type Recipe, type RecipeStep, recipeVersion } from "../judge/recipe/recipe.ts";

export interface Offer extends Move {
  readonly pass: string;
}

export interface Combination {
  readonly name: string;
  readonly structure: Offer | undefined;
  /** Recovery steps after the structural change: the cheapest move of each earlier family, then one more move. */
  readonly healing: readonly Offer[];
  readonly numbers: Offer | undefined;
  readonly training: Offer | undefined;
  /** Fallback that keeps sensitive layers at higher precision. It is tried if the candidate without it misses the goal. */
  readonly sparing: SparingOffer | undefined;
}

export type CombinationPart = Pick<Offer, "name" | "pass" | "runs"> & Partial<Pick<Offer, "family" | "loses">>;

export interface SparingOffer extends CombinationPart {
  readonly plainName: string;
}

/** Expected number of attempts of the precision fallback. */
const expectedAttempts = 10;
/** Cost of evaluating one attempt, in runs of one sample. */
const evaluationRuns = 200;

/** Share of a target size that is reserved for the metadata of training: tensor roles and the data's hash. */
const trainingMetadataShare = 0.01;

/** Returns all candidates that the moves form. Without a structural change, recovery is only used to train quantized values. */
export function combinationsOf(offers: readonly Offer[]): readonly Combination[] {
  const ofKind = (kind: Offer["kind"]): readonly Offer[] => offers.filter((offer) => offer.kind === kind);
  const structures: readonly (Offer | undefined)[] = [undefined, ...ofKind("structure")];
  const healing = ofKind("healing");
  const trainings = healing.filter(({ trains }) => trains === true);
  const formats = ofKind("numbers").flatMap((numbers): readonly Pick<Combination, "numbers" | "training">[] => [
    ...(numbers.needsTraining === true ? [] : [{ numbers, training: undefined }]),
    ...(numbers.isTrainable === true ? trainings.map((training) => ({ numbers, training })) : []),
  ]);
  const healingSequences = healingSequencesOf(healing);
  return structures.flatMap((structure) =>
    (structure === undefined ? [[]] : healingSequences).flatMap((healing) =>
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
  ...{ name: "sensitive layers at higher precision", pass: "sparing", plainName },
  runs: expectedAttempts * (runs + evaluationRuns),
});

/**
 * Returns the possible recovery sequences: none; each move of the cheapest family; each other move after the cheapest move of every earlier family.
 */
function healingSequencesOf(offers: readonly Offer[]): readonly (readonly Offer[])[] {
  const sorted = offers.toSorted((a, b) => a.runs - b.runs);
  const families = [...new Set(sorted.map(({ family }) => family))];
  const cheapestMoves = families.map((family) => sorted.find((offer) => offer.family === family));
  return [
    [],
    ...sorted.map((offer) => [
      ...cheapestMoves.slice(0, families.indexOf(offer.family)).filter((offer) => offer !== undefined),
      offer,
    ]),
  ];
}

export const partsOf = (combination: Omit<Combination, "name">): readonly CombinationPart[] =>
  [...stepsOf(combination), combination.sparing].filter((part) => part !== undefined);

const stepsOf = ({ structure, healing, numbers, training }: Omit<Combination, "name">): readonly Offer[] =>
  [structure, ...healing, numbers, training].filter((offer) => offer !== undefined);

/** Returns the candidate's recipe. Only the last step is judged, because earlier steps can lose accuracy that later ones recover. */
export function recipeOf(combination: Combination): Recipe {
  const parts = stepsOf(combination);
  return {
    version: recipeVersion,
    steps: parts.map(({ pass, options, bytes }, index): RecipeStep => {
      const isLast = index === parts.length - 1;
      const byteLimit = bytes === undefined || isLast ? bytes : (1 - trainingMetadataShare) * bytes;
      const step = { id: pass, options, ...(byteLimit === undefined ? {} : { bytes: byteLimit }) };
      if (!isLast) return { ...step, judge: false };
      return combination.sparing !== undefined ? { ...step, judge: "spare" } : step;
    }),
  };
}
