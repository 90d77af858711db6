/** What the stages of a recovery share: where they look, and what they hand back. */
import { Calibration, samplesAtOnce } from "../calibrate/calibration.ts";
import type { Match } from "../calibrate/match.ts";
import type { Storage } from "../data/store.ts";
import type { IndexedDataset } from "../data/types.ts";
import { Miss, PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/pass.ts";

export interface StageResult {
  /** How many layers, norms, blocks or tensors changed; where none did, the model is as it was. */
  readonly changed: number;
  /** The same in words: "12 layers". */
  readonly what: string;
  readonly misses: readonly Miss[];
}

export interface Scope {
  readonly match: Match;
  readonly original: Model;
  readonly data: IndexedDataset;
  readonly context: Context;
  /** Where values between layers are kept while a stage runs. */
  readonly storage: Storage;
  /** Whether the time that was given is over: a stage ends with what it has. */
  overdue(): boolean;
}

/** Changes the model in place, as it goes. */
export interface Stage {
  readonly name: string;
  run(model: Model, scope: Scope): Promise<StageResult>;
}

/** Samples of a training step. */
export const usualBatch = 64;

export function walk(model: Model, { data, context, storage }: Scope, batch = samplesAtOnce): Promise<Calibration> {
  return Calibration.begin(model, data, { engine: context.engine, signal: context.signal, batch, storage });
}

/** Gives a model the tensors that a copy or a part of it has learnt; how many. */
export function adopt({ graph }: Model, learnt: Model): number {
  let count = 0;
  for (const { name, tensor } of learnt.graph.values()) {
    const value = graph.value(name);
    if (tensor === undefined || value?.tensor === undefined || value.tensor === tensor) continue;
    value.tensor = tensor;
    count++;
  }
  return count;
}

/** Why something cannot be trained. @throws whatever else it was that failed. */
export function untrainable(error: unknown, at: string): Miss {
  // Of another type are weights that are stored as integers.
  const reasons = ["E_NOT_DIFFERENTIABLE", "E_TYPE_MISMATCH", "E_UNSUPPORTED", "E_DIVERGED"];
  if (error instanceof PithError && reasons.includes(error.code)) return new Miss(error.message, at);
  throw error;
}
