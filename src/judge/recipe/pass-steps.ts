/** Expands a recipe into the steps to run, with their passes and rounds. */
import { groupBy, optionError } from "#ir";
import { type AnyPass, type OptionValues, openModules } from "#pass";
import { completeOptions, splitOf } from "../steps/step-options.ts";
import { builtInPasses, passesById } from "./built-in-passes.ts";
import { openScheduleCurves, optionsInRound } from "./option-schedules.ts";
import { isRepeat, type Recipe, type RecipeStep } from "./recipe.ts";

export interface PassStep {
  readonly id: string;
  /** "train 2" or "prune, round 3 of 10". */
  readonly name: string;
  readonly pass: AnyPass;
  readonly options: OptionValues;
  readonly judged: boolean;
  readonly fallsBack?: boolean;
  /** Maximum bytes of the file, for which the bits of each layer are chosen. */
  readonly maxBytes?: number | undefined;
  /** Maximum bytes of the compressed file, for which settings are chosen. */
  readonly maxDownload?: number | undefined;
}

export function stepsOf(recipe: Recipe, passes: readonly AnyPass[] = []): readonly PassStep[] {
  const names = [...stepNamesOf(recipe)];
  return recipe.steps.flatMap((entry): readonly PassStep[] => {
    const steps = isRepeat(entry) ? entry.steps : [entry];
    const entryNames = names.splice(0, steps.length);
    const namedSteps = steps.map((step, index) => ({
      ...step,
      pass: passOf(step, passes),
      name: entryNames[index] ?? step.id,
    }));
    if (!isRepeat(entry)) return namedSteps.map(({ judge = true, ...step }) => ({ ...step, ...judgeFlagsOf(judge) }));
    return Array.from({ length: entry.repeat }, (_, before) => ({ number: before + 1, total: entry.repeat })).flatMap(
      (round) =>
        namedSteps.map(({ judge, ...step }, index) => ({
          ...step,
          name: `${step.name}, round ${round.number} of ${round.total}`,
          options: optionsInRound(step.pass, step.options, round),
          ...judgeFlagsOf(judge ?? (round.number === round.total && index === namedSteps.length - 1)),
        })),
    );
  });
}

const judgeFlagsOf = (judge: NonNullable<RecipeStep["judge"]>): Pick<PassStep, "judged" | "fallsBack"> =>
  judge === "fallback" ? { judged: true, fallsBack: true } : { judged: judge };

/** Replaces module paths in options by the modules' exports. @throws PithError as `openModules`. */
export const openRecipe = (recipe: Recipe): Promise<Recipe> =>
  withOptions(recipe, (step) => openModules(step.id, passOf(step).options, step.options));

export const filesOfRecipe = ({ steps }: Recipe): readonly string[] =>
  steps.flatMap((entry) => (isRepeat(entry) ? entry.steps : [entry])).flatMap(filesOfStep);

export function filesOfStep({ id, options }: RecipeStep): readonly string[] {
  const { reference, furtherReferences, reads = [], writes = [] } = builtInPasses.get(id) ?? {};
  const names = [reference, furtherReferences, ...reads, ...writes];
  const texts = [...new Set(names)].flatMap((name) => (name === undefined ? [] : [options[name]].flat()));
  return texts.filter((text): text is string => typeof text === "string" && text !== "original");
}

export const openCurves = (recipe: Recipe, passes: readonly AnyPass[] = []): Promise<Recipe> =>
  withOptions(recipe, (step) => openScheduleCurves(passOf(step, passes), step.options));

export async function withOptions(
  recipe: Recipe,
  optionsOf: (step: RecipeStep) => Promise<OptionValues>,
): Promise<Recipe> {
  const openStep = async (step: RecipeStep): Promise<RecipeStep> => ({ ...step, options: await optionsOf(step) });
  const steps = recipe.steps.map(async (entry) =>
    isRepeat(entry) ? { ...entry, steps: await Promise.all(entry.steps.map(openStep)) } : openStep(entry),
  );
  return { ...recipe, steps: await Promise.all(steps) };
}

function passOf({ id }: RecipeStep, passes: readonly AnyPass[] = []): AnyPass {
  const pass = passesById(passes).get(id);
  if (pass === undefined) throw optionError(`There is no step "${id}".`);
  return pass;
}

export function maxCalibrationSamples(recipe: Recipe, passes: readonly AnyPass[] = []): number {
  return maxSamplesOf(recipe, passes, (pass, options) => splitOf(pass, options) === "calibrate");
}

/** Returns whether a training pass learns the outputs of a model (the original or a teacher) instead of labels. */
export const learnsAnswers = ({ data, learnsAnswers }: AnyPass): boolean =>
  learnsAnswers === true || typeof data === "object";

/** Returns Infinity for all samples. */
export function maxDistillationSamples(recipe: Recipe): number {
  return maxSamplesOf(recipe, [], (pass, options) => learnsAnswers(pass) && splitOf(pass, options) === "train");
}

function maxSamplesOf(
  recipe: Recipe,
  passes: readonly AnyPass[],
  usesSamples: (pass: AnyPass, options: OptionValues) => boolean,
): number {
  const counts = stepsOf(recipe, passes).map(({ pass, options }) => {
    const completedOptions = completeOptions(pass, options);
    if (!usesSamples(pass, completedOptions)) return 0;
    if (typeof completedOptions.samples === "number") return completedOptions.samples;
    return splitOf(pass, completedOptions) === "train" ? Number.POSITIVE_INFINITY : 0;
  });
  return Math.max(0, ...counts);
}

/** Numbers ids that occur several times: "prune 1", "train", "prune 2". */
function stepNamesOf({ steps }: Recipe): readonly string[] {
  const ids = steps.flatMap((entry) => (isRepeat(entry) ? entry.steps : [entry])).map(({ id }) => id);
  const groups = groupBy(ids, (id) => id);
  const counts = new Map<string, number>();
  return ids.map((id) => {
    const number = (counts.get(id) ?? 0) + 1;
    counts.set(id, number);
    return groups.get(id)?.length === 1 ? id : `${id} ${number}`;
  });
}

/** Returns "10 × (prune + train) + quantize". */
export function recipeNameOf(recipe: Recipe): string {
  const names = [...stepNamesOf(recipe)];
  return recipe.steps
    .map((entry) => {
      if (!isRepeat(entry)) return names.shift();
      const repeated = names.splice(0, entry.steps.length).join(" + ");
      return `${entry.repeat} × ${entry.steps.length === 1 ? repeated : `(${repeated})`}`;
    })
    .join(" + ");
}
