/**
 * What the steps of a command are given: parts of its data to train on, to calibrate with and to judge by, none of which has a sample of another,
 * ready for the model. One rule for all commands, so that a recipe trains on what its steps would train on as commands.
 */
import type { Dataset } from "../../data/index.ts";
import { draw } from "../../data/select.ts";
import type { Engine } from "../../engine/index.ts";
import { PithError } from "../../errors.ts";
import type { Task } from "../../evaluate/index.ts";
import type { Model } from "../../graph/model.ts";
import type { JobContext } from "../../job/job.ts";
import { calibrationSamples, type Recipe } from "../../recipe/index.ts";
import { steps } from "../../recipe/steps.ts";
import type { Samples } from "../../report/index.ts";
import type { DataRequest } from "../data.ts";
import { judgedBy, type MetricName } from "../metrics.ts";
import { openData, type Preparation, prepare } from "./prepare.ts";

export interface Asked {
  readonly data: DataRequest;
  /** What is going to be run. */
  readonly recipes: readonly Recipe[];
  readonly metric: MetricName;
  readonly output: string | undefined;
  readonly seed: number;
}

export interface OpenedTask {
  readonly task: Task;
  readonly preparation: Preparation;
  /** The samples to judge by, as they were before they were made ready. */
  readonly seen: Dataset;
  readonly used: Used;
}

/** Which samples were used for what. */
export interface Used {
  readonly train: Part | undefined;
  readonly calibrate: Part | undefined;
  readonly test: Part;
}

export type Part = Pick<Samples, "name" | "count">;

/**
 * Of each part there are at most as many samples as `--samples` says.
 * @throws PithError E_DATA, before anything is run, where something trains and all that is there is to judge by.
 */
export async function openTask(
  engine: Engine,
  model: Model,
  path: string,
  { data, recipes, metric, output, seed }: Asked,
  context: JobContext,
): Promise<OpenedTask> {
  const { samples } = data;
  const kinds = recipes.flatMap(({ steps: list }) => list.flatMap(({ id }) => steps.get(id) ?? []));
  const trains = kinds.some((kind) => kind.data === "train");
  const parts = await openData(model, path, data, {
    calibrate: Math.max(0, ...recipes.map(calibrationSamples)),
    seed,
    ...(samples === undefined ? {} : { test: samples }),
  });
  if (trains && parts.train === undefined) {
    const found = `${parts.test.name} has one part only`;
    throw new PithError("E_DATA", `${found}: there is nothing to train on beside what it is judged by.`, {
      hint: "Parts are told by names of files and folders: train and test, or dev, val. A table without parts is divided.",
    });
  }
  const preparation = await prepare(engine, model, path, data, parts.test, context);
  const { calibrate, test } = parts;
  // What is kept apart to choose weights by is taken of those to train on.
  const train =
    !trains || parts.train === undefined || samples === undefined ? parts.train : draw(parts.train, samples, seed);
  return {
    task: {
      ...(train === undefined ? {} : { train: preparation.ready(train) }),
      ...(calibrate === undefined ? {} : { calibrate: preparation.ready(calibrate) }),
      test: preparation.ready(test),
      metric: judgedBy(model, metric, output, preparation.labelled),
    },
    preparation,
    seen: test,
    used: {
      train: trains && train !== undefined ? partOf(train) : undefined,
      calibrate: calibrate === undefined ? undefined : partOf(calibrate),
      test: partOf(test),
    },
  };
}

const partOf = ({ name, count }: Dataset): Part => ({ name, count });
