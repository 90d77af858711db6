/** Size and cost of a model, as commands print and record them. */
import type { CompressedSize } from "../../../runtime/run/size.ts";
import { type OperationCount, operationsFormula } from "../../report/operation-count.ts";

export interface Weight extends Partial<CompressedSize> {
  readonly bytes: number;
  /** Bytes of the exporter's metadata, which `bytes` does not count; undefined if there is none. */
  readonly metadata?: number;
  readonly parameters: number;
  /** Share of weights that are zero; undefined for quantized models and for weights above 64 MiB. */
  readonly zeros: number | undefined;
  readonly macs: OperationCount | undefined;
}

export function hasDifferentMacs(before: Pick<Weight, "macs">, after: Pick<Weight, "macs">): boolean {
  if (before.macs === undefined || after.macs === undefined) return before.macs !== after.macs;
  return operationsFormula(before.macs) !== operationsFormula(after.macs);
}

export function weightRecord(weight: Weight): object {
  return { ...weight, macs: weight.macs && operationsFormula(weight.macs) };
}
