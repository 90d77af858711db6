/** Describes how a layer's weight is stored: its shape, the type of its values, and their bits. */

import { bitsOf, fixedDims, isFloat, type Node } from "#graph";
import { entryOf } from "../ops/index.ts";
import { type Layer, weightCount } from "./layers.ts";
import { storedRoot } from "./stored-root.ts";
import { isQuantized } from "./weight-needs.ts";

export interface StoredForm {
  readonly dims: readonly number[];
  /** A text such as "float32", "int8", "4 bits" or "palette of 4 bits". */
  readonly type: string;
}

export function storedForm(layer: Layer): StoredForm {
  const { type, dims: storedDims } = layer.weight.type ?? {};
  const form = { dims: fixedDims(storedDims) ?? [], type: type ?? "?" };
  const bits = weightBits(layer);
  if (layer.isScale || bits === undefined || !isQuantized(layer)) return form;
  const dims = weightDims(layer);
  const isArranged = dims.toSorted().join() === form.dims.toSorted().join();
  const typeBits = type === undefined || type === "string" ? undefined : bitsOf[type];
  const storedType = layer.role.packed === undefined && bits === typeBits ? form.type : `${bits} bits`;
  return { dims: isArranged ? form.dims : dims, type: hasPalette(layer) ? `palette of ${bits} bits` : storedType };
}

/** Returns the dimensions of the unpacked weight. A lookup selects rows before it unpacks them, so its output size is that of a row. */
function weightDims({ role, effective, outputs, inputs }: Layer): readonly number[] {
  if (role.packed !== undefined) return [outputs, inputs];
  const dims = fixedDims(effective.type?.dims) ?? [];
  return role.kind === "lookup" ? dims.with(role.out, outputs) : dims;
}

/** Returns the bits per stored value of a weight. */
export function weightBits(layer: Layer): number | undefined {
  const { tensor } = layer.weight;
  if (tensor === undefined || tensor.type === "string") return undefined;
  if (layer.role.packed !== undefined) return layer.role.packed.bits;
  // A palette packs several indices into each byte.
  return tensor.type === "uint8" ? Math.round((8 * tensor.bytes) / (weightCount(layer) || 1)) : bitsOf[tensor.type];
}

/** Returns whether the stored integers are indices into a palette of floats. */
export const hasPalette = (layer: Layer): boolean =>
  [...weightNodes(layer)].some((node) => {
    const types = node.inputs.flatMap((input) => input?.type?.type ?? []);
    const isIndexed = node.inputs.some(
      (input) => input?.type !== undefined && !isFloat(input.type.type) && storedRoot(input) === layer.weight,
    );
    return isIndexed && types.some(isFloat) && entryOf(node)?.codes === undefined;
  });

/** Returns the nodes that compute a layer's weight from its stored tensor. */
export function weightNodes({ effective, weight }: Layer): ReadonlySet<Node> {
  const steps = new Set<Node>();
  const pending = [effective];
  for (const value of pending) {
    const { producer } = value;
    if (producer === undefined || steps.has(producer) || storedRoot(value) !== weight) continue;
    steps.add(producer);
    for (const input of producer.inputs) if (input !== undefined) pending.push(input);
  }
  return steps;
}
