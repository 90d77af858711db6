/** The data at a path as it is stored: with predefined splits, as test samples only, or as one set that can be divided. */

import { type Dataset, isIndexed, type Part, split } from "#batches";
import { dataError } from "#ir";

/** The data at a path before a split is selected. */
export interface Source {
  /** For error messages. */
  readonly owner: string;
  /** Opens the samples that are used if no split is requested. */
  openDefault(): Promise<Dataset>;
  readonly parts: { readonly [part in Part]?: () => Promise<Dataset> };
  /** Whether the source has no splits and can be divided into training and test samples. */
  readonly isDivisible: boolean;
}

const partNames = ["train", "test"] as const;

export function mapParts<A, B>(
  parts: { readonly [part in Part]?: A | undefined },
  change: (value: A, part: Part) => B | undefined,
): { readonly [part in Part]?: B } {
  const entries = partNames.flatMap((part) => {
    const { [part]: value } = parts;
    const result = value === undefined ? undefined : change(value, part);
    return result === undefined ? [] : [[part, result] as const];
  });
  return Object.fromEntries(entries);
}

/** Opens by default `defaultPart`, or the training split if that part is missing. */
export function sourceOfParts(owner: string, parts: Source["parts"], defaultPart: Part = "test"): Source {
  const openDefault = parts[defaultPart] ?? parts.train;
  if (openDefault === undefined) throw new Error(`${owner} has no parts.`);
  return { owner, openDefault, parts, isDivisible: false };
}

export function sourceOfPart(owner: string, part: Part, read: () => Promise<Dataset>): Source {
  return sourceOfParts(owner, { [part]: read });
}

export function sourceOfSamples(dataset: Dataset): Source {
  return { owner: dataset.name, openDefault: async () => dataset, parts: {}, isDivisible: true };
}

/** @param testCountOf used if the source has to be divided. @throws PithError E_DATA if the source lacks the split and cannot be divided. */
export async function readPart(
  { owner, openDefault, parts, isDivisible: divisible }: Source,
  part: Part | undefined,
  testCountOf: (count: number) => number = defaultTestCount,
): Promise<Dataset> {
  if (part === undefined) return openDefault();
  const { [part]: read } = parts;
  if (read !== undefined) return read();
  if (divisible) return divideIntoPart(await openDefault(), part, testCountOf);
  const available = partNames.filter((name) => parts[name] !== undefined).join(" and ");
  throw dataError(`"${owner}" has no ${part} part, only ${available}.`);
}

/** Returns a fifth, which can be fractional. */
export const defaultTestCount = (count: number): number => 0.2 * count;

/** Returns the same random samples each time. @throws PithError E_DATA if there are too few for training. */
function divideIntoPart(dataset: Dataset, part: Part, testCountOf: (count: number) => number): Dataset {
  if (!isIndexed(dataset)) return dataset;
  const share = testCountOf(dataset.count) / Math.max(1, dataset.count);
  const [train = dataset, test = dataset] = split(dataset, [1 - share, share], 0);
  if (test.count > 0) return { ...(part === "train" ? train : test), name: `${dataset.name} (${part})` };
  if (part === "test") return dataset;
  const samples = `${dataset.count} ${dataset.count === 1 ? "sample" : "samples"}`;
  throw dataError(`${dataset.name} has ${samples}, too few to split into training and test samples.`);
}
