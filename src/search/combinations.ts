/** Combines offered moves into candidates: a structural change, recovery steps, a number format, and training of the quantized model. */
import type { Move } from "#pass";
import { type Recipe, type RecipeStep, recipeVersion } from "../judge/recipe/recipe.ts";

export interface Offer extends Move {
  readonly pass: string;
}

export interface Combination {
  readonly name: string;
  readonly structure: Offer | undefined;
  readonly recovery: readonly Offer[];
  readonly format: Offer | undefined;
  readonly training: Offer | undefined;
  /** Precision fallback, which keeps sensitive layers at higher precision. */
  readonly fallback: FallbackOffer | undefined;
}

export type CombinationPart = Pick<Offer, "name" | "pass" | "runs"> & Partial<Pick<Offer, "family" | "relativeLoss">>;

export interface FallbackOffer extends CombinationPart {
  readonly nameWithoutFallback: string;
}

const expectedAttempts = 10;
/** Cost of evaluating one attempt of the fallback, in runs of the original on one sample. */
const evaluationRuns = 200;

/** Share of a target size that is reserved for the metadata of training: tensor roles and the data's hash. */
const trainingMetadataShare = 0.01;

export function combineOffers(offers: readonly Offer[]): readonly Combination[] {
  const offersOf = (kind: Offer["kind"]): readonly Offer[] => offers.filter((offer) => offer.kind === kind);
  const structures: readonly (Offer | undefined)[] = [undefined, ...offersOf("structure")];
  const recovery = offersOf("healing");
  const trainings = recovery.filter(({ hasTraining }) => hasTraining === true);
  const formats = offersOf("numbers").flatMap((format): readonly Pick<Combination, "format" | "training">[] => [
    ...(format.needsTraining === true ? [] : [{ format, training: undefined }]),
    ...(format.isTrainable === true ? trainings.map((training) => ({ format, training })) : []),
  ]);
  const recoverySequences = recoverySequencesOf(recovery);
  return structures.flatMap((structure) =>
    (structure === undefined ? [[]] : recoverySequences).flatMap((recovery) =>
      [{ format: undefined, training: undefined }, ...formats].flatMap((variant): readonly Combination[] => {
        const combination = { structure, recovery, ...variant, fallback: undefined };
        const parts = partsOf(combination);
        if (parts.length === 0) return [];
        const name = parts.map((part) => part.name).join(", ");
        const { format, training } = variant;
        const candidate: Combination = { name, ...combination };
        if (format?.fallsBack !== true || training !== undefined) return [candidate];
        const fallback = fallbackOf(name, format);
        return [candidate, { ...candidate, name: `${name}, ${fallback.name}`, fallback }];
      }),
    ),
  );
}

const fallbackOf = (nameWithoutFallback: string, { runs }: Offer): FallbackOffer => ({
  name: "sensitive layers at higher precision",
  pass: "fallback",
  nameWithoutFallback,
  runs: expectedAttempts * (runs + evaluationRuns),
});

/** Returns for each move the cheapest move of each cheaper family and this move; also the empty sequence. */
function recoverySequencesOf(offers: readonly Offer[]): readonly (readonly Offer[])[] {
  const sortedOffers = offers.toSorted((a, b) => a.runs - b.runs);
  const families = [...new Set(sortedOffers.map(({ family }) => family))];
  const cheapestMoves = families.map((family) => sortedOffers.find((offer) => offer.family === family));
  return [
    [],
    ...sortedOffers.map((offer) => [
      ...cheapestMoves.slice(0, families.indexOf(offer.family)).filter((offer) => offer !== undefined),
      offer,
    ]),
  ];
}

export const partsOf = (combination: Omit<Combination, "name">): readonly CombinationPart[] =>
  [...stepsOf(combination), combination.fallback].filter((part) => part !== undefined);

const stepsOf = ({ structure, recovery, format, training }: Omit<Combination, "name">): readonly Offer[] =>
  [structure, ...recovery, format, training].filter((offer) => offer !== undefined);

/** The last step is measured, because later steps can recover the accuracy that earlier ones lose. */
export function recipeOf(combination: Combination): Recipe {
  const parts = stepsOf(combination);
  return {
    version: recipeVersion,
    steps: parts.map(({ pass, options, bytes }, index): RecipeStep => {
      const isLast = index === parts.length - 1;
      const maxBytes = bytes === undefined || isLast ? bytes : (1 - trainingMetadataShare) * bytes;
      const step = { id: pass, options, ...(maxBytes === undefined ? {} : { maxBytes }) };
      if (!isLast) return { ...step, judge: false };
      return combination.fallback !== undefined ? { ...step, judge: "fallback" } : step;
    }),
  };
}
