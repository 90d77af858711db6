/** Training as a pass. Masks, fake quantization and a teacher are nodes of the graph, so they need no code here. */
import type * as v from "valibot";
import { infer, maskingOf, type Selection } from "#analysis";
import { joinList, Miss, type Model, percent, type Role, toFloat64 } from "#ir";
import { type Context, definePass, type Outcome } from "#pass";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { removeState } from "./checkpoint.ts";
import { explainUnchanged } from "./evaluation.ts";
import { logPlan, runLoop } from "./loop.ts";
import { createPlan } from "./plan.ts";
import { declareRoles, type RoleDeclaration } from "./roles.ts";
import { logSeparated } from "./shared-constants.ts";
import { trainOptions } from "./train-options.ts";
import { quantizedWeights, trainedValues } from "./trained-values.ts";
import type { Curve, Epoch, TrainingSummary } from "./training-state.ts";

export interface TrainOutcome extends Outcome {
  readonly history: readonly Epoch[];
  readonly training: TrainingSummary;
  readonly curve: Curve;
}

/** Returns advice for a training that lost accuracy, or that was compared with a model that had lost it already. */
export const betterTraining = (_options: unknown, lostBefore = false): string =>
  lostBefore
    ? "Train longer (`epochs`)"
    : "If the model is pruned, run recover first; otherwise try a lower `learningRate`, such as 1e-4";

/**
 * Trains a model in place. With `validation`, the result has the best weights by `metric` (or by the loss); if the initial
 * weights are best, the model is unchanged, with a miss that gives the reason.
 * @throws PithError E_NOT_DIFFERENTIABLE with the operator that has no gradient, E_DATA if data and model do not fit, E_DIVERGED with the
 * step at which the loss is no longer finite, E_STOPPED on the context's signal (the checkpoint keeps the progress).
 * @example
 * const { history } = await train(net, { data, epochs: 10, optimizer: "adam" }, { seed: 1 });
 * await train(net, {
 *   data,
 *   onStep: ({ step, loss }) => console.log(step, loss),
 *   onEpoch: ({ loss }) => (loss < 0.05 ? "stop" : undefined),
 * });
 */
export const train = definePass({
  id: "train",
  summary: "Train a model, or fine-tune a compressed one",
  options: trainOptions,
  data: "train",
  gentler: betterTraining,
  removesNotes: true,
  writes: ["log"],
  run: trainInPlace,
});

/** Like `train`, but a model whose training is stopped keeps its trained weights. */
export async function trainInPlace(
  model: Model,
  options: v.InferOutput<typeof trainOptions>,
  context: Context,
): Promise<TrainOutcome> {
  storeWeights(model);
  const plan = await createPlan(model, options, context);
  const roles = await declareRoles(model, options);
  logRoles(roles, context);
  const zeros = await describeUnmaskedZeros(model, options);
  if (zeros !== undefined) context.log({ id: "unmasked-zeros", text: zeros, level: "warning" });
  const { names, isUnchanged, ...outcome } = await (context.dryRun ? logPlan : runLoop)(model, plan, context);
  if (isUnchanged)
    return {
      ...outcome,
      changes: [],
      misses: [...roles.misses, new Miss(explainUnchanged(outcome.training, outcome.history))],
    };
  removeState(model);
  const changedValues = names.flatMap((name) => model.graph.value(name) ?? []);
  return {
    ...outcome,
    changes: changedValues.map(({ name: at }) => ({ at, what: "trained", decidedBy: "global" as const })),
    misses: [...roles.misses, ...quantizedWeights(model, infer(model), changedValues)],
  };
}

function logRoles({ declared, separatedParameters }: RoleDeclaration, context: Context): void {
  const namesOf = (kind: Role["kind"]): readonly string[] =>
    [...declared].flatMap(([{ name }, role]) => (role.kind === kind ? [`"${name}"`] : []));
  const [[buffer, ...more], states] = [namesOf("buffer"), namesOf("state")];
  logSeparated(separatedParameters, context);
  if (buffer !== undefined) {
    const text = more.length === 0 ? `${buffer} is frozen` : `${buffer} and ${more.length} more are frozen`;
    context.log({ id: "buffers", text: `${text}: the values look like a mask or sinusoidal positions` });
  }
  if (states.length > 0)
    context.log({ id: "states", text: `${states.length} batch-norm statistics are updated from the batches` });
}

/** Minimum share of zeros at which a matrix without a mask counts as pruned. */
const minZeroShare = 0.1;

/** Returns a warning about pruned matrices without masks, whose zeros training would overwrite. Matrices with at most one other value do not count. */
export async function describeUnmaskedZeros(model: Model, selection: Selection): Promise<string | undefined> {
  const names: string[] = [];
  let [zeros, total] = [0, 0];
  for (const name of trainedValues(model, selection)) {
    const value = model.graph.value(name);
    const tensor = value?.tensor;
    if (value === undefined || tensor === undefined || value.role?.kind === "tied") continue;
    if (tensor.dims.filter((size) => size > 1).length < 2 || maskingOf(value) !== undefined) continue;
    const numbers = toFloat64(await tensor.read());
    const nonzeros = numbers.filter((number) => number !== 0);
    const zeroCount = numbers.length - nonzeros.length;
    if (zeroCount < minZeroShare * numbers.length || nonzeros.every((number) => number === nonzeros[0])) continue;
    names.push(name);
    zeros += zeroCount;
    total += numbers.length;
  }
  if (names.length === 0) return undefined;
  return (
    `${percent(zeros / total)} of ${joinList(names.map((name) => `"${name}"`))} are exact zeros without a mask, which training overwrites: ` +
    "to keep them at zero, prune with `prune keepMasks`, train the result, then run `simplify finalize`"
  );
}
