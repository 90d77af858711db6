/**
 * Finds dequantizations of selected table rows. Layers need the row width, and the Gathers of scales must not count as layers.
 *      h = (digits(Gather(values, ids)) - digits(Gather(zero_point, ids))) · Gather(scale, ids)
 * `digits` unpacks values of a byte. Values below 8 bits share bytes, so a row has more elements than stored bytes.
 */
import { type Node, usedValues, type Value } from "../graph/graph.ts";
import type { WeightRole } from "../ops/entry.ts";
import { isFloat } from "../tensor/convert.ts";
import type { Inference } from "./infer.ts";
import { storedRoot } from "./stored-root.ts";

/** The dequantization of selected rows: the number of elements of a row, and the nodes that select scales or zero points. */
export interface RowsOfCodes {
  readonly width: number;
  readonly scales: readonly Node[];
}

/** The maximum number of scales or zero points per element of a row. A block that shares a scale is assumed to have at least 16 elements. */
const maxScaleShare = 1 / 4;
const codes: ReadonlySet<unknown> = new Set(["uint8", "int8"]);

/** Finds the dequantization of selected rows. Its nodes read only stored tensors and the same indices. */
export function rowsOfCodes(node: Node, { input, data }: WeightRole, inference: Inference): RowsOfCodes | undefined {
  const [table, indices, picked] = [node.inputs[input], node.inputs[data], node.outputs[0]];
  const elements = lastDim(picked);
  const weightsOf = (step: Node): readonly WeightRole[] => inference.facet(step, "weights") ?? [];
  if (table === undefined || indices === undefined || picked === undefined || elements === undefined) return undefined;
  if (!codes.has(storedRoot(table)?.type?.type)) return undefined;
  /** Returns whether a node reads no weight, or selects values few enough to be scales or zero points. */
  const isStep = (step: Node): boolean => {
    const [role] = weightsOf(step);
    if (role === undefined) return true;
    const share = (lastDim(step.outputs[0]) ?? elements) / elements;
    return role.kind === "lookup" && step.inputs[role.data] === indices && share <= maxScaleShare;
  };
  const reached = new Set<Value>([picked]);
  const computed = new Set<Value>([indices, picked]);
  let width = elements;
  for (const value of reached)
    for (const { node: next } of value.uses) {
      if (!follows(next, computed, isStep)) continue;
      for (const output of next.outputs) {
        if (output === undefined) continue;
        reached.add(output);
        const outputWidth = lastDim(output);
        const isRow = output.type?.dims?.length === picked.type?.dims?.length && isFloat(output.type?.type ?? "bool");
        // A byte holds at most 8 values.
        if (isRow && outputWidth !== undefined && outputWidth <= 8 * elements) width = Math.max(width, outputWidth);
      }
    }
  const steps = new Set([...computed].flatMap(({ producer }) => producer ?? []));
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
function follows(node: Node, computed: Set<Value>, isStep: (node: Node) => boolean): boolean {
  const open = [node];
  for (let next = open.at(-1); next !== undefined; next = open.at(-1)) {
    if (!isStep(next)) return false;
    const unknown = usedValues(next).filter((value) => value.tensor === undefined && !computed.has(value));
    for (const { producer } of unknown) {
      if (producer === undefined) return false;
      open.push(producer);
    }
    if (unknown.length > 0) continue;
    open.pop();
    for (const output of next.outputs) if (output !== undefined) computed.add(output);
  }
  return true;
}
