/** Finds the stored tensor behind a value, through masks, dequantization and rearrangement. */
import { elementCount, fixedDims, Miss, operatorName, subgraphs, type Value } from "#graph";
import { entryOf } from "../ops/index.ts";
import { valueAt } from "./channel-links.ts";
import type { Inference } from "./infer.ts";
import type { Layer } from "./layers.ts";

/** Returns the first stored tensor that a search backward from a value finds, through inputs that can contain its elements. */
export function storedRoot(value: Value): Value | undefined {
  // Uses a stack instead of recursion, because the chain of nodes can be as long as the network is deep.
  const seen = new Set<Value>();
  const pending = [value];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (next.tensor !== undefined) return next;
    if (seen.has(next)) continue;
    seen.add(next);
    pending.push(...sourcesOf(next).reverse());
  }
  return undefined;
}

/** Returns the producer's inputs with as many elements as the value, then byte inputs that can hold the elements packed. */
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

/** Returns whether a value is stored or computed only from stored tensors. */
export function isStored(value: Value): boolean {
  return whyNotStored(value) === undefined;
}

/** Returns why `readStored` cannot read a value. */
export function whyNotStored(value: Value): Miss | undefined {
  const seen = new Set<Value>();
  const pending = [value];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (seen.has(next) || next.tensor !== undefined) continue;
    seen.add(next);
    const { name, producer } = next;
    if (producer === undefined || subgraphs(producer).length > 0) return new Miss(`"${name}" is computed at run time`);
    const { domain, op, inputs, attributes } = producer;
    const entry = entryOf(producer);
    if (inputs.length === 0 && entry?.holds?.((name) => attributes.get(name)) === undefined)
      return new Miss(`"${name}" is computed at run time`);
    if (entry === undefined) return new Miss(`"${name}" is computed by ${operatorName({ domain, op })}`);
    for (const input of inputs.toReversed()) if (input !== undefined) pending.push(input);
  }
  return undefined;
}

export function transposedMatrixOf({ producer: node, type }: Value, inference: Inference): Value | undefined {
  if (node === undefined || node.inputs.length !== 1 || type?.dims?.length !== 2) return undefined;
  const links = inference.facet(node, "axes")?.links ?? [];
  const crosses = links.map((link) => "from" in link && link.map === undefined && link.from[1] !== link.to[1]);
  return crosses.length === 2 && crosses.every(Boolean) ? node.inputs[0] : undefined;
}

export interface StoredAxis {
  readonly axis: number;
  /** Whether an output channel can have another index in the stored weight than in the layer. */
  readonly isRenumbered: boolean;
}

/** Returns the axis of the stored weight that corresponds to the layer's output channels. */
export function storedOutputAxis({ role, effective, weight }: Layer, inference: Inference): StoredAxis | undefined {
  return storedAxis(effective, { axis: role.out, isRenumbered: false }, weight, inference);
}

function storedAxis(
  value: Value,
  { axis, isRenumbered }: StoredAxis,
  root: Value,
  inference: Inference,
): StoredAxis | undefined {
  if (value === root) return { axis, isRenumbered };
  const node = value.producer;
  if (node === undefined) return undefined;
  for (const link of inference.facet(node, "axes")?.links ?? []) {
    if (!("from" in link)) continue;
    for (const [near, far] of [
      [link.to, link.from],
      [link.from, link.to],
    ] as const) {
      const source = valueAt(node, far[0]);
      if (near[0] !== "out0" || near[1] !== axis || source === undefined || storedRoot(source) !== root) continue;
      const next = { axis: far[1], isRenumbered: isRenumbered || link.map !== undefined };
      return storedAxis(source, next, root, inference);
    }
  }
  return undefined;
}
