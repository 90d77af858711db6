/** The mean loss on validation samples, and the cache of graphs by batch sizes that it shares with training steps. */
import { type Dataset, rowCount } from "#batches";
import { type Batch, dataError, type Model, throwIfAborted } from "#ir";
import type { Context } from "#pass";
import type { Session } from "../../core/engine/engine.ts";
import { prefetched } from "../../data/prefetch/feed.ts";
import { raiseOpset } from "../../rewrite/edit/raise-opset.ts";
import { memoryLimit, peakBytes } from "./batch-size.ts";
import { gradientOpset } from "./differentiate.ts";
import type { Loss } from "./loss.ts";
import { type LossGraph, sizesOf, writeLoss } from "./write-loss.ts";

/** Returns the mean loss over a data set. @throws PithError E_DATA if the data does not fit the model or is empty, E_STOPPED on the signal. */
export async function validationLoss(
  model: Model,
  data: Dataset,
  loss: Loss,
  size: number,
  { engine, signal }: Pick<Context, "engine" | "signal">,
): Promise<number> {
  let [sum, samples] = [0, 0];
  const load = async (example: Batch): Promise<LossGraph & { readonly session: Session; readonly bytes: number }> => {
    const lossModel = model.clone();
    raiseOpset(lossModel, gradientOpset);
    const lossGraph = await writeLoss(lossModel, example, loss, () => {});
    lossModel.graph.setOutputs([lossGraph.value]);
    return { ...lossGraph, bytes: peakBytes(lossModel), session: await engine.load(lossModel) };
  };
  const graphs = cacheBySizes(load, ({ session }) => session.release());
  try {
    for await (const batch of prefetched(data, { size })) {
      throwIfAborted(signal, "Training was stopped while it was evaluated.");
      const { value, feeds, session } = await graphs.of(batch);
      const { [value.name]: lossValue } = await session.run(feeds(batch));
      const count = rowCount(batch);
      sum += Number(lossValue?.data[0]) * count;
      samples += count;
    }
  } finally {
    await graphs.release();
  }
  if (samples === 0) throw dataError(`${data.name} has no samples to evaluate on.`);
  return sum / samples;
}

const maxEntries = 16;

/** Caches an object for the sizes of a batch. @param make `bytes` of its object are the memory of one run, which a session keeps for the next run. */
export function cacheBySizes<T extends { readonly bytes: number }>(
  make: (example: Batch) => Promise<T>,
  release: (entry: T) => Promise<void>,
) {
  const entries = new Map<string, T>();
  const isTooLarge = (): boolean => {
    const total = [...entries.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    return entries.size > maxEntries || (entries.size > 1 && total > memoryLimit);
  };
  return {
    async of(batch: Batch): Promise<T> {
      const sizes = sizesOf(batch);
      const entry = entries.get(sizes) ?? (await make(batch));
      entries.delete(sizes);
      entries.set(sizes, entry);
      while (isTooLarge()) {
        const [oldest] = entries;
        if (oldest === undefined) break;
        entries.delete(oldest[0]);
        await release(oldest[1]);
      }
      return entry;
    },
    async release(): Promise<void> {
      const all = [...entries.values()];
      entries.clear();
      for (const entry of all) await release(entry);
    },
  };
}
