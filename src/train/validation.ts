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
import { type LossGraph, samplesOf, sizesOf, writeLoss } from "./loss-graph.ts";

interface Loaded extends LossGraph {
  readonly sizes: string;
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
      const [count, sizes] = [samplesOf(batch), sizesOf(batch)];
      // The last batch may be smaller than the others, and each of texts has a length of its own.
      if (loaded?.sizes !== sizes) {
        await loaded?.session.release();
        loaded = await load(model, batch, sizes, loss, context);
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

async function load(model: Model, example: Batch, sizes: string, loss: Loss, context: Context): Promise<Loaded> {
  const working = model.clone();
  raiseOpset(working, gradientOpset);
  const written = await writeLoss(working, example, loss, context);
  working.graph.setOutputs([written.value]);
  return { ...written, sizes, session: await context.engine.load(working) };
}
