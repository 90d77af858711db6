/** Writes changes of dimensions that keep the storage order. */
import type { Emit } from "../../graph/emit.ts";
import type { Value } from "../../graph/graph.ts";
import { type Dim, sameDims } from "../../tensor/dims.ts";
import type { Site } from "../define.ts";
import { range } from "../shared/rules.ts";
import { reshapeTarget } from "./layout.ts";

/** One node that changes dimensions, or none. */
export type DimsChange =
  | { readonly op: "none" }
  | { readonly op: "Reshape"; readonly shape: readonly number[] }
  | { readonly op: "Squeeze" | "Unsqueeze"; readonly axes: readonly number[] };

/** Returns the node that changes dimensions; undefined if no constant states them. */
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
  let next = 0;
  const extra = range(longer.length).filter((axis) => {
    const isPresent = next < shorter.length && longer[axis] === shorter[next];
    if (isPresent) next++;
    return !isPresent;
  });
  return next === shorter.length && extra.every((axis) => longer[axis] === 1) ? extra : undefined;
}

export function changeDims(emit: Emit, x: Value, change: DimsChange, version: Site["version"]): Value {
  if (change.op === "none") return x;
  if (change.op === "Reshape") return emit.Reshape([x, change.shape]);
  return version < 13 ? emit[change.op]([x], { axes: change.axes }) : emit[change.op]([x, change.axes]);
}
