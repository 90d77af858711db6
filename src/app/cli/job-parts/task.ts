/**
 * Opens a command's data as disjoint training, calibration and test samples. All commands use these functions, so that the same data and recipe give
 * the same splits.
 */
import { resolve, sep } from "node:path";
import { type Model, PithError } from "#ir";
import type { AnyPass } from "#pass";
import type { Engine } from "../../../core/engine/index.ts";
import { counted, integer } from "../../../core/numbers.ts";
import type { Dataset } from "../../../data/index.ts";
import {
  calibrationSamples,
  learnsAnswers,
  openRecipe,
  samplesToLearnFrom,
  stepsOf,
} from "../../../judge/recipe/pass-steps.ts";
import type { Recipe, RecipeSamples } from "../../../judge/recipe/recipe.ts";
import type { Samples } from "../../../judge/record/data.ts";
import type { Tested } from "../../../judge/run/single-step.ts";
import { partFor } from "../../../judge/steps/step-options.ts";
import { type OpenedTask, openTask, type TaskOptions } from "../../../judge/task/index.ts";
import type { MetricName } from "../../../judge/task/named-metrics.ts";
import { outputOf } from "../../../learn/train/loss.ts";
import { outputNames } from "../../../learn/train/losses/parse.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { minSamples } from "../../../search/parts.ts";
import type { DataRequest } from "../flags/data.ts";
import { withFlagNames } from "../flags/invalid-options.ts";
import { contextOf } from "./open-model.ts";

export interface TaskRequest {
  readonly data: DataRequest;
  readonly recipes: readonly Recipe[];
  readonly metric: MetricName;
  readonly output?: string | undefined;
  readonly seed: number;
  readonly reference?: Model | undefined;
}

export interface StepsTask {
  readonly task: OpenedTask;
  readonly samples: RecipeSamples;
  readonly sampleUse: SampleUse;
  /** Opens other samples that select weights, with the same preprocessing. @throws PithError E_DATA if they are test or training samples. */
  openValidation(path: string): Promise<Dataset>;
}

export interface SampleUse {
  readonly train: Part | undefined;
  readonly calibrate: Part | undefined;
  /** `available`: total number if `--samples` limits it. */
  readonly test: Part & Partial<Omit<Tested, "count">> & { readonly available?: number };
}

export type Part = Pick<Samples, "name" | "count" | "fitted" | "checked">;

export async function openRequest(
  engine: Engine,
  model: Model,
  { path, ...data }: DataRequest,
  options: Omit<TaskOptions, "data">,
  request: { readonly seed: number },
  context: JobContext,
): Promise<OpenedTask> {
  const task = await openTask(
    model,
    { data: path, ...data, ...options, onGuess: () => context.stage("preprocessing") },
    contextOf(engine, request, context),
  );
  return { ...task, preprocessing: withFlagNames(task.preprocessing) };
}

/**
 * Opens a task for recipes. `--samples` limits each split.
 * @throws PithError E_DATA, before anything is run, if a step trains on labels and all samples are test samples.
 */
export async function openStepsTask(
  engine: Engine,
  model: Model,
  { recipes: writtenRecipes, metric, output, seed, reference, data }: TaskRequest,
  context: JobContext,
): Promise<StepsTask> {
  const recipes = await Promise.all(writtenRecipes.map(openRecipe));
  requireLossOutputs(model, recipes);
  const trainingPasses = recipes.flatMap((recipe) =>
    stepsOf(recipe).flatMap(({ pass, options }) => (partFor(pass, options) === "train" ? [pass] : [])),
  );
  const maxOf = (countOf: (recipe: Recipe) => number): number =>
    Math.max(0, ...recipes.map((recipe) => countOf(recipe)));
  const options = {
    metric,
    output,
    reference,
    calibrate: maxOf((recipe) => recipe.samples?.calibration ?? calibrationSamples(recipe)),
    trainAlone: maxOf(({ samples, ...recipe }) =>
      samples === undefined ? samplesToLearnFrom(recipe) : trainingSampleCount(samples.training),
    ),
    learns: findTrainingTargets(trainingPasses, recipes),
    // A search, or a recipe from a search, divides the test samples in two halves, so it needs a minimum number.
    leastTested: recipes.some((recipe) => recipes.length > 1 || recipe.samples !== undefined) ? 2 * minSamples : 0,
  } as const;
  const task = await openRequest(engine, model, data, options, { seed }, context);
  const { seen, stored, train, calibrate: measuredOn } = task;
  const { testable: available } = stored;
  const maxRequestedSamples = Math.max(
    0,
    ...recipes
      .flatMap((recipe) => stepsOf(recipe))
      // Only calibrating steps count here, because `samples` of a training step counts training samples.
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
      training: Number.isFinite(options.trainAlone) ? options.trainAlone : "all",
    },
    sampleUse: {
      train: trainingPasses.length > 0 && train !== undefined ? partOf(train) : undefined,
      calibrate: measuredOn && partOf(measuredOn),
      test: available === undefined || available === seen.count ? partOf(seen) : { ...partOf(seen), available },
    },
    async openValidation(validation) {
      const validationSamples = await task.openOther(validation);
      const uses = [[seen.name, "is test data"], ...(train === undefined ? [] : [[train.name, "is training data"]])];
      for (const [name = "", use = ""] of uses) {
        if (!overlap(placeOf(name), placeOf(validationSamples.name))) continue;
        throw new PithError(
          "E_DATA",
          `--validation ${validation}: ${name} ${use} already${originText(name, data.path)}.`,
          {
            hint: "A share holds out some of the training samples to choose the weights: --validation 10%. Or name other data.",
          },
        );
      }
      return task.ready(validationSamples);
    },
  };
}

const trainingSampleCount = (training: RecipeSamples["training"]): number =>
  training === "all" ? Number.POSITIVE_INFINITY : training;

/** Returns the targets of training in the recipes. A recipe from a search has the splits of that search, even if it trains nothing. */
function findTrainingTargets(
  learning: readonly AnyPass[],
  recipes: readonly Recipe[],
): "answers" | "labels" | undefined {
  if (learning.length > 0) return learning.every(learnsAnswers) ? "answers" : "labels";
  return recipes.some(({ samples }) => samples !== undefined && samples.training !== 0) ? "answers" : undefined;
}

function requireLossOutputs({ graph }: Model, recipes: readonly Recipe[]): void {
  const outputs = new Map(graph.outputs.map((output) => [output.name, output]));
  for (const { options } of recipes.flatMap((recipe) => stepsOf(recipe))) {
    if (typeof options.loss !== "string") continue;
    for (const name of outputNames(options.loss)) outputOf({ outputs }, name);
  }
}

function placeOf(name: string): string {
  return resolve(name.replace(/ \([^()]*\)$/, ""));
}

/** Explains samples that the user did not name: with --data train.tsv, for example, dev.tsv next to it is the test split. */
function originText(name: string, path: string): string {
  if (overlap(placeOf(name), resolve(path))) return "";
  return `: it is next to --data ${path}, and its name says that it is another part of it`;
}

/** Returns whether two paths are equal, or one contains the other. */
function overlap(a: string, b: string): boolean {
  return a === b || a.startsWith(`${b}${sep}`) || b.startsWith(`${a}${sep}`);
}

const partOf = ({ name, count }: Dataset): Part => ({ name, count });
