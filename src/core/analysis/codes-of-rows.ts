/**
 * Finds the dequantization of rows that a Gather selects from a quantized embedding table. `layers.ts` needs the width of a dequantized row, and must
 * not count the Gathers that select scales as layers.
 *      h = (digits(Gather(values, ids)) - digits(Gather(zero_point, ids))) · Gather(scale, ids)
 * `digits` unpacks values below 8 bits, of which a byte contains several. A row then has more elements than stored bytes.
 */
import { type Node, usedValues, type Value } from "../graph/graph.ts";
import type { WeightRole } from "../ops/entry.ts";
import { isFloat } from "../tensor/convert.ts";
import type { Inference } from "./infer.ts";
import { storedRoot } from "./stored-root.ts";

/** The dequantization of selected rows: the number of elements of a row, and the nodes that select scales or zero points. */
export interface RowDequantization {
  readonly width: number;
  readonly scales: readonly Node[];
}

/** The maximum number of scales or zero points per stored byte of a row. */
const maxScaleShare = 1 / 4;
const codeTypes: ReadonlySet<unknown> = new Set(["uint8", "int8"]);

/** Finds the dequantization of the rows that a lookup selects. Its nodes read only stored tensors and the indices of the lookup. */
export function findRowDequantization(
  node: Node,
  { input, data }: WeightRole,
  inference: Inference,
): RowDequantization | undefined {
  const [table, indices, rows] = [node.inputs[input], node.inputs[data], node.outputs[0]];
  const elements = lastDim(rows);
  const weightsOf = (step: Node): readonly WeightRole[] => inference.facet(step, "weights") ?? [];
  if (table === undefined || indices === undefined || rows === undefined || elements === undefined) return undefined;
  if (!codeTypes.has(storedRoot(table)?.type?.type)) return undefined;
  /** Returns whether a node reads no weight, or selects values few enough to be scales or zero points. */
  const isStep = (step: Node): boolean => {
    const [role] = weightsOf(step);
    if (role === undefined) return true;
    const share = (lastDim(step.outputs[0]) ?? elements) / elements;
    return role.kind === "lookup" && step.inputs[role.data] === indices && share <= maxScaleShare;
  };
  const derivedValues = new Set<Value>([rows]);
  const computedValues = new Set<Value>([indices, rows]);
  let width = elements;
  for (const value of derivedValues)
    for (const { node: next } of value.uses) {
      if (!computeFrom(next, computedValues, isStep)) continue;
      for (const output of next.outputs) {
        if (output === undefined) continue;
        derivedValues.add(output);
        const outputWidth = lastDim(output);
        const isRow = output.type?.dims?.length === rows.type?.dims?.length && isFloat(output.type?.type ?? "bool");
        // A byte holds at most 8 values.
        if (isRow && outputWidth !== undefined && outputWidth <= 8 * elements) width = Math.max(width, outputWidth);
      }
    }
  const steps = new Set([...computedValues].flatMap(({ producer }) => producer ?? []));
  steps.delete(node);
  return { width, scales: [...steps].filter((step) => weightsOf(step).length > 0) };
}

function lastDim(value: Value | undefined): number | undefined {
  const last = value?.type?.dims?.at(-1);
  return typeof last === "number" ? last : undefined;
}

/**
 * Returns whether `node` and its producers all pass `isStep` and read only stored tensors or values in `computed`. Adds their outputs to `computed`.
 */
function computeFrom(node: Node, computed: Set<Value>, isStep: (node: Node) => boolean): boolean {
  const pending = [node];
  for (let next = pending.at(-1); next !== undefined; next = pending.at(-1)) {
    if (!isStep(next)) return false;
    const missingValues = usedValues(next).filter((value) => value.tensor === undefined && !computed.has(value));
    for (const { producer } of missingValues) {
      if (producer === undefined) return false;
      pending.push(producer);
    }
    if (missingValues.length > 0) continue;
    pending.pop();
    for (const output of next.outputs) if (output !== undefined) computed.add(output);
  }
  return true;
}
