/** The steps of a recipe as they are run: with their passes, repeats round after round. */
import { PithError } from "../errors.ts";
import type { AnyPass, OptionValues } from "../passes/index.ts";
import { openModules } from "../passes/modules.ts";
import { completeOptions, wantsSamples } from "../run/step.ts";
import { inRound, withCurves } from "./courses.ts";
import { stepNames } from "./names.ts";
import { isRepeat, type Recipe, type RecipeStep } from "./recipe.ts";
import { stepPasses } from "./steps.ts";

export interface PassStep {
  readonly id: string;
  /** What messages call it: "train 2", "prune, round 3 of 10". */
  readonly name: string;
  readonly pass: AnyPass;
  readonly options: OptionValues;
  /** What it makes is measured. */
  readonly judged: boolean;
  /** Where that misses the goal, layers are left in milder forms. */
  readonly spares?: boolean;
  /** Each layer has as many bits as a file of so many bytes has room for. */
  readonly bytes?: number;
}

/**
 * The steps of a recipe in the order in which they run. Passes may be the caller's own.
 * @throws PithError E_OPTION for a step that there is not.
 */
export function stepsOf(recipe: Recipe, passes: readonly AnyPass[] = []): readonly PassStep[] {
  const names = [...stepNames(recipe)];
  return recipe.steps.flatMap((one): readonly PassStep[] => {
    const steps = isRepeat(one) ? one.steps : [one];
    const own = names.splice(0, steps.length);
    const written = steps.map((step, place) => ({ ...step, pass: passOf(step, passes), name: own[place] ?? step.id }));
    if (!isRepeat(one)) return written.map(({ judge = true, ...step }) => ({ ...step, ...judging(judge) }));
    return Array.from({ length: one.repeat }, (_, before) => ({ number: before + 1, of: one.repeat })).flatMap(
      (round) =>
        written.map(({ judge, ...step }, place) => ({
          ...step,
          name: `${step.name}, round ${round.number} of ${round.of}`,
          options: inRound(step.pass, step.options, round),
          ...judging(judge ?? (round.number === round.of && place === written.length - 1)),
        })),
    );
  });
}

const judging = (judge: NonNullable<RecipeStep["judge"]>): Pick<PassStep, "judged" | "spares"> =>
  judge === "spare" ? { judged: true, spares: true } : { judged: judge };

/** The recipe with what modules export in the place of their paths. @throws PithError as `openModules`. */
export const openRecipe = (recipe: Recipe): Promise<Recipe> =>
  withOptions(recipe, (step) => openModules(step.id, passOf(step).options, step.options));

/** The same of curves, along which options of a repeat change, alone. */
export const openCurves = (recipe: Recipe, passes: readonly AnyPass[] = []): Promise<Recipe> =>
  withOptions(recipe, (step) => withCurves(passOf(step, passes), step.options));

/** The recipe with other options of its steps. */
export async function withOptions(
  recipe: Recipe,
  optionsOf: (step: RecipeStep) => Promise<OptionValues>,
): Promise<Recipe> {
  const opened = async (step: RecipeStep): Promise<RecipeStep> => ({ ...step, options: await optionsOf(step) });
  const steps = recipe.steps.map(async (one) =>
    isRepeat(one) ? { ...one, steps: await Promise.all(one.steps.map(opened)) } : opened(one),
  );
  return { ...recipe, steps: await Promise.all(steps) };
}

function passOf({ id }: RecipeStep, passes: readonly AnyPass[] = []): AnyPass {
  const pass = stepPasses(passes).get(id);
  if (pass === undefined) throw new PithError("E_OPTION", `There is no step "${id}".`);
  return pass;
}

/** Samples that the steps of a recipe want to measure on: the most that one of them wants, 0 where none measures. */
export function calibrationSamples(recipe: Recipe, passes: readonly AnyPass[] = []): number {
  return mostSamples(recipe, passes, ({ data }, options) => typeof data === "object" && wantsSamples(data, options));
}

/** Samples of data in one part that the steps learn another model's answers on, Infinity for as many as there are: the most that one of them wants. */
export function samplesToLearnFrom(recipe: Recipe, passes: readonly AnyPass[] = []): number {
  return mostSamples(recipe, passes, ({ learnsAnswers }) => learnsAnswers === true);
}

function mostSamples(
  recipe: Recipe,
  passes: readonly AnyPass[],
  wants: (pass: AnyPass, options: OptionValues) => boolean,
): number {
  const wanted = stepsOf(recipe, passes).map(({ pass, options }) => {
    const complete = completeOptions(pass, options);
    if (!wants(pass, complete)) return 0;
    if (typeof complete.samples === "number") return complete.samples;
    return pass.data === "train" ? Number.POSITIVE_INFINITY : 0;
  });
  return Math.max(0, ...wanted);
}
