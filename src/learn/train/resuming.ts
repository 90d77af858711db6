import { fileKind } from "#platform";
import type { Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { open } from "../../core/onnx/index.ts";
import type { Context } from "../../core/pass/pass.ts";
import type { Tensor } from "../../core/tensor/types.ts";
import { contentHash } from "../../data/hash.ts";
import { memory } from "../../data/indexed.ts";
import { firstBatch } from "../../data/select.ts";
import type { Dataset } from "../../data/types.ts";
import {
  type Beginning,
  bestFile,
  type Checkpoint,
  type Identity,
  lastFile,
  modelHash,
  noTraining,
  readCheckpoint,
  requireSameFrozen,
  requireSameTensors,
  requireSameTraining,
} from "./checkpoint.ts";
import { startCurve } from "./curve.ts";
import type { Floats } from "./floats.ts";
import { type Plan, rateFactor } from "./plan.ts";
import { type Counters, changingIn, restoreTraining, setAll, type TrainingState } from "./training-state.ts";

export interface Progress {
  readonly counters: Counters;
  readonly identity: Identity;
  readonly epochs?: number | undefined;
}

export interface Before extends Omit<Checkpoint, "progress">, Progress {
  readonly path: string;
  readonly bestPath: string | undefined;
  readonly best: Model | undefined;
}

export async function checkpointBefore(trained: Model, plan: Plan, context: Context): Promise<Before | undefined> {
  if (!plan.resume || plan.checkpoint === undefined) return undefined;
  const path = lastFile(plan.checkpoint);
  if ((await fileKind(path)) === undefined) {
    context.log({
      id: "resume",
      text: `there is no checkpoint in ${plan.checkpoint} yet: training starts from the model`,
    });
    return undefined;
  }
  const { model, state, progress } = await readCheckpoint(path);
  model.graph.operators = trained.graph.operators;
  const { counters, identity, epochs } = (progress ?? {}) as Partial<Progress>;
  if (counters === undefined || identity === undefined) throw noTraining(path);
  const bestPath = counters.best === undefined ? undefined : bestFile(plan.checkpoint);
  requireSameTraining({ path, best: bestPath }, identity, await beginningOf(trained, plan, context), trained);
  await requireSameFrozen(path, identity.trained, model, trained);
  const best = bestPath === undefined ? undefined : await open(bestPath);
  if (best !== undefined) best.graph.operators = trained.graph.operators;
  const text = lengthText(counters, epochs, plan);
  if (text !== undefined) context.log({ id: "resume", text, level: "warning" });
  // Older checkpoints have no curve.
  const whole = { ...counters, curve: counters.curve ?? startCurve(counters.steps) };
  return { path, bestPath, model, state, counters: whole, identity, epochs, best };
}

function lengthText({ epoch, steps }: Counters, before: number | undefined, plan: Plan): string | undefined {
  const { epochs } = plan;
  const done = epoch - 1;
  if (done > epochs)
    return `the checkpoint has done ${done} epochs, more than the ${epochs} requested: nothing is trained, and its weights are the result`;
  if (done === epochs)
    return `the checkpoint has done the ${epochs} epochs that are requested: nothing is trained, and its weights are the result`;
  if (before === undefined || before === epochs) return undefined;
  const [was, is] = [rateFactor(plan, steps, before), rateFactor(plan, steps)];
  if (was === is) return undefined;
  const share = (factor: number): string => `${(100 * factor).toFixed(0)} %`;
  return (
    `started as a training of ${before} epochs, continued as one of ${epochs}: the learning rate continues at ${share(is)} of its peak, ` +
    `as the new schedule sets at this step, not at ${share(was)}; the result is not that of ${epochs} epochs without a break`
  );
}

export async function beginningOf(model: Model, plan: Plan, { seed }: Pick<Context, "seed">): Promise<Beginning> {
  const { data, settings, size, validation, loss } = plan;
  // A share is identified by the data that it is drawn from.
  const isShare = typeof settings.validation === "number";
  const chosenBy = validation === undefined || isShare ? {} : { validation: await contentOf(validation.data) };
  const teachers: string[] = [];
  for (const one of loss.teachers ?? []) teachers.push(await modelHash(one));
  return {
    nodes: [...model.graph.nodes()].length,
    settings: { seed, batch: size, ...settings, ...chosenBy },
    samples: data.count ?? null,
    first: await printOf(data),
    teachers,
  };
}

/** Returns, for example, "200 samples, 1f0c99ab". */
async function contentOf(data: Dataset): Promise<string> {
  const count = data.count === undefined ? "a stream" : `${data.count} samples`;
  return `${count}, ${await printOf(data)}`;
}

async function printOf(data: Dataset): Promise<string> {
  return (await contentHash(memory(data.name, await firstBatch(data)))).slice(0, 8);
}

/** @throws PithError E_OPTION if other tensors are trained, E_DATA if the checkpoint belongs to other parameters. */
export async function continueTraining(
  training: TrainingState,
  plan: Plan,
  before: Before,
  trained: Identity["trained"],
): Promise<readonly Floats[] | undefined> {
  requireSameTensors({ path: before.path, best: before.bestPath }, before.identity, trained);
  await restoreTraining(training, plan, before.model, before.state);
  if (before.best === undefined) return undefined;
  const best = training.weights.map((values) => values.slice());
  const named = changingIn(training.step).map(({ name }, at) => [name, best[at] ?? new Float32Array()] as const);
  await setAll(
    named.filter(([name]) => !training.step.own.has(name)),
    before.best,
  );
  return best;
}

export function tensorsOf({ graph }: Model): ReadonlyMap<Value, Tensor> {
  return new Map([...graph.values()].flatMap((value) => (value.tensor === undefined ? [] : [[value, value.tensor]])));
}

/** Returns whether the values are unchanged; false if the resumed model was trained further. */
export async function isAsGiven(given: ReadonlyMap<Value, Tensor>): Promise<boolean> {
  for (const [{ tensor: now }, before] of given) {
    if (now === before || now === undefined) continue;
    const [numbers, others] = [await before.read(), await now.read()];
    if (!numbers.data.every((number: unknown, at: number) => Object.is(number, others.data[at]))) return false;
  }
  return true;
}
