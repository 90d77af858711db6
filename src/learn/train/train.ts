/** Training as a pass. Masks, fake quantization and a teacher are nodes of the graph, so they need no code here. */
import type * as v from "valibot";
import { infer } from "../../core/analysis/infer.ts";
import { maskedAt, plainName } from "../../core/analysis/masks.ts";
import { Miss } from "../../core/errors.ts";
import type { Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import type { Role } from "../../core/graph/role.ts";
import { type Context, definePass, type Outcome } from "../../core/pass/pass.ts";
import { toFloats } from "../../core/tensor/convert.ts";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { stored } from "../../rewrite/edit/fold-mask.ts";
import { keptWeights } from "../../rewrite/edit/kept-weights.ts";
import { takeState } from "./checkpoint.ts";
import type { Curve } from "./curve.ts";
import { stayedText } from "./evaluating.ts";
import { maskWithOnes, prunedWeights } from "./gradual.ts";
import { rehearse, runLoop } from "./loop.ts";
import { planOf } from "./plan.ts";
import { type Declaration, declareRoles, quantizedWeights } from "./roles.ts";
import { reportParted } from "./shared-constants.ts";
import { trainOptions } from "./train-options.ts";
import type { Epoch, TrainingSummary } from "./training-state.ts";
import { unmaskedZeros } from "./unmasked-zeros.ts";

export interface TrainOutcome extends Outcome {
  readonly history: readonly Epoch[];
  readonly training: TrainingSummary;
  readonly curve: Curve;
}

/** Returns advice for a training that lost accuracy, or that was compared with a model that had lost it already. */
export const betterTraining = (_options: unknown, lostBefore = false): string =>
  lostBefore ? "Train longer (`epochs`)" : "Try a lower `learningRate`, such as 1e-4, or `warmup` 0.1";

/**
 * Trains a model in place. With `validation`, the result has the best weights by `metric` (or by the loss); if the initial
 * weights are best, the model is unchanged, and a miss says so.
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
  command: {
    suffix: () => ".trained",
    writes: ["log"],
    examples: [
      "train net.onnx --data mnist/ --epochs 5 -o net.trained.onnx",
      "train resnet20.pruned.onnx --data cifar10/ --epochs 10 --learning-rate 1e-3",
    ],
  },
  run: trainInPlace,
});

/** `train` without rollback: a model whose training is stopped keeps its trained weights. */
export async function trainInPlace(
  model: Model,
  options: v.InferOutput<typeof trainOptions>,
  context: Context,
): Promise<TrainOutcome> {
  storeWeights(model);
  const plan = await planOf(model, options, context);
  const roles = await declareRoles(model, options);
  report(roles, context);
  // Roles first: tied matrices are trained as one and not pruned.
  const { weights, misses: whole } =
    plan.gradual === undefined ? { weights: [], misses: [] } : prunedWeights(model, { ...plan, gradual: plan.gradual });
  await maskWithOnes(model, weights);
  const zeros = await unmaskedZeros(model, options);
  if (zeros !== undefined) context.log({ id: "unmasked-zeros", text: zeros, level: "warning" });
  const { history, training, curve, names, isAsBefore } = await (context.dryRun ? rehearse : runLoop)(
    model,
    plan,
    context,
  );
  if (isAsBefore)
    return {
      changes: options.keepStep === undefined ? [] : keptChanges(model, options.keepStep),
      misses: [...roles.misses, new Miss(stayedText(training, history))],
      history,
      training,
      curve,
    };
  takeState(model);
  const changed = names.flatMap((name) => model.graph.value(name) ?? []);
  return {
    changes: [
      ...changed.map(({ name: at }) => ({ at, what: "trained", decidedBy: "global" as const })),
      ...(await maskChanges(weights)),
    ],
    misses: [...roles.misses, ...whole, ...quantizedWeights(model, infer(model), changed)],
    history,
    training,
    curve,
  };
}

const keptChanges = (model: Model, step: number): Outcome["changes"] =>
  [...keptWeights(model).keys()].map((at) => ({ at, what: `kept as of step ${step}`, decidedBy: "global" }));

async function maskChanges(weights: readonly Value[]): Promise<Outcome["changes"]> {
  const changes: Outcome["changes"][number][] = [];
  for (const { parameter: at, mask } of weights.flatMap((weight) => maskedAt(weight) ?? [])) {
    const kept = toFloats(await stored(mask).read());
    const left = kept.filter((one: number) => one !== 0).length.toLocaleString("en-US");
    const what = `${left} of ${kept.length.toLocaleString("en-US")} left`;
    changes.push({ at: plainName(at), what, kind: "masked", decidedBy: "global" });
  }
  return changes;
}

function report({ declared, parted }: Declaration, context: Context): void {
  const of = (kind: Role["kind"]): readonly string[] =>
    [...declared].flatMap(([{ name }, role]) => (role.kind === kind ? [`"${name}"`] : []));
  const [[buffer, ...more], states] = [of("buffer"), of("state")];
  reportParted(parted, context);
  if (buffer !== undefined) {
    const text = more.length === 0 ? `${buffer} is frozen` : `${buffer} and ${more.length} more are frozen`;
    context.log({
      id: "buffers",
      text: `${text}: the values look like a mask or sinusoidal positions`,
    });
  }
  if (states.length > 0)
    context.log({ id: "states", text: `${states.length} running statistics are updated from the batches` });
}
