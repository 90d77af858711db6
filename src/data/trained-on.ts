/**
 * What a model was trained on, where its samples have no parts of their own and were divided: written into the model, so that whoever tests it on
 * the same data tests it on the others.
 *
 *     pith.trained-on = [["reviews.tsv",872]]
 */
import { fileNameOf } from "#platform";
import type { Parts } from "./parts.ts";
import type { Recording } from "./preprocessing-spec.ts";

export const trainedKey = "pith.trained-on";

/** Of data by the name of its file, how many samples it has. */
type Entry = readonly [name: string, samples: number];

/** The entry of a model that is going to be trained on one part of divided data, and tested on another. */
export function trainedEntry(model: Recording, path: string, { whole }: Pick<Parts, "whole">): string | undefined {
  if (whole === undefined) return undefined;
  const others = recorded(model).filter((entry) => !isSame(entry, path, whole));
  return JSON.stringify([...others, [fileNameOf(path), whole]]);
}

/** Whether a model was trained on some of these samples. */
export function wasTrainedOn(model: Recording, path: string, samples: number | undefined): boolean {
  return recorded(model).some((entry) => isSame(entry, path, samples));
}

function isSame([name, samples]: Entry, path: string, count: number | undefined): boolean {
  return name === fileNameOf(path) && samples === count;
}

/** Metadata that others wrote may hold anything: what is not of this form is not read. */
function recorded({ header }: Recording): readonly Entry[] {
  try {
    const found: unknown = JSON.parse(header.metadata.get(trainedKey) ?? "[]");
    return Array.isArray(found) ? found.filter(isEntry) : [];
  } catch {
    return [];
  }
}

function isEntry(value: unknown): value is Entry {
  return Array.isArray(value) && typeof value[0] === "string" && typeof value[1] === "number";
}
