/** What the stages of a recovery share: where they look, and what they hand back. */
import { Calibration, samplesAtOnce } from "../calibrate/calibration.ts";
import type { Storage } from "../data/store.ts";
import type { IndexedDataset } from "../data/types.ts";
import { Miss, PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/pass.ts";
import type { Tensor } from "../tensor/types.ts";
import type { Match } from "./match.ts";

/**
 * A change of a model that can be made to any copy of it: a stage tries its edits on one, and those of a stage that helped are made to the
 * model itself.
 */
export type Edit = (model: Model) => Promise<void>;

export interface Staged {
  readonly edits: readonly Edit[];
  /** How many layers, norms or tensors changed, in words: "12 layers". */
  readonly what: string;
  readonly misses: readonly Miss[];
}

export interface Scope {
  readonly match: Match;
  /** The original as it was given. */
  readonly original: Model;
  /** What stages are fitted on. */
  readonly data: IndexedDataset;
  readonly context: Context;
  /** Where values between layers are kept while a stage runs. */
  readonly storage: Storage;
  /** Whether the time that was given is over: a stage ends with what it has. */
  overdue(): boolean;
}

/** Works on a copy of the model, which it may change as it goes, and answers with the edits that made it. */
export interface Stage {
  readonly name: string;
  run(trial: Model, scope: Scope): Promise<Staged>;
}

/** A walk through a model with the samples that stages are fitted on. */
export function walk(model: Model, { data, context, storage }: Scope, batch = samplesAtOnce): Promise<Calibration> {
  return Calibration.through(model, data, { engine: context.engine, signal: context.signal, batch, storage });
}

/** The stored tensors of a model, by name, before it is trained: `replacedSince` says what became of them. */
export function tensorsOf({ graph }: Model): ReadonlyMap<string, Tensor> {
  return new Map(
    [...graph.values()].flatMap(({ name, tensor }) => (tensor === undefined ? [] : [[name, tensor] as const])),
  );
}

/** An edit for each tensor that a training has put in the place of another; none where it kept the weights that it began with. */
export function replacedSince(before: ReadonlyMap<string, Tensor>, trained: Model): readonly Edit[] {
  return [...tensorsOf(trained)].flatMap(([name, tensor]): Edit[] => {
    if (before.get(name) === tensor) return [];
    return [
      async (model) => {
        const value = model.graph.value(name);
        if (value?.tensor !== undefined) value.tensor = tensor;
      },
    ];
  });
}

/** Why something cannot be trained. @throws whatever else it was that failed. */
export function untrainable(error: unknown, at: string): Miss {
  // Of another type are weights that are stored as integers.
  const reasons = ["E_NOT_DIFFERENTIABLE", "E_TYPE_MISMATCH", "E_UNSUPPORTED", "E_DIVERGED"];
  if (error instanceof PithError && reasons.includes(error.code)) return new Miss(error.message, at);
  throw error;
}
