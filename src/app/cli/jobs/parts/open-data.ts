/** Opens the data of a command. */
import { resolve, sep } from "node:path";
import { dataError, type Model, open } from "#ir";
import { createEngine, type Engine } from "../../../../core/engine/index.ts";
import type { Dataset } from "../../../../data/index.ts";
import { type OpenedRecipe, type OpenedSamples, openSamples } from "../../../../judge/recipe/open-samples.ts";
import type { OpenedTask, TaskOptions } from "../../../../judge/task/index.ts";
import type { JobContext } from "../../../../runtime/job/job.ts";
import { watchLoads } from "../../../../runtime/run/load-check.ts";
import { textInputs } from "../../../../runtime/run/realistic-inputs.ts";
import type { ProcessSession } from "../../command.ts";
import type { DataRequest } from "../../flags/data.ts";
import { explainByInputs } from "./input-errors.ts";
import { warnOfSwap } from "./model-warnings.ts";
import { contextOf, openModel } from "./open-model.ts";

export interface TaskRequest extends Omit<TaskOptions, "data"> {
  readonly recipes?: readonly OpenedRecipe[];
  readonly seed: number;
}

/** Opens the data, and records its preprocessing in the model. */
export async function openData(
  engine: Engine,
  model: Model,
  { path, ...data }: DataRequest,
  { recipes = [], seed, ...options }: TaskRequest,
  context: JobContext,
): Promise<OpenedSamples> {
  const taskOptions = { ...options, data: path, ...data, onGuess: () => context.stage("preprocessing") };
  const openedSamples = await openSamples(model, recipes, taskOptions, contextOf(engine, { seed }, context));
  openedSamples.task.recordIn(model);
  return openedSamples;
}

/** Opens a model, its original if there is one, and samples. @param wordsOf returns the command for models in the other order. */
export async function openModelAndOriginal(
  path: string,
  originalPath: string | undefined,
  data: DataRequest | undefined,
  wordsOf: (original: string, result: string) => readonly string[],
  session: ProcessSession,
) {
  const context = contextOf(watchLoads(createEngine()), session, session);
  const model = { model: await openModel(path, session), path };
  const original = originalPath === undefined ? undefined : { model: await open(originalPath), path: originalPath };
  // The preprocessing is guessed with the original, because the guess could be wrong with a damaged model.
  const reference = (original ?? model).model;
  if (original !== undefined) await warnOfSwap([original, model], wordsOf, session);
  const explain = (error: unknown): never => {
    throw (original && explainByInputs(model.model, original.model, error)) ?? error;
  };
  const taskOptions = { secondModel: model.model, needsLabels: original === undefined, seed: session.seed };
  const { task } =
    (data && (await openData(context.engine, reference, data, taskOptions, session).catch(explain))) ?? {};
  task?.recordIn(model.model);
  const inputs = task === undefined ? await textInputs(reference, context) : undefined;
  return { context, model, original, reference, task, inputs, explain };
}

/** Opens other samples that select weights, with the same preprocessing. @throws PithError E_DATA if they are test or training samples. */
export async function openValidation(
  { shownSamples, train, ...task }: OpenedTask,
  data: DataRequest,
  path: string,
): Promise<Dataset> {
  const samples = await task.openOther(path);
  const uses = [
    [shownSamples.name, "is test data"],
    ...(train === undefined ? [] : [[train.name, "is training data"]]),
  ];
  for (const [name = "", use = ""] of uses) {
    if (!areNested(samplesPath(name), samplesPath(samples.name))) continue;
    throw dataError(`--validation ${path}: ${name} ${use} already${originText(name, data.path)}.`, {
      hint: "A share holds out some of the training samples to choose the weights: --validation 10%. Or name other data.",
    });
  }
  return task.ready(samples);
}

function samplesPath(name: string): string {
  return resolve(name.replace(/ \([^()]*\)$/, ""));
}

/** Explains samples that the user did not name, such as dev.tsv next to train.tsv. */
function originText(name: string, path: string): string {
  if (areNested(samplesPath(name), resolve(path))) return "";
  return `: it is next to --data ${path}, and its name says that it is another part of it`;
}

function areNested(a: string, b: string): boolean {
  return a === b || a.startsWith(`${b}${sep}`) || b.startsWith(`${a}${sep}`);
}
