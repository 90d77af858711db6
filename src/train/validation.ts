/** The loss of a model on samples that it is not trained on: the loss graph, run forward. */
import { prefetched } from "../data/feed.ts";
import type { Dataset } from "../data/types.ts";
import type { Session } from "../engine/engine.ts";
import { PithError, stopIfAsked } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { type Context, raiseOpset } from "../passes/index.ts";
import type { Batch } from "../tensor/types.ts";
import { bySizes } from "./by-sizes.ts";
import { gradientOpset } from "./differentiate.ts";
import type { Loss } from "./loss.ts";
import { type LossGraph, samplesOf, writeLoss } from "./loss-graph.ts";

interface Loaded extends LossGraph {
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
  // The last batch may be smaller than the others, and those of texts have lengths of their own.
  const graphs = bySizes(
    (batch) => load(model, batch, loss, context),
    ({ session }) => session.release(),
  );
  try {
    for await (const batch of prefetched(data, { size })) {
      stopIfAsked(context.signal, "Training was stopped while it was evaluated.");
      const count = samplesOf(batch);
      const { value, feeds, session } = await graphs.of(batch);
      const { [value.name]: found } = await session.run(feeds(batch));
      sum += Number(found?.data[0]) * count;
      samples += count;
    }
  } finally {
    await graphs.release();
  }
  if (samples === 0) throw new PithError("E_DATA", `${data.name} has no samples to evaluate by.`);
  return sum / samples;
}

async function load(model: Model, example: Batch, loss: Loss, context: Context): Promise<Loaded> {
  const working = model.clone();
  raiseOpset(working, gradientOpset);
  const written = await writeLoss(working, example, loss, context);
  working.graph.setOutputs([written.value]);
  return { ...written, session: await context.engine.load(working) };
}
