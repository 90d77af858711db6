/**
 * What a model was trained on, where its samples have no parts of their own and were divided: written into the model, so that whoever tests it on
 * the same samples, in whichever file, tests it on the others.
 *
 *     pith.trained-on = [["reviews.tsv",872,"5f0c9a…"]]
 */
import * as v from "valibot";
import { fileNameOf } from "#platform";
import { contentHash } from "./hash.ts";
import { memory } from "./indexed.ts";
import type { Parts } from "./parts.ts";
import type { Recording } from "./preprocessing-spec.ts";
import type { IndexedDataset } from "./types.ts";

export const trainedKey = "pith.trained-on";

/** The name of the file, how many samples it has, and their `printOf`. */
const entry = v.tuple([v.string(), v.number(), v.string()]);
type Entry = v.InferOutput<typeof entry>;

/** The entry of a model that is going to be trained on one part of divided data, and tested on another. */
export async function trainedEntry(
  model: Recording,
  path: string,
  { whole, all }: Pick<Parts, "whole" | "all">,
): Promise<string | undefined> {
  if (whole === undefined || all === undefined) return undefined;
  const own: Entry = [fileNameOf(path), whole, await printOf(all)];
  return JSON.stringify([...recorded(model).filter((one) => !isSame(one, own)), own]);
}

/** "the model was trained on the others", and in which file, if that has another name; undefined if it was not. */
export async function trainedOn(
  model: Recording,
  path: string,
  { all }: Pick<Parts, "all">,
): Promise<string | undefined> {
  const entries = recorded(model);
  if (all === undefined || entries.length === 0) return undefined;
  const own: Entry = [fileNameOf(path), all.count, await printOf(all)];
  const found = entries.find((one) => isSame(one, own));
  if (found === undefined) return undefined;
  return `the model was trained on the others${found[0] === own[0] ? "" : ` (in ${found[0]})`}`;
}

function isSame([, count, print]: Entry, [, ownCount, ownPrint]: Entry): boolean {
  return count === ownCount && print === ownPrint;
}

/** Samples that are hashed: whole files may have gigabytes. */
const most = 64;

/** A hash of samples spread evenly from the first to the last, without labels, which are numbered as a model names its classes. */
async function printOf(all: IndexedDataset): Promise<string> {
  const count = Math.min(most, all.count);
  const positions = Uint32Array.from({ length: count }, (_, at) =>
    Math.round((at * (all.count - 1)) / Math.max(1, count - 1)),
  );
  const { label, ...columns } = await all.gather(positions);
  const hashed = Object.keys(columns).length === 0 && label !== undefined ? { label } : columns;
  return (await contentHash(memory(all.name, hashed))).slice(0, 16);
}

/** Metadata that others wrote may hold anything: what is not of this form is not read. */
function recorded({ header }: Recording): readonly Entry[] {
  try {
    const found: unknown = JSON.parse(header.metadata.get(trainedKey) ?? "[]");
    return Array.isArray(found) ? found.filter((one) => v.is(entry, one)) : [];
  } catch {
    return [];
  }
}
