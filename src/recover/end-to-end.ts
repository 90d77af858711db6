/**
 * The whole network trained towards its original, without labels: the loss is the noise in its answers beside their signal,
 *
 *     Σ (s - t)² / Σ t²
 *
 * with s of the changed model and t of the original (on logits no worse a loss than softened distributions: Kim et al. 2021, arXiv
 * 2105.08919; and it is what a recovery is judged by). Where another loss is given, a task's with labels, it is that which is made smaller.
 */
import type { Dataset } from "../data/types.ts";
import { PithError } from "../errors.ts";
import { abortAfter } from "../evaluate/elapsed.ts";
import type { Model } from "../graph/model.ts";
import { parseOptions } from "../passes/pass.ts";
import { batchSizeFor } from "../train/batch-size.ts";
import { inFloat32, type Loss, outputOf } from "../train/loss.ts";
import { trainInPlace } from "../train/train.ts";
import { trainOptions } from "../train/train-options.ts";
import { adopt, type Stage, untrainable, usualBatch } from "./stage.ts";

/** The noise in an output beside its signal, for `train`: no labels are needed. */
export function imitation(original: Model, output?: string): Loss {
  return {
    name: "imitation",
    build(scope) {
      const { emit } = scope;
      const own = inFloat32(emit, outputOf(scope, output));
      const theirs = inFloat32(emit, outputOf(scope.teacher(original), output));
      const error = emit.Sub([own, theirs]);
      const sum = (value: typeof own) => emit.ReduceSum([emit.Mul([value, value])], { keepdims: 0 });
      return { value: emit.Div([sum(error), sum(theirs)]), feeds: () => ({}) };
    },
  };
}

export interface EndToEndOptions {
  readonly data: Dataset;
  readonly epochs: number;
  /** Samples of a step (64, or fewer of large inputs). */
  readonly batch: number | undefined;
  readonly learningRate: number;
  /** In place of `imitation`. */
  readonly loss: Loss | string | undefined;
  readonly output: string | undefined;
  /** File of the table of steps. */
  readonly log?: string | undefined;
  /** Seconds from now until training has to end; infinite without a limit. */
  secondsLeft(): number;
}

export function endToEnd(options: EndToEndOptions): Stage {
  return {
    name: "end-to-end",
    async run(model, scope) {
      const trial = model.clone();
      const { data, epochs, batch, learningRate, loss, output, log } = options;
      const timer = new AbortController();
      const cancel = abortAfter(timer, options.secondsLeft());
      const signal = AbortSignal.any([scope.context.signal, timer.signal]);
      try {
        const size = batch ?? (await batchSizeFor(trial, usualBatch, data, [scope.original])).size;
        const imitated = loss ?? imitation(scope.original, output);
        const settings = { data, epochs, batch: size, learningRate, loss: imitated, log };
        await trainInPlace(trial, parseOptions("train", trainOptions, settings), { ...scope.context, signal });
      } catch (error) {
        // Where the time was over, what was learnt until then counts.
        const overdue = timer.signal.aborted && !scope.context.signal.aborted;
        if (!overdue || !(error instanceof PithError) || error.code !== "E_STOPPED")
          return { changed: 0, what: "", misses: [untrainable(error, "end-to-end")] };
      } finally {
        cancel();
      }
      const changed = adopt(model, trial);
      return { changed, what: `${changed} tensors trained`, misses: [] };
    },
  };
}
