/**
 * What the steps of a command are given: parts of its data to train on, to calibrate with and to judge by, none of which has a sample of another,
 * ready for the model. One rule for all commands, so that a recipe trains on what its steps would train on as commands.
 */
import { resolve, sep } from "node:path";
import type { Dataset, PreprocessingSpec } from "../../data/index.ts";
import { draw } from "../../data/select.ts";
import type { Engine } from "../../engine/index.ts";
import { PithError } from "../../errors.ts";
import type { Task } from "../../evaluate/index.ts";
import type { Model } from "../../graph/model.ts";
import type { JobContext } from "../../job/job.ts";
import { calibrationSamples, type Recipe } from "../../recipe/index.ts";
import { steps, trains } from "../../recipe/steps.ts";
import type { Samples } from "../../report/index.ts";
import { outputOf } from "../../train/loss.ts";
import { outputsNamedIn } from "../../train/losses/parse.ts";
import { type DataRequest, withRecorded } from "../data.ts";
import { judgedBy, type MetricName } from "../metrics.ts";
import { openData, openWhole, type Preparation, prepare } from "./prepare.ts";

export interface Asked {
  readonly data: DataRequest;
  /** What is going to be run. */
  readonly recipes: readonly Recipe[];
  readonly metric: MetricName;
  readonly output: string | undefined;
  readonly seed: number;
  /** What the model was made of, or learns from: it knows better how the data is to be prepared. */
  readonly reference?: Model | undefined;
}

export interface OpenedTask {
  readonly task: Task;
  readonly preparation: Preparation;
  /** What the result has to say of how its data is prepared. */
  readonly record: PreprocessingSpec;
  /** The samples to judge by, as they were before they were made ready. */
  readonly seen: Dataset;
  readonly used: Used;
  /**
   * Other samples, to choose weights by, prepared as those of the task are.
   * @throws PithError E_DATA where the result is judged by them, or trained on them: that would be no choice.
   */
  evaluatedBy(path: string): Promise<Dataset>;
}

/** Which samples were used for what. */
export interface Used {
  readonly train: Part | undefined;
  readonly calibrate: Part | undefined;
  /** `of`: how many there are, where fewer settled the verdict; `available`: where `--samples` drew some. */
  readonly test: Part & { readonly of?: number; readonly available?: number };
}

export type Part = Pick<Samples, "name" | "count">;

/**
 * Of each part there are at most as many samples as `--samples` says.
 * @throws PithError E_DATA, before anything is run, where something trains by labels and all that is there is to judge by.
 */
export async function openTask(
  engine: Engine,
  model: Model,
  path: string,
  { recipes, metric, output, seed, reference, ...asked }: Asked,
  context: JobContext,
): Promise<OpenedTask> {
  const data = withRecorded(asked.data, reference === undefined ? [model] : [model, reference]);
  const { samples } = data;
  requireLossOutputs(model, recipes);
  const kinds = recipes.flatMap(({ steps: list }) => list.flatMap(({ id }) => steps.get(id) ?? []));
  const isTrained = kinds.some(trains);
  const calibrate = (hasTrain: boolean): number =>
    Math.max(0, ...recipes.map((recipe) => calibrationSamples(recipe, hasTrain)));
  const parts = await openData(model, path, data, {
    calibrate: calibrate(true),
    calibrateAlone: calibrate(false),
    seed,
  });
  const test = samples === undefined ? parts.test : draw(parts.test, samples, seed);
  const { count: available } = parts.test;
  if (kinds.some((kind) => trains(kind) && !kind.learnsAnswers) && parts.train === undefined) {
    throw new PithError(
      "E_DATA",
      `${parts.test.name} has one part only: there are no training samples besides the test samples.`,
      {
        hint: "Name the folder, or the file to train on: parts are recognised by names of files and folders: train and test, or dev, val. A table without parts is split.",
      },
    );
  }
  const preparation = await prepare(engine, model, path, data, test, context, {
    by: reference,
    learns: isTrained,
  });
  // What is kept apart to choose weights by is taken of those to train on.
  const train =
    !isTrained || parts.train === undefined || samples === undefined ? parts.train : draw(parts.train, samples, seed);
  return {
    task: {
      ...(train === undefined ? {} : { train: preparation.ready(train) }),
      ...(parts.calibrate === undefined ? {} : { calibrate: preparation.ready(parts.calibrate) }),
      test: preparation.ready(test),
      metric: judgedBy(model, metric, output, preparation),
    },
    preparation,
    record: recordOf(preparation, isTrained || data.preprocess !== undefined),
    seen: test,
    used: {
      train: isTrained && train !== undefined ? partOf(train) : undefined,
      calibrate: parts.calibrate === undefined ? undefined : partOf(parts.calibrate),
      test: available === undefined || available === test.count ? partOf(test) : { ...partOf(test), available },
    },
    async evaluatedBy(validation) {
      const chosen = await openWhole(model, path, { ...data, path: validation });
      const uses = [[test.name, "judges the result"], ...(train === undefined ? [] : [[train.name, "is trained on"]])];
      for (const [name = "", use = ""] of uses) {
        if (!overlap(placeOf(name), placeOf(chosen.name))) continue;
        throw new PithError("E_DATA", `--validation ${validation}: ${name} ${use} already${whence(name, data.path)}.`, {
          hint: "A share keeps some of the samples to train on apart, to choose weights by: --validation 10%. Or name other data.",
        });
      }
      return preparation.ready(chosen);
    },
  };
}

/** @throws PithError E_NAME where a step's loss is about an output that the model does not have. */
function requireLossOutputs({ graph }: Model, recipes: readonly Recipe[]): void {
  const outputs = new Map(graph.outputs.map((output) => [output.name, output]));
  for (const { options } of recipes.flatMap((recipe) => recipe.steps)) {
    if (typeof options.loss !== "string") continue;
    for (const name of outputsNamedIn(options.loss)) outputOf({ outputs }, name);
  }
}

/** Where the samples of "data/cifar10 (train)" lie. */
function placeOf(name: string): string {
  return resolve(name.replace(/ \([^()]*\)$/, ""));
}

/** How samples came to be used that nobody named: of --data train.tsv, dev.tsv beside it judges. */
function whence(name: string, path: string): string {
  if (overlap(placeOf(name), resolve(path))) return "";
  return `: it lies beside --data ${path}, and by its name is another part of it`;
}

/** One place, or one inside the other. */
function overlap(a: string, b: string): boolean {
  return a === b || a.startsWith(`${b}${sep}`) || b.startsWith(`${a}${sep}`);
}

/** A guess that is no better than chance is kept only where the model learns to see data so. */
function recordOf({ record, atChance = false }: Preparation, settled: boolean): PreprocessingSpec {
  const known = atChance && !settled ? undefined : record;
  return { images: known?.images, length: known?.length, frames: known?.frames };
}

const partOf = ({ name, count }: Dataset): Part => ({ name, count });
