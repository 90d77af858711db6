/** What a training is told, checked and complete. */
import type { Dataset } from "../data/types.ts";
import type { Metric } from "../evaluate/types.ts";
import type { Optimizer } from "./optimizer.ts";
import type { Schedule } from "./schedule.ts";
import type { StepOptions } from "./step-options.ts";

export interface Validation {
  readonly data: Dataset;
  /** What decides which weights are best: the loss, where there is none. */
  readonly metric: Metric | undefined;
  /**
   * Steps from one evaluation to the next, and there is one before the first step and where training ends; if absent, one at the end of each
   * epoch instead.
   */
  readonly every: number | undefined;
  /** Evaluations without a better figure after which training ends. */
  readonly patience: number | undefined;
}

export interface Plan extends StepOptions {
  readonly data: Dataset;
  readonly epochs: number;
  /** Samples in a batch. */
  readonly size: number;
  /** Batches in a step. */
  readonly accumulate: number;
  readonly optimizer: Optimizer;
  readonly learningRate: number;
  readonly schedule: Schedule;
  /** The global gradient norm is clipped to this value. */
  readonly clip: number | undefined;
  /** The decay of a moving average, which takes the place of the last weights. */
  readonly average: number | undefined;
  readonly validation: Validation | undefined;
  /** What was told, by the names of options, as plain data: what a training must share with the one it continues. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** The folder of the checkpoints. */
  readonly checkpoint: string | undefined;
  /** Continue with the checkpoint in that folder, if there is one. */
  readonly resume: boolean;
}

/** Steps of an epoch and of the whole training, where the number of samples is known. */
export function stepsOf({ data, size, accumulate, epochs }: Plan): number | undefined {
  return data.count === undefined ? undefined : Math.floor(Math.floor(data.count / size) / accumulate) * epochs;
}

/** Each epoch has an order of its own. */
export function epochSeed(seed: number, epoch: number): number {
  return seed * 1_000_003 + epoch;
}
