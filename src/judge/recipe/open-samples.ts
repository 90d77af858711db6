/** Opens the data of recipes as disjoint training, calibration and test samples. The same data and recipe give the same splits. */
import { counted, integer, type Model } from "#ir";
import type { AnyPass, Context } from "#pass";
import { type Dataset, draw } from "../../data/index.ts";
import { outputOf } from "../../learn/train/loss.ts";
import { outputNames } from "../../learn/train/losses/parse.ts";
import type { Samples } from "../record/run-record.ts";
import type { ParsedStep } from "../steps/step-options.ts";
import { type OpenedTask, openTask, type TaskOptions } from "../task/index.ts";
import { learnsAnswers, maxCalibrationSamples, maxDistillationSamples } from "./pass-steps.ts";
import type { Recipe, RecipeSamples } from "./recipe.ts";

/** With fewer samples, a search and the evaluation of its result use the same ones. */
export const minSamples = 100;

/** A recipe with opened steps. */
export interface OpenedRecipe extends Pick<Recipe, "samples"> {
  readonly steps: readonly ParsedStep[];
}

export interface OpenedSamples {
  readonly task: OpenedTask;
  readonly samples: RecipeSamples;
  readonly sampleUse: SampleUse;
}

export interface SampleUse {
  readonly train: UsedSplit | undefined;
  readonly calibrate: UsedSplit | undefined;
  /** `available`: total number if the number of samples is limited. */
  readonly test: UsedSplit & TestSampleCounts & { readonly available?: number };
}

export type UsedSplit = Pick<Samples, "name" | "count" | "fitted" | "checked">;

export interface TestSampleCounts {
  /** Number of test samples, if interim looks used fewer. */
  readonly of?: number | undefined;
  /** Number of samples, disjoint from the tested ones, on which options or layers were chosen. */
  readonly searched?: number | undefined;
}

/** @throws PithError as `openTask`; E_DATA early if a step trains on labels and all samples are test samples. */
export async function openSamples(
  model: Model,
  recipes: readonly OpenedRecipe[],
  taskOptions: TaskOptions,
  context: Context,
): Promise<OpenedSamples> {
  const steps = recipes.flatMap((recipe) => recipe.steps);
  requireLossOutputs(model, steps);
  const trainingPasses = steps.flatMap(({ pass, split }) => (split === "train" ? [pass] : []));
  const maxOf = (countOf: (recipe: OpenedRecipe) => number): number => Math.max(0, ...recipes.map(countOf));
  const options = {
    ...taskOptions,
    calibrate: maxOf((recipe) => recipe.samples?.calibration ?? maxCalibrationSamples(recipe.steps)),
    unlabeledTraining: maxOf(({ samples, steps }) =>
      samples === undefined ? maxDistillationSamples(steps) : trainingSampleCount(samples.training),
    ),
    learns: findTrainingTargets(trainingPasses, recipes),
    // A search, or a recipe from a search, divides the test samples in two halves.
    minTestSamples: recipes.some((recipe) => recipes.length > 1 || recipe.samples !== undefined) ? 2 * minSamples : 0,
  } as const;
  const { unlabeledTraining } = options;
  const { train: storedTrain, ...parts } = await openTask(model, options, context);
  // Without a stated number, each step draws from all training samples.
  const isStated = unlabeledTraining > 0 && recipes.every(({ samples }) => typeof samples?.training === "number");
  const train =
    isStated && storedTrain !== undefined ? draw(storedTrain, unlabeledTraining, context.seed) : storedTrain;
  const task = { ...parts, ...(train === undefined ? {} : { train }) };
  const { shownSamples, available, calibrate: measuredOn } = task;
  const maxRequestedSamples = Math.max(
    0,
    ...steps
      // `samples` of a training step counts training samples.
      .filter(({ pass }) => typeof pass.data === "object")
      .map(({ options }) => Number(options.samples ?? 0)),
  );
  if (measuredOn?.count !== undefined && measuredOn.count < maxRequestedSamples)
    context.log({
      id: "calibration",
      level: "warning",
      text: `${counted(measuredOn.count, "sample")} of the ${integer(maxRequestedSamples)} asked for: the others are for training or evaluation`,
    });
  return {
    task,
    samples: {
      calibration: options.calibrate,
      training:
        Number.isFinite(unlabeledTraining) && (unlabeledTraining === 0 || (train?.count ?? 0) <= unlabeledTraining)
          ? unlabeledTraining
          : "all",
    },
    sampleUse: {
      train: trainingPasses.length > 0 && train !== undefined ? usedSplitOf(train) : undefined,
      calibrate: measuredOn && usedSplitOf(measuredOn),
      test: { ...usedSplitOf(shownSamples), ...(available === undefined ? {} : { available }) },
    },
  };
}

const trainingSampleCount = (training: RecipeSamples["training"]): number =>
  training === "all" ? Number.POSITIVE_INFINITY : training;

/** Returns what training steps learn. A recipe from a search sets the training samples of that search aside, even if it trains nothing. */
function findTrainingTargets(
  learning: readonly AnyPass[],
  recipes: readonly OpenedRecipe[],
): "answers" | "labels" | undefined {
  if (learning.length > 0) return learning.every(learnsAnswers) ? "answers" : "labels";
  return recipes.some(({ samples }) => samples !== undefined && samples.training !== 0) ? "answers" : undefined;
}

function requireLossOutputs({ graph }: Model, steps: readonly ParsedStep[]): void {
  const outputs = new Map(graph.outputs.map((output) => [output.name, output]));
  for (const { options } of steps) {
    if (typeof options.loss !== "string") continue;
    for (const name of outputNames(options.loss)) outputOf({ outputs }, name);
  }
}

const usedSplitOf = ({ name, count }: Dataset): UsedSplit => ({ name, count });
