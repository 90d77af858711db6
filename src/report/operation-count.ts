import { type Dim, dimText, productParts } from "../tensor/dims.ts";

/** `count` for each `per` ("batch", "batch*seq"), or in all. */
export interface OperationCount {
  readonly count: number | undefined;
  readonly per: string | undefined;
}

export function operationCount(dim: Dim | undefined): OperationCount | undefined {
  if (dim === undefined) return undefined;
  const [count, per = ""] = productParts(dim) ?? [];
  // A formula of several sizes, "floor((n + 1)/2)", is not a unit.
  return per.includes(" ") || count === undefined
    ? { count: undefined, per: dimText(dim) }
    : { count, per: per === "" ? undefined : per };
}

/** "1200", "4*batch", "2*seq + 1" */
export function operationsFormula({ count, per }: OperationCount): string {
  if (count === undefined || per === undefined) return per ?? String(count);
  return count === 1 ? per : `${count}*${per}`;
}

/** Returns the counts of two models if both refer to the same sizes. */
export function comparableCounts(
  a: OperationCount | undefined,
  b: OperationCount | undefined,
): readonly [number, number] | undefined {
  return a?.count === undefined || b?.count === undefined || a.per !== b.per ? undefined : [a.count, b.count];
}
