/**
 * Recovery stage: trains the network towards its original without labels. The loss is the relative noise of its outputs s against t,
 *
 *     Σ (s - t)² / Σ t²
 *
 * which on logits is no worse than softened distributions (Kim et al. 2021, arXiv 2105.08919), and by which `recover` is measured.
 */
import type { Dataset } from "#batches";
import { PithError } from "#ir";
import { parseOptions } from "#pass";
import { chooseBatchSize } from "../../learn/train/batch-size.ts";
import { imitation } from "../../learn/train/losses/imitation.ts";
import { trainInPlace } from "../../learn/train/train.ts";
import { trainOptions } from "../../learn/train/train-options.ts";
import { abortAfter } from "../../runtime/run/elapsed.ts";
import { copyTrainedTensors, defaultBatch, explainUntrainable, type Stage } from "./stage.ts";

export const defaultSteps = 50;

/** Few samples are divided into smaller batches, so that an epoch has several steps. */
const [minStepsPerEpoch, minBatch] = [10, 8];

interface EndToEndOptions {
  readonly data: Dataset;
  readonly epochs: number | undefined;
  readonly batch: number | undefined;
  readonly learningRate: number;
  readonly output: string | undefined;
  /** Returns the seconds left for training; Infinity without a limit. */
  secondsLeft(): number;
}

export function endToEnd(options: EndToEndOptions): Stage {
  return {
    name: "end-to-end",
    async run(model, scope) {
      const trial = model.clone();
      const { data, epochs, batch, learningRate, output } = options;
      const timer = new AbortController();
      const cancelTimeLimit = abortAfter(timer, options.secondsLeft());
      const signal = AbortSignal.any([scope.context.signal, timer.signal]);
      try {
        const count = data.count ?? Number.POSITIVE_INFINITY;
        const maxSize = Math.max(minBatch, Math.min(defaultBatch, Math.floor(count / minStepsPerEpoch)));
        const size = batch ?? (await chooseBatchSize(trial, maxSize, data, [scope.original])).size;
        const steps = Math.max(1, Math.floor(count / size));
        const settings = {
          data,
          epochs: epochs ?? Math.ceil(defaultSteps / steps),
          batch: size,
          learningRate,
          loss: imitation(scope.original, output),
        };
        await trainInPlace(trial, parseOptions("train", trainOptions, settings), { ...scope.context, signal });
      } catch (error) {
        // If the stage's time limit ended the training, its progress is the result.
        const isOverdue = timer.signal.aborted && !scope.context.signal.aborted;
        if (!isOverdue || !(error instanceof PithError) || error.code !== "E_STOPPED")
          return { changed: 0, what: "", misses: [explainUntrainable(error, "end-to-end")] };
      } finally {
        cancelTimeLimit();
      }
      const changed = copyTrainedTensors(model, trial);
      return { changed, what: `${changed} tensors trained`, misses: [] };
    },
  };
}
