/** Finds the stored tensor behind a value, through masks, dequantization and rearrangement. */
import { Miss } from "../errors.ts";
import { operatorName, subgraphs, type Value } from "../graph/graph.ts";
import { entryOf } from "../ops/index.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";
import { valueAt } from "./channel-links.ts";
import type { Inference } from "./infer.ts";
import type { Layer } from "./layers.ts";

/**
 * Returns the stored tensor behind a value; undefined if there is none. Follows inputs with the same number of
 * elements, then inputs that can hold the elements packed. Masks are not followed.
 */
export function storedRoot(value: Value): Value | undefined {
  // Uses a stack instead of recursion, because the chain of nodes can be as long as the network is deep.
  const seen = new Set<Value>();
  const open = [value];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (next.tensor !== undefined) return next;
    if (seen.has(next)) continue;
    seen.add(next);
    open.push(...sourcesOf(next).reverse());
  }
  return undefined;
}

/** Returns the producer's inputs with the same number of elements as the value, then byte inputs that can hold the elements packed. */
function sourcesOf({ type, producer }: Value): Value[] {
  const dims = fixedDims(type?.dims);
  if (producer === undefined || dims === undefined) return [];
  const count = elementCount(dims);
  const [equal, packed]: [Value[], Value[]] = [[], []];
  for (const input of producer.inputs) {
    const inputDims = fixedDims(input?.type?.dims);
    if (input === undefined || inputDims === undefined || input.role?.kind === "mask") continue;
    const inputCount = elementCount(inputDims);
    if (inputCount === count) equal.push(input);
    else if (input.type?.type === "uint8" && inputCount * 8 >= count) packed.push(input);
  }
  return [...equal, ...packed];
}

/** Returns whether a value is stored or computed only from stored tensors, so that `readStored` can read it. */
export function isStored(value: Value): boolean {
  return whyNotStored(value) === undefined;
}

/**
 * Returns why `readStored` cannot read a value; undefined if it can. The value may depend on a model input, or
 * on an operator that Pith does not know.
 */
export function whyNotStored(value: Value): Miss | undefined {
  const seen = new Set<Value>();
  const open = [value];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (seen.has(next) || next.tensor !== undefined) continue;
    seen.add(next);
    const { name, producer } = next;
    if (producer === undefined || subgraphs(producer).length > 0) return new Miss(`"${name}" is computed at run time`);
    const { domain, op, inputs, attributes } = producer;
    const entry = entryOf(producer);
    if (inputs.length === 0 && entry?.holds?.((name) => attributes.get(name)) === undefined)
      return new Miss(`"${name}" is computed at run time`);
    if (entry === undefined) return new Miss(`"${name}" is computed by ${operatorName({ domain, op })}`);
    for (const input of inputs.toReversed()) if (input !== undefined) open.push(input);
  }
  return undefined;
}

/** Returns the input of a node that only transposes a matrix; undefined for values of other nodes. */
export function transpositionOf({ producer: node, type }: Value, inference: Inference): Value | undefined {
  if (node === undefined || node.inputs.length !== 1 || type?.dims?.length !== 2) return undefined;
  const links = inference.facet(node, "axes")?.links ?? [];
  const crosses = links.map((link) => "from" in link && link.map === undefined && link.from[1] !== link.to[1]);
  return crosses.length === 2 && crosses.every(Boolean) ? node.inputs[0] : undefined;
}

export interface StoredAxis {
  readonly axis: number;
  /** Whether channel indices in the stored weight differ from those in the layer. */
  readonly renumbered: boolean;
}

/** Returns the axis of the stored weight that holds the output channels; undefined if reshapes or other nodes hide it. */
export function storedOutputAxis({ role, effective, weight }: Layer, inference: Inference): StoredAxis | undefined {
  return axisBehind(effective, { axis: role.out, renumbered: false }, weight, inference);
}

function axisBehind(
  value: Value,
  { axis, renumbered }: StoredAxis,
  root: Value,
  inference: Inference,
): StoredAxis | undefined {
  if (value === root) return { axis, renumbered };
  const node = value.producer;
  if (node === undefined) return undefined;
  for (const link of inference.facet(node, "axes")?.links ?? []) {
    if (!("from" in link)) continue;
    for (const [near, far] of [
      [link.to, link.from],
      [link.from, link.to],
    ] as const) {
      const before = valueAt(node, far[0]);
      if (near[0] !== "out0" || near[1] !== axis || before === undefined || storedRoot(before) !== root) continue;
      const next = { axis: far[1], renumbered: renumbered || link.map !== undefined };
      return axisBehind(before, next, root, inference);
    }
  }
  return undefined;
}
