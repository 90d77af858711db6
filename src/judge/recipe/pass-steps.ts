/** Expands a recipe into the steps to run, with their passes and rounds. */
import { groupBy, optionError } from "#ir";
import type { AnyPass, OptionValues } from "#pass";
import { type ParsedStep, parseStep } from "../steps/step-options.ts";
import { builtInPasses, passesById } from "./built-in-passes.ts";
import { openScheduleCurves, optionsInRound } from "./option-schedules.ts";
import { isRepeat, type Recipe, type RecipeStep } from "./recipe.ts";

export interface PassStep extends ParsedStep {
  readonly id: string;
  /** "train 2" or "prune, round 3 of 10". */
  readonly name: string;
  readonly judged: boolean;
  readonly fallsBack?: boolean;
  /** Maximum bytes of the file, for which the bits of each layer are chosen. */
  readonly maxBytes?: number | undefined;
  /** Maximum bytes of the compressed file, for which settings are chosen. */
  readonly maxDownload?: number | undefined;
}

/** @throws PithError as `openModules` and `openScheduleCurves`. */
export async function openSteps(recipe: Recipe, passes: readonly AnyPass[] = []): Promise<readonly PassStep[]> {
  const names = [...stepNamesOf(recipe)];
  const openEntry = async (entry: Recipe["steps"][number]): Promise<readonly PassStep[]> => {
    const [steps, total] = isRepeat(entry) ? [entry.steps, entry.repeat] : [[entry], 1];
    const entryNames = names.splice(0, steps.length);
    const curves = await Promise.all(steps.map((step) => openScheduleCurves(passOf(step, passes), step.options)));
    const openStep = async ({ judge, ...step }: RecipeStep, index: number, number: number): Promise<PassStep> => {
      const [pass, options, name] = [passOf(step, passes), curves[index] ?? {}, entryNames[index] ?? step.id];
      const isLast = number === total && index === steps.length - 1;
      return {
        ...step,
        ...(await parseStep(pass, isRepeat(entry) ? optionsInRound(pass, options, { number, total }) : options)),
        name: isRepeat(entry) ? `${name}, round ${number} of ${total}` : name,
        ...judgeFlagsOf(judge ?? isLast),
      };
    };
    const rounds = Array.from({ length: total }, (_, before) =>
      steps.map((step, index) => openStep(step, index, before + 1)),
    );
    return Promise.all(rounds.flat());
  };
  return (await Promise.all(recipe.steps.map(openEntry))).flat();
}

const judgeFlagsOf = (judge: NonNullable<RecipeStep["judge"]>): Pick<PassStep, "judged" | "fallsBack"> =>
  judge === "fallback" ? { judged: true, fallsBack: true } : { judged: judge };

export const filesOfRecipe = ({ steps }: Recipe): readonly string[] =>
  steps.flatMap((entry) => (isRepeat(entry) ? entry.steps : [entry])).flatMap(filesOfStep);

export function filesOfStep({ id, options }: RecipeStep): readonly string[] {
  const { reference, furtherReferences, reads = [], writes = [] } = builtInPasses.get(id) ?? {};
  const names = [reference, furtherReferences, ...reads, ...writes];
  const texts = [...new Set(names)].flatMap((name) => (name === undefined ? [] : [options[name]].flat()));
  return texts.filter((text): text is string => typeof text === "string" && text !== "original");
}

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

function passOf({ id }: RecipeStep, passes: readonly AnyPass[]): AnyPass {
  const pass = passesById(passes).get(id);
  if (pass === undefined) throw optionError(`There is no step "${id}".`);
  return pass;
}

/** Returns whether a training pass learns the outputs of a model (the original or a teacher) instead of labels. */
export const learnsAnswers = ({ data, learnsAnswers }: AnyPass): boolean =>
  learnsAnswers === true || typeof data === "object";

export const maxCalibrationSamples = (steps: readonly ParsedStep[]): number =>
  maxSamplesOf(steps.filter(({ split }) => split === "calibrate"));

/** Returns Infinity for all samples. */
export const maxDistillationSamples = (steps: readonly ParsedStep[]): number =>
  maxSamplesOf(steps.filter(({ pass, split }) => learnsAnswers(pass) && split === "train"));

function maxSamplesOf(steps: readonly ParsedStep[]): number {
  const counts = steps.map(({ complete: { samples }, split }) => {
    if (typeof samples === "number") return samples;
    return split === "train" ? Number.POSITIVE_INFINITY : 0;
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
      const repeatedNames = names.splice(0, entry.steps.length).join(" + ");
      return `${entry.repeat} × ${entry.steps.length === 1 ? repeatedNames : `(${repeatedNames})`}`;
    })
    .join(" + ");
}
