/** What the file of a model weighs: bytes, parameters, operations. */
import type { Size } from "../evaluate/index.ts";
import { type OperationCount, operationsFormula } from "../report/operation-count.ts";

export interface Weight extends Size {
  readonly parameters: number;
  /** The share of zeros among them; undefined for codes, and where the size after brotli is sampled as well. */
  readonly zeros: number | undefined;
  /** Undefined where an operator's cost is not known. */
  readonly macs: OperationCount | undefined;
}

/** Whether a result computes more or less than its original. */
export function computesOther(before: Pick<Weight, "macs">, after: Pick<Weight, "macs">): boolean {
  if (before.macs === undefined || after.macs === undefined) return before.macs !== after.macs;
  return operationsFormula(before.macs) !== operationsFormula(after.macs);
}

/** Bytes of the largest model that is timed: it is loaded beside its original. */
export const largestTimed = 2 ** 29;

/** For `--json`. */
export function weightRecord(weight: Weight): object {
  return { ...weight, macs: weight.macs && operationsFormula(weight.macs) };
}
