/** Resumes a training from its checkpoint, after checking that model, data and settings are the same. */
import { contentHash, type Dataset, firstBatch, haveSameElements, memory } from "#batches";
import { type Model, open, type Tensor, type Value } from "#ir";
import type { Context } from "#pass";
import { fileKind } from "#platform";
import {
  bestFile,
  type Checkpoint,
  type Identity,
  lastFile,
  modelHash,
  noTrainingError,
  readCheckpoint,
  removeState,
  requireSameTraining,
} from "./checkpoint.ts";
import type { Floats } from "./floats.ts";
import { type Plan, rateFactor } from "./plan.ts";
import { trainedValues } from "./trained-values.ts";
import { type Counters, changedValues, restoreArrays, restoreTraining, type TrainingState } from "./training-state.ts";

export interface Progress {
  readonly counters: Counters;
  readonly identity: Identity;
  readonly epochs?: number | undefined;
}

export interface OpenCheckpoint extends Omit<Checkpoint, "progress">, Pick<Progress, "counters"> {
  readonly best: Model | undefined;
}

/** Opens the checkpoint from which a training resumes, if any. @throws PithError E_DATA for another file, E_OPTION for another training's. */
export async function openCheckpoint(
  trainedModel: Model,
  plan: Plan,
  expected: Identity,
  context: Context,
): Promise<OpenCheckpoint | undefined> {
  if (!plan.resume || plan.checkpoint === undefined) return undefined;
  const path = lastFile(plan.checkpoint);
  if ((await fileKind(path)) === undefined) {
    const text = `${plan.checkpoint} has no checkpoint yet: training starts from the model`;
    context.log({ id: "resume", text });
    return undefined;
  }
  const { model, state, progress } = await readCheckpoint(path);
  model.graph.operators = trainedModel.graph.operators;
  const { counters, identity, epochs } = (progress ?? {}) as Partial<Progress>;
  if (counters === undefined || identity === undefined) throw noTrainingError(path);
  const bestPath = counters.best === undefined ? undefined : bestFile(plan.checkpoint);
  requireSameTraining({ path, bestPath }, identity, expected);
  const best = bestPath === undefined ? undefined : await open(bestPath);
  if (best !== undefined) best.graph.operators = trainedModel.graph.operators;
  const text = lengthChange(counters, epochs, plan);
  if (text !== undefined) context.log({ id: "resume", text, level: "warning" });
  return { model, state, counters, best };
}

function lengthChange({ epoch, steps }: Counters, savedEpochs: number | undefined, plan: Plan): string | undefined {
  const { epochs } = plan;
  const completedEpochs = epoch - 1;
  if (completedEpochs >= epochs)
    return `the checkpoint has done ${completedEpochs} of ${epochs} epochs: nothing is trained, and its weights are the result`;
  if (savedEpochs === undefined || savedEpochs === epochs) return undefined;
  const [rateBefore, rateNow] = [rateFactor(plan, steps, savedEpochs), rateFactor(plan, steps)];
  if (rateBefore === rateNow) return undefined;
  const share = (factor: number): string => `${(100 * factor).toFixed(0)} %`;
  return (
    `started as a training of ${savedEpochs} epochs, continued as one of ${epochs}: the learning rate continues at ${share(rateNow)} of its peak, ` +
    `as the new schedule sets at this step, not at ${share(rateBefore)}; the result is not that of ${epochs} epochs without a break`
  );
}

export async function identityOf(model: Model, plan: Plan, { seed }: Pick<Context, "seed">): Promise<Identity> {
  const { data, settings, size, validation, loss } = plan;
  const untrainedModel = model.clone();
  removeState(untrainedModel);
  // A saved model states the inferred types of its outputs, which the same model in memory may lack.
  for (const output of untrainedModel.graph.outputs) output.type = undefined;
  // A share is identified by the data that it is drawn from.
  const isShare = typeof settings.validation === "number";
  const teacherHashes: string[] = [];
  for (const teacher of loss.teachers ?? []) teacherHashes.push((await modelHash(teacher)).slice(0, 8));
  return {
    seed,
    batch: size,
    ...settings,
    ...(validation === undefined || isShare ? {} : { validation: await contentText(validation.data) }),
    ...(settings.teacher === undefined ? {} : { teacher: [settings.teacher, ...teacherHashes].join(", ") }),
    data: await contentText(data),
    model: await modelHash(untrainedModel, trainedValues(untrainedModel, plan)),
  };
}

/** Returns the number of samples and the hash of the first one: "200 samples, 1f0c99ab". */
async function contentText(data: Dataset): Promise<string> {
  const count = data.count === undefined ? "a stream" : `${data.count} samples`;
  const hash = await contentHash(memory(data.name, await firstBatch(data)));
  return `${count}, ${hash.slice(0, 8)}`;
}

/** Restores the state and returns the best weights. */
export async function continueTraining(
  training: TrainingState,
  plan: Plan,
  checkpoint: OpenCheckpoint,
): Promise<readonly Floats[] | undefined> {
  await restoreTraining(training, plan, checkpoint.model, checkpoint.state);
  if (checkpoint.best === undefined) return undefined;
  const best = training.weights.map((values) => values.slice());
  const arrays = changedValues(training.step).map(({ name }, index) => ({
    name,
    values: best[index] ?? new Float32Array(),
  }));
  await restoreArrays(arrays, checkpoint.best);
  return best;
}

export function tensorsOf({ graph }: Model): ReadonlyMap<Value, Tensor> {
  return new Map([...graph.values()].flatMap((value) => (value.tensor === undefined ? [] : [[value, value.tensor]])));
}

export async function areUnchanged(initial: ReadonlyMap<Value, Tensor>): Promise<boolean> {
  for (const [{ tensor: currentTensor }, initialTensor] of initial) {
    if (currentTensor === initialTensor || currentTensor === undefined) continue;
    if (!haveSameElements(await initialTensor.read(), await currentTensor.read())) return false;
  }
  return true;
}
