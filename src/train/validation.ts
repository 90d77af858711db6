/** The loss of a model on samples that it is not trained on: the loss graph, run forward. */
import { prefetched } from "../data/feed.ts";
import type { Dataset } from "../data/types.ts";
import type { Session } from "../engine/engine.ts";
import { PithError, stopIfAsked } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { type Context, raiseOpset } from "../passes/index.ts";
import type { Batch } from "../tensor/types.ts";
import { gradientOpset } from "./differentiate.ts";
import type { Loss } from "./loss.ts";
import { type LossGraph, samplesOf, writeLoss } from "./loss-graph.ts";

interface Loaded extends LossGraph {
  readonly count: number;
  readonly session: Session;
}

/**
 * The mean loss over all samples of a data set, in batches of `size`.
 * @throws PithError E_DATA if the data does not fit the model or is empty, E_STOPPED on the context's signal.
 */
export async function validationLoss(
  model: Model,
  data: Dataset,
  loss: Loss,
  size: number,
  context: Context,
): Promise<number> {
  let [sum, samples] = [0, 0];
  let loaded: Loaded | undefined;
  try {
    for await (const batch of prefetched(data, { size })) {
      stopIfAsked(context.signal, "Training was stopped while it was evaluated.");
      const count = samplesOf(batch);
      // The last batch may be smaller than the others.
      if (loaded?.count !== count) {
        await loaded?.session.release();
        loaded = await load(model, batch, count, loss, context);
      }
      const { [loaded.value.name]: found } = await loaded.session.run(loaded.feeds(batch));
      sum += Number(found?.data[0]) * count;
      samples += count;
    }
  } finally {
    await loaded?.session.release();
  }
  if (samples === 0) throw new PithError("E_DATA", `${data.name} has no samples to evaluate by.`);
  return sum / samples;
}

async function load(model: Model, example: Batch, count: number, loss: Loss, context: Context): Promise<Loaded> {
  const working = model.clone();
  raiseOpset(working, gradientOpset);
  const written = await writeLoss(working, example, loss, context);
  working.graph.setOutputs([written.value]);
  return { ...written, count, session: await context.engine.load(working) };
}
