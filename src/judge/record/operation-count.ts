/** Converts, compares and formats counts of operations that can depend on symbolic sizes, such as multiply-accumulates per batch. */
import { count, type Dim, dimText, isUnknownDim, joinList, productParts, symbol } from "#ir";

/** `count` for each `per` ("batch", "batch*seq"), or in all if `per` is undefined. */
export interface OperationCount {
  readonly count: number | undefined;
  readonly per: string | undefined;
}

export function operationCountOf(dim: Dim | undefined): OperationCount | undefined {
  if (dim === undefined) return undefined;
  const [count, per = ""] = productParts(dim) ?? [];
  // A sum or a formula, such as "floor((n + 1)/2)", is not a unit.
  return per.includes(" ") || count === undefined
    ? { count: undefined, per: dimText(dim) }
    : { count, per: per === "" ? undefined : per };
}

/** Returns "1200", "4*batch", "2*seq + 1". */
export function operationsFormula({ count, per }: OperationCount): string {
  if (count === undefined || per === undefined) return per ?? String(count);
  return count === 1 ? per : `${count}*${per}`;
}

export const isEqualCount = (a: OperationCount | undefined, b: OperationCount | undefined): boolean =>
  a === undefined || b === undefined ? a === b : operationsFormula(a) === operationsFormula(b);

/** Returns undefined if the counts are per different sizes, such as per sample and per token. */
export function comparableCounts(
  a: OperationCount | undefined,
  b: OperationCount | undefined,
): readonly [number, number] | undefined {
  return a?.count === undefined || b?.count === undefined || a.per !== b.per ? undefined : [a.count, b.count];
}

const maxFormulaLength = 40;

/** Returns "1.20 k × batch", "depends on batch and sequence", or "?" if it is unknown. */
export function operationsText(value: OperationCount | undefined): string {
  if (value === undefined) return "?";
  const { per = "" } = value;
  // A dimension that is known only at run time has no name.
  if (per !== "" && isUnknownDim(symbol(per))) return "?";
  if (per.length > maxFormulaLength) {
    const names = new Set(per.replaceAll(/\b[a-z]+\(/g, "(").match(/[A-Za-z_][\w.]*/g));
    return `depends on ${joinList([...names], Number.POSITIVE_INFINITY)}`;
  }
  if (value.count === undefined) return value.per === undefined ? "?" : termsText(value.per);
  return value.per === undefined ? count(value.count) : `${count(value.count)} × ${value.per}`;
}

/** "1024*batch*seq*seq + 786432*batch*seq" → "1,024 × batch*seq*seq + 786 k × batch*seq". */
function termsText(sum: string): string {
  const terms = sum.split(" + ").map((term) => /^(\d+)\*(.+)$/.exec(term));
  if (terms.some((term) => term === null)) return sum;
  return terms.map((term) => `${count(Number(term?.[1]))} × ${term?.[2]}`).join(" + ");
}
