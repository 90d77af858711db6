/**
 * Fingerprints a model without tensor contents, to prove that a pass changed nothing. Immutable tensors are identified by numbers, so fingerprints
 * are comparable only within a process. Clones share tensors, and so their fingerprint.
 */
import { hexadecimal } from "../tensor/dense.ts";
import { memoize } from "../tensor/memoize.ts";
import type { Tensor } from "../tensor/types.ts";
import { allGraphs, type Carried } from "./graph.ts";
import type { Model } from "./model.ts";
import { writeModel } from "./text.ts";

const numbers = new WeakMap<object, number>();
let count = 0;

/** Returns a unique number for an immutable object. */
export function identity(object: object): number {
  return memoize(numbers, object, () => ++count);
}

/**
 * Returns 16 hexadecimal digits that are equal exactly if structure, names, types, roles, attributes, metadata and tensor identities are
 * (up to a chance of 2⁻⁶⁴). Inferred types do not count.
 * @param keyOf identifies a tensor; by default equal elements in two tensors count as different.
 * @example
 * const before = structureHash(model);
 * await pass(model);
 * if (structureHash(model) !== before) console.log("changed");
 */
export function structureHash(
  model: Model,
  keyOf: (tensor: Tensor) => number | string = (tensor) => identity(tensor),
): string {
  const text = writeModel(model, (tensor) => `#${keyOf(tensor)}`, { inferred: false });
  const beside: unknown[] = [];
  for (const graph of allGraphs(model.graph)) {
    beside.push(carried(graph));
    // The creation order of values is irrelevant.
    for (const value of [...graph.values()].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const { type, sparse, info } = value.foreign ?? {};
      beside.push([value.name, value.declared, ...carried(value), ...[type, sparse, info].map(bytesText)]);
    }
    for (const node of graph.nodes()) beside.push(carried(node));
  }
  const { header } = model;
  const rest = {
    ...header,
    modelVersion: String(header.modelVersion),
    opsets: [...header.opsets],
    metadata: [...header.metadata],
    functions: header.functions.map(bytesText),
    unknown: bytesText(header.unknown),
  };
  return digest(`${text}\n${JSON.stringify(beside)}\n${JSON.stringify(rest)}`);
}

function carried({ doc, metadata, unknown }: Carried): readonly unknown[] {
  return doc === undefined && metadata.size === 0 && unknown === undefined
    ? []
    : [doc ?? null, [...metadata], bytesText(unknown)];
}

function bytesText(bytes: Uint8Array | undefined): string | null {
  return bytes === undefined ? null : hexadecimal(bytes);
}

/** Two 32-bit multiply-xor lanes with different factors (cyrb53's), mixed at the end. */
function digest(text: string): string {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    a = Math.imul(a ^ code, 0x9e3779b1);
    b = Math.imul(b ^ code, 0x5f356495);
  }
  a = Math.imul(a ^ (a >>> 16), 0x85ebca6b) ^ Math.imul(b ^ (b >>> 13), 0xc2b2ae35);
  b = Math.imul(b ^ (b >>> 16), 0x85ebca6b) ^ Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
  return [a, b].map((lane) => (lane >>> 0).toString(16).padStart(8, "0")).join("");
}
