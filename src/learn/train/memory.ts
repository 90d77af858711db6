/** Estimates the memory of a model's values from their types and dimensions. Stored tensors do not count. */
import { bytesFor, elementCount, fixedDims, type Model, type Node, usedValues, type Value } from "#ir";

/** Maximum bytes of values that a training keeps. A step needs two to four times as many: gradients and kernel copies. */
export const memoryLimit = 1.25 * 2 ** 30;

/** Returns the bytes of all computed values. The forward pass of a training step keeps most of them. */
export function computedBytes({ graph }: Model): number {
  return [...graph.nodes()].reduce((sum, node) => sum + outputBytes(node), 0);
}

/** Returns the peak bytes if nodes run in their order and each value is released after its last use. */
export function peakBytes({ graph }: Model): number {
  const uses = new Map<Value, number>();
  for (const node of graph.nodes())
    for (const value of new Set(usedValues(node))) uses.set(value, (uses.get(value) ?? 0) + 1);
  let [bytes, peak] = [0, 0];
  for (const node of graph.nodes()) {
    bytes += outputBytes(node);
    peak = Math.max(peak, bytes);
    for (const value of new Set(usedValues(node))) {
      const remaining = (uses.get(value) ?? 0) - 1;
      uses.set(value, remaining);
      if (remaining === 0 && value.producer !== undefined && !graph.isOutput(value)) bytes -= bytesOf(value);
    }
  }
  return peak;
}

const outputBytes = ({ outputs }: Node): number =>
  outputs.reduce((sum, output) => sum + (output === undefined ? 0 : bytesOf(output)), 0);

/** Returns the bytes of a computed value; 0 if its size is unknown. */
export function bytesOf({ type, tensor }: Value): number {
  const dims = fixedDims(type?.dims);
  if (type === undefined || type.type === "string" || dims === undefined || tensor !== undefined) return 0;
  return bytesFor(type.type, elementCount(dims));
}
