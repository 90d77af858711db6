/**
 * Training steps: the differentiated graph in a session, the parameters as arrays that are fed without a copy, and buffers that the
 * gradients are written into.
 *
 * Gradients are written for the sizes of a batch. A batch of other sizes (longer texts) gets a graph of its own when it comes, around the same
 * arrays.
 */

import { describe } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { type Context, completeContext } from "../passes/index.ts";
import { storeWeights } from "../passes/store-constants.ts";
import { random } from "../tensor/random.ts";
import type { Batch, Dense } from "../tensor/types.ts";
import type { Floats } from "./floats.ts";
import { bySizes } from "./forward-loss.ts";
import type { Trained } from "./optimizer.ts";
import { declareRoles } from "./roles.ts";
import { partAlike } from "./shared-constants.ts";
import { type Arrays, emptyLike, storeArrays, storedArrays, trainedView } from "./step-arrays.ts";
import { loadStepGraph, releaseStepGraph } from "./step-graph.ts";
import type { StepOptions } from "./step-options.ts";
import { trainableCopy } from "./trainable.ts";

export interface Step {
  readonly parameters: readonly Trained[];
  /** What is carried from step to step without gradients: running statistics. */
  readonly states: readonly State[];
  /** Whether something is drawn anew in each run (dropout). */
  readonly draws: boolean;
  /**
   * The loss on a batch; the gradients are in the parameters' arrays afterwards, and the states are those of the next step.
   * @param place What is random (dropout) is drawn by the seed and these numbers; the count of runs, unless told.
   */
  run(batch: Batch, place?: readonly number[]): Promise<number>;
  /**
   * The parameters, then the states, as they are now, or other numbers in their place, written into a model as tensors of its own. Weights in
   * Constant nodes become such, too.
   */
  store(model: Model, weights?: readonly Floats[]): void;
  release(): Promise<void>;
}

export interface State {
  readonly name: string;
  readonly values: Floats;
}

/**
 * Builds the loss on top of a copy of the model, differentiates it for batches like `example`, and loads it.
 * @throws PithError E_NOT_DIFFERENTIABLE, E_NAME for layers that do not exist, E_DATA if the data does not fit the model.
 */
export async function createStep(
  model: Model,
  example: Batch,
  options: StepOptions,
  context: Partial<Context> = {},
): Promise<Step> {
  const declared = model.clone();
  // What is trained is asked of the same graph that `train` asks.
  storeWeights(declared);
  const { ownStatistics, parted } = await declareRoles(declared);
  const step = await stepOf(declared, example, options, completeContext(context));
  return {
    ...step,
    store(target, weights) {
      storeWeights(target);
      partAlike(target, [...ownStatistics, ...parted]);
      step.store(target, weights);
    },
  };
}

/** The step of a model whose roles are declared: whoever has done so does not look at its numbers again. */
export async function stepOf(model: Model, example: Batch, options: StepOptions, context: Context): Promise<Step> {
  const { model: working, wanted, ties, groups } = await trainableCopy(model, options, context);
  const graphs = bySizes((batch) => loadStepGraph(working, batch, wanted, options, context), releaseStepGraph);
  const first = await graphs.of(example);
  for (const [name, node] of first.stopped) {
    const text = `"${name}" is not trained: the loss depends on it only through ${describe(node)}, which passes no gradient on`;
    context.log({ id: "untrained", text, level: "warning" });
  }
  const stored = await storedArrays(working, [...first.gradients.keys(), ...first.states.keys()]);
  const states = stored.splice(first.gradients.size);
  const next = states.map(({ values }) => emptyLike(values));
  const arrays = stored.map(({ name, values }): Arrays => {
    const group = groups(name, values.dims);
    return { name, ...group, values, gradient: emptyLike(values), carried: first.carried.has(name) };
  });
  const fed = Object.fromEntries([...arrays, ...states].map(({ name, values }) => [name, values]));
  let runs = 0;
  const lossBuffer: Dense = { type: "float32", dims: [], data: new Float32Array(1) };

  return {
    parameters: arrays.map(trainedView),
    states: states.map(({ name, values }) => ({ name, values: values.data })),
    draws: first.draws,
    async run(batch, place = [runs++]) {
      const graph = await graphs.of(batch);
      // What is carried is the gradient before, and the next takes its place in the same buffer: one node reads it, and what that makes, or
      // is made of it, is the next.
      const carriedFeeds: Record<string, Dense> = {};
      const buffers: Record<string, Dense> = { [graph.loss]: lossBuffer };
      for (const { name, gradient } of arrays) {
        const [output, input] = [graph.gradients.get(name), graph.carried.get(name)];
        if (output !== undefined) buffers[output] = gradient;
        if (input !== undefined) carriedFeeds[input] = gradient;
      }
      states.forEach(({ name }, at) => {
        const [output, buffer] = [graph.states.get(name), next[at]];
        if (output !== undefined && buffer !== undefined) buffers[output] = buffer;
      });
      // Odd, and below 2³¹.
      const drawn = random(context.seed, "draw", ...place).integer(2 ** 30) * 2 + 1;
      const feeds = await graph.feeds(batch, drawn);
      await graph.session.run({ ...feeds, ...fed, ...carriedFeeds }, buffers);
      for (const [at, { values }] of states.entries()) values.data.set(next[at]?.data ?? []);
      return lossBuffer.data[0] ?? Number.NaN;
    },
    store: (target, weights) => storeArrays(target, [...arrays, ...states], ties, weights),
    release: graphs.release,
  };
}
