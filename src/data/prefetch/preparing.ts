/** The worker module of `feed.ts`: prepares batches in another thread, and transfers their arrays back. */

import { type BatchChange, type BatchPosition, type PortableStep, transferable } from "#batches";
import { type Batch, optionError } from "#ir";
import type { Answer } from "#platform";
import { augmentation } from "../images/augment.ts";
import { preprocessing } from "../images/preprocess.ts";
import { tokenization } from "../text/sequences.ts";

export interface PrepareRequest {
  readonly batch: Batch;
  /** In order. `portable` is sent once per thread and `id`, because its settings can include a large vocabulary. */
  readonly steps: readonly {
    readonly id: number;
    readonly position: BatchPosition;
    readonly portable?: PortableStep;
  }[];
}

/** By `PortableStep.kind`. */
const changeFactories: Readonly<Record<string, (settings: never) => BatchChange>> = {
  preprocess: preprocessing,
  augment: augmentation,
  tokenize: tokenization,
};

const changes = new Map<number, BatchChange>();

export default async function prepare({ batch, steps }: PrepareRequest): Promise<Answer> {
  for (const { id, portable: portableChange } of steps) {
    const change = portableChange && changeFactories[portableChange.kind]?.(portableChange.settings as never);
    if (change !== undefined) changes.set(id, change);
  }
  let preparedBatch = batch;
  for (const { id, position } of steps) {
    const change = changes.get(id);
    if (change === undefined) throw optionError(`A worker thread cannot apply the step ${id}.`);
    preparedBatch = await change(preparedBatch, position);
  }
  const { batch: answer, memory: transfer } = transferable(preparedBatch);
  return { answer, transfer };
}
