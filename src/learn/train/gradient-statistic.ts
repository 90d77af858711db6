/** Statistics of the gradient of a loss by stored tensors, over samples. */
import { type Dataset, draw, firstBatch, sampleCount } from "#batches";
import { getOrAdd, type Model, throwIfAborted, unsupportedError } from "#ir";
import { type Context, completeContext } from "#pass";
import { trainPart } from "../../data/sources/open.ts";
import { fitBatchSize } from "./batch-size.ts";
import type { Floats } from "./floats.ts";
import type { Loss } from "./loss.ts";
import { createStep, type Step } from "./step.ts";

export interface GradientStatistic<R> {
  readonly of: "gradients";
  /** Request the gradient of each sample, as Fisher information requires; by default the mean gradient of each batch. */
  readonly each?: "sample";
  /** @param name of the stored tensor. */
  begin(name: string): RunningGradients<R>;
}

export interface RunningGradients<R> {
  /** @param gradient ∂loss/∂w in the layout of w; the array is reused after the call. @param count samples in the mean. */
  add(gradient: Floats, count: number): void;
  end(): R;
}

export interface GradientOptions {
  /** Labeled samples, or the path of a data set, of which the train split is used. */
  readonly data: Dataset | string;
  /** Number of samples (256), drawn at random; for a stream, the first samples. */
  readonly samples?: number | undefined;
  /** Batch size of mean gradients (64, the size that the model fixes, or fewer if layers need much memory). */
  readonly batch?: number | undefined;
  readonly loss: Loss;
}

const defaultBatch = 64;

/**
 * Collects a statistic of the gradient of a loss by each of several stored tensors, in one pass over samples. The model is not changed.
 * @returns the statistics by name; tensors without a gradient are omitted.
 * @throws PithError E_NOT_DIFFERENTIABLE, E_DATA, E_UNSUPPORTED if a gradient of each sample is requested and batch statistics mix samples.
 * @example
 * import { crossEntropy } from "pith/train";
 * import { type GradientStatistic, observeGradients } from "pith/extend";
 * const squares: GradientStatistic<number> = {
 *   of: "gradients",
 *   begin() {
 *     let sum = 0;
 *     return { add: (gradient) => void gradient.forEach((g) => (sum += g * g)), end: () => sum };
 *   },
 * };
 * const result = await observeGradients(model, ["fc1.weight"], squares, { data, loss: crossEntropy() });
 */
export async function observeGradients<R>(
  model: Model,
  names: readonly string[],
  statistic: GradientStatistic<R>,
  { data, samples = 256, batch: batchOption, loss }: GradientOptions,
  context: Partial<Context> = {},
): Promise<ReadonlyMap<string, R>> {
  const complete = completeContext(context);
  const dataset = await trainPart(data);
  const selectedSamples = draw(dataset, samples, complete.seed);
  const isEachSample = statistic.each === "sample";
  const size = isEachSample ? 1 : (batchOption ?? fitBatchSize(model, defaultBatch).size);
  const running = new Map<string, RunningGradients<R>>();
  const addGradient = (name: string, gradient: Floats, count: number): void =>
    getOrAdd(running, name, () => statistic.begin(name)).add(gradient, count);
  const step = await createStep(model, await firstBatch(selectedSamples, size), { loss, parameters: names }, complete);
  try {
    if (isEachSample) requireStateless(step);
    for await (const batch of selectedSamples.batches({ size })) {
      throwIfAborted(complete.signal, "Stopped while gradients were computed.");
      await step.run(batch);
      const count = sampleCount(batch, selectedSamples.name);
      for (const { name, gradient } of step.parameters) addGradient(name, gradient, count);
    }
  } finally {
    await step.release();
  }
  return new Map(Array.from(running, ([name, collector]) => [name, collector.end()]));
}

function requireStateless({ states: [state] }: Step): void {
  if (state === undefined) return;
  const text = `A sample has no separate gradient: "${state.name}" is computed from all samples of a batch.`;
  throw unsupportedError(text, {
    hint: "Run `finalize` on the model first: batch normalization then computes as in inference.",
  });
}
