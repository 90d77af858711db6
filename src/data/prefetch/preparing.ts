/** Prepares batches in another thread. Arrays are transferred back without copies; settings are sent once per thread. */
import type { Answer } from "#platform";
import { PithError } from "../../core/errors.ts";
import type { Batch } from "../../core/tensor/types.ts";
import type { BatchChange, Place, Portable } from "../batches/pending-batch.ts";
import { augmentation } from "../images/augment.ts";
import { preprocessing } from "../images/preprocess.ts";
import { tokenization } from "../text/sequences.ts";
import { handedOver } from "./batch-memory.ts";

export interface PreparingQuestion {
  /** Changes that are new to the thread, with their numbers. */
  readonly learn: readonly (Portable & { readonly change: number })[];
  readonly batch: Batch;
  readonly changes: readonly { readonly change: number; readonly place: Place }[];
}

/** Creates changes from settings by `Portable.kind`. */
const kinds: Readonly<Record<string, (settings: never) => BatchChange>> = {
  preprocess: preprocessing,
  augment: augmentation,
  tokenize: tokenization,
};

const known = new Map<number, BatchChange>();

export default async function prepare({ learn, batch, changes }: PreparingQuestion): Promise<Answer> {
  for (const { change, kind, settings } of learn) {
    const make = kinds[kind];
    if (make !== undefined) known.set(change, make(settings as never));
  }
  let made = batch;
  for (const { change, place } of changes) {
    const apply = known.get(change);
    if (apply === undefined) throw new PithError("E_OPTION", `A worker thread cannot apply the step ${change}.`);
    made = await apply(made, place);
  }
  const { batch: answer, memory } = handedOver(made);
  return { answer, transfer: memory };
}
