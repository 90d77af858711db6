/**
 * Records in a model on which samples of a divided data set it was trained, so that later tests exclude them.
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

/** File name, number of samples, and their `printOf`. */
const entry = v.tuple([v.string(), v.number(), v.string()]);
type Entry = v.InferOutput<typeof entry>;

export async function trainedEntry(
  model: Recording,
  path: string,
  { whole, all }: Pick<Parts, "whole" | "all">,
): Promise<string | undefined> {
  if (whole === undefined || all === undefined) return undefined;
  const own: Entry = [fileNameOf(path), whole, await printOf(all)];
  return JSON.stringify([...recorded(model).filter((one) => !isSame(one, own)), own]);
}

/** Returns a note that the model was trained on the other samples, and the file if its name differs; undefined otherwise. */
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

/** Number of hashed samples, because files can be large. */
const most = 64;

/** Hashes evenly spread samples without labels, whose numbers depend on the model. */
async function printOf(all: IndexedDataset): Promise<string> {
  const count = Math.min(most, all.count);
  const positions = Uint32Array.from({ length: count }, (_, at) =>
    Math.round((at * (all.count - 1)) / Math.max(1, count - 1)),
  );
  const { label, ...columns } = await all.gather(positions);
  const hashed = Object.keys(columns).length === 0 && label !== undefined ? { label } : columns;
  return (await contentHash(memory(all.name, hashed))).slice(0, 16);
}

/** Other tools can write any metadata, so invalid entries are ignored. */
function recorded({ header }: Recording): readonly Entry[] {
  try {
    const found: unknown = JSON.parse(header.metadata.get(trainedKey) ?? "[]");
    return Array.isArray(found) ? found.filter((one) => v.is(entry, one)) : [];
  } catch {
    return [];
  }
}
