/** What lies at a path, before any part of it is read: parts of its own, or samples that may be divided. */
import { PithError } from "../errors.ts";
import { isIndexed } from "./indexed.ts";
import { split } from "./select.ts";
import type { Dataset, Part } from "./types.ts";

export interface Source {
  /** What errors call it. */
  readonly owner: string;
  /** What is read where no part is named. */
  usual(): Promise<Dataset>;
  /** The parts that it has. */
  readonly parts: { readonly [part in Part]?: () => Promise<Dataset> };
  /** It has no parts, and any of its samples may train or test. What else has no parts are test samples. */
  readonly divisible: boolean;
}

const partNames = ["train", "test"] as const;

/** What becomes of what is found for each part. */
export function partsOf<A, B>(
  found: { readonly [part in Part]?: A | undefined },
  change: (one: A, part: Part) => B | undefined,
): { readonly [part in Part]?: B } {
  const parts = partNames.flatMap((part) => {
    const { [part]: one } = found;
    const made = one === undefined ? undefined : change(one, part);
    return made === undefined ? [] : [[part, made] as const];
  });
  return Object.fromEntries(parts);
}

/** Parts, of which one is read where none is named: the test part, if there is one. */
export function ofParts(owner: string, parts: Source["parts"], wanted?: Part): Source {
  const usual = parts[wanted ?? "test"] ?? parts.train;
  if (usual === undefined) throw new Error(`${owner} has no parts.`);
  return { owner, usual, parts, divisible: false };
}

/** Samples that are all of one part. */
export function ofPart(owner: string, part: Part, read: () => Promise<Dataset>): Source {
  return ofParts(owner, { [part]: read });
}

export function ofSamples(dataset: Dataset): Source {
  return { owner: dataset.name, usual: async () => dataset, parts: {}, divisible: true };
}

/**
 * The part of that name, or the usual one.
 * @param tested the number of test samples, by the number of all samples, where one set is divided.
 * @throws PithError E_DATA for one that is not there.
 */
export async function readPart(
  { owner, usual, parts, divisible }: Source,
  part: Part | undefined,
  tested: (count: number) => number = usuallyTested,
): Promise<Dataset> {
  if (part === undefined) return usual();
  const { [part]: read } = parts;
  if (read !== undefined) return read();
  if (divisible) return portion(await usual(), part, tested);
  const found = partNames.filter((one) => parts[one] !== undefined).join(" and ");
  throw new PithError("E_DATA", `"${owner}" has no ${part} part, only ${found}.`);
}

/** Number of test samples where one set is divided into two parts: a fifth. They are drawn with seed 0. */
export const usuallyTested = (count: number): number => 0.2 * count;

/** @throws PithError E_DATA for the training part of samples too few to have two; they are test samples. */
function portion(dataset: Dataset, part: Part, tested: (count: number) => number): Dataset {
  if (!isIndexed(dataset)) return dataset;
  const share = tested(dataset.count) / Math.max(1, dataset.count);
  const [train = dataset, test = dataset] = split(dataset, [1 - share, share], 0);
  if (test.count > 0) return { ...(part === "train" ? train : test), name: `${dataset.name} (${part})` };
  if (part === "test") return dataset;
  const found = `${dataset.name} has ${dataset.count} ${dataset.count === 1 ? "sample" : "samples"}`;
  throw new PithError("E_DATA", `${found}, too few to split into training and test samples.`);
}
