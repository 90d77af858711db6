/** Interface of the recovery stages, and functions that they share. */
import type { IndexedDataset, Storage } from "#batches";
import { Miss, type Model, PithError } from "#ir";
import type { Context } from "#pass";
import { Calibration, samplesAtOnce } from "../calibrate/calibration.ts";
import type { ModelMatch } from "../calibrate/match-original.ts";

export interface StageResult {
  /** Number of changed layers, norms, blocks or tensors; 0 if the model is unchanged. */
  readonly changed: number;
  readonly what: string;
  readonly misses: readonly Miss[];
}

export interface Scope {
  readonly match: ModelMatch;
  readonly original: Model;
  readonly data: IndexedDataset;
  readonly context: Context;
  readonly storage: Storage;
  /** Returns whether the time limit is reached. A stage then ends, and its progress so far is the result. */
  overdue(): boolean;
}

export const stageNames = ["batch-norm", "bias", "least-squares", "blocks", "end-to-end"] as const;
export type StageName = (typeof stageNames)[number];

/** A stage changes the model in place. */
export interface Stage {
  readonly name: StageName;
  run(model: Model, scope: Scope): Promise<StageResult>;
}

export const defaultBatch = 64;

export function startCalibration(
  model: Model,
  { data, context, storage }: Scope,
  batch = samplesAtOnce,
): Promise<Calibration> {
  return Calibration.begin(model, data, { engine: context.engine, signal: context.signal, batch, storage });
}

/** Copies tensors that a copy or a part of a model has learned; returns their number. */
export function copyTrainedTensors({ graph }: Model, trainedModel: Model): number {
  let count = 0;
  for (const { name, tensor } of trainedModel.graph.values()) {
    const value = graph.value(name);
    if (tensor === undefined || value?.tensor === undefined || value.tensor === tensor) continue;
    value.tensor = tensor;
    count++;
  }
  return count;
}

/** Returns the reason if an error means that a model or part cannot be trained; throws other errors again. */
export function explainUntrainable(error: unknown, at: string): Miss {
  // E_TYPE_MISMATCH: weights are stored as integers.
  const reasons = ["E_NOT_DIFFERENTIABLE", "E_TYPE_MISMATCH", "E_UNSUPPORTED", "E_DIVERGED"];
  if (error instanceof PithError && reasons.includes(error.code)) return new Miss(error.message, at);
  throw error;
}
