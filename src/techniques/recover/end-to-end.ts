/**
 * Recovery stage: trains the network towards its original without labels. The loss is the relative noise of its outputs s against t,
 *
 *     Σ (s - t)² / Σ t²
 *
 * which on logits is no worse than softened distributions (Kim et al. 2021, arXiv 2105.08919), and by which `recover` is measured.
 * The option `loss`, such as a loss with labels, replaces it.
 */

import { PithError } from "../../core/errors.ts";
import { parseOptions } from "../../core/pass/option-errors.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { chooseBatchSize } from "../../learn/train/batch-size.ts";
import type { Loss } from "../../learn/train/loss.ts";
import { imitation } from "../../learn/train/losses/imitation.ts";
import { trainInPlace } from "../../learn/train/train.ts";
import { trainOptions } from "../../learn/train/train-options.ts";
import { abortAfter } from "../../runtime/run/elapsed.ts";
import { copyTrainedTensors, defaultBatch, explainUntrainable, type Stage } from "./stage.ts";

export interface EndToEndOptions {
  readonly data: Dataset;
  readonly epochs: number;
  readonly batch: number | undefined;
  readonly learningRate: number;
  /** Loss instead of `imitation`. */
  readonly loss: Loss | string | undefined;
  readonly output: string | undefined;
  readonly log?: string | undefined;
  /** Returns the seconds left for training; Infinity without a limit. */
  secondsLeft(): number;
}

export function endToEnd(options: EndToEndOptions): Stage {
  return {
    name: "end-to-end",
    async run(model, scope) {
      const trial = model.clone();
      const { data, epochs, batch, learningRate, loss, output, log } = options;
      const timer = new AbortController();
      const cancelTimeLimit = abortAfter(timer, options.secondsLeft());
      const signal = AbortSignal.any([scope.context.signal, timer.signal]);
      try {
        const size = batch ?? (await chooseBatchSize(trial, defaultBatch, data, [scope.original])).size;
        const trainingLoss = loss ?? imitation(scope.original, output);
        const settings = { data, epochs, batch: size, learningRate, loss: trainingLoss, log };
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
