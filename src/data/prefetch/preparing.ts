/** The worker module of `feed.ts`: prepares batches in another thread, and transfers their arrays back. */

import { type BatchChange, type BatchPosition, type Portable, transferable } from "#batches";
import { type Batch, optionError } from "#ir";
import type { Answer } from "#platform";
import { augmentation } from "../images/augment.ts";
import { preprocessing } from "../images/preprocess.ts";
import { tokenization } from "../text/sequences.ts";

export interface PreparingQuestion {
  readonly batch: Batch;
  /** The changes to apply, in order. `portable` is sent only once per thread and `id`, because its settings can include a large vocabulary. */
  readonly steps: readonly { readonly id: number; readonly place: BatchPosition; readonly portable?: Portable }[];
}

/** Creates changes from their settings, by `Portable.kind`. */
const kinds: Readonly<Record<string, (settings: never) => BatchChange>> = {
  preprocess: preprocessing,
  augment: augmentation,
  tokenize: tokenization,
};

const changes = new Map<number, BatchChange>();

export default async function prepare({ batch, steps }: PreparingQuestion): Promise<Answer> {
  for (const { id, portable: portableChange } of steps) {
    const change = portableChange && kinds[portableChange.kind]?.(portableChange.settings as never);
    if (change !== undefined) changes.set(id, change);
  }
  let prepared = batch;
  for (const { id, place } of steps) {
    const change = changes.get(id);
    if (change === undefined) throw optionError(`A worker thread cannot apply the step ${id}.`);
    prepared = await change(prepared, place);
  }
  const { batch: answer, memory: transfer } = transferable(prepared);
  return { answer, transfer };
}
