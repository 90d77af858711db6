/** Writes the node (Reshape, Squeeze or Unsqueeze) that gives a value other dimensions in the same storage order. */
import { type Dim, type Emit, sameDims, type Value } from "#graph";
import type { Site } from "../define.ts";
import { range } from "../shared/rules.ts";
import { reshapeTarget } from "./layout.ts";

/** The node that changes dimensions, or "none" if the dimensions are equal. */
export type DimsChange =
  | { readonly op: "none" }
  | { readonly op: "Reshape"; readonly shape: readonly number[] }
  | { readonly op: "Squeeze" | "Unsqueeze"; readonly axes: readonly number[] };

/** Returns the node that changes dimensions; undefined if no node with a stored shape or stored axes does. */
export function dimsChange(from: readonly Dim[], to: readonly Dim[]): DimsChange | undefined {
  if (sameDims(from, to)) return { op: "none" };
  const shape = reshapeTarget(from, to);
  if (shape !== undefined) return { op: "Reshape", shape };
  const squeezed = unitAxes(from, to);
  if (squeezed !== undefined) return { op: "Squeeze", axes: squeezed };
  const unsqueezed = unitAxes(to, from);
  return unsqueezed && { op: "Unsqueeze", axes: unsqueezed };
}

/** Returns the axes of length 1 that `longer` has in addition to `shorter`; undefined if another axis differs. */
function unitAxes(longer: readonly Dim[], shorter: readonly Dim[]): readonly number[] | undefined {
  let shorterAxis = 0;
  const extraAxes = range(longer.length).filter((axis) => {
    const isPresent = shorterAxis < shorter.length && longer[axis] === shorter[shorterAxis];
    if (isPresent) shorterAxis++;
    return !isPresent;
  });
  return shorterAxis === shorter.length && extraAxes.every((axis) => longer[axis] === 1) ? extraAxes : undefined;
}

export function changeDims(emit: Emit, x: Value, change: DimsChange, version: Site["version"]): Value {
  if (change.op === "none") return x;
  if (change.op === "Reshape") return emit.Reshape([x, change.shape]);
  return version < 13 ? emit[change.op]([x], { axes: change.axes }) : emit[change.op]([x, change.axes]);
}
