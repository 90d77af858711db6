/**
 * Computes a fingerprint of a model without reading tensor contents: each tensor object is represented by a number. Fingerprints are therefore
 * comparable within one process only.
 */
import { hexadecimal } from "../tensor/dense.ts";
import { getOrAdd } from "../tensor/get-or-add.ts";
import type { Tensor } from "../tensor/types.ts";
import { allGraphs, type Carried } from "./graph.ts";
import type { Model } from "./model.ts";
import { writeModel } from "./text.ts";

const objectIds = new WeakMap<object, number>();
let count = 0;

export function objectId(object: object): number {
  return getOrAdd(objectIds, object, () => ++count);
}

/**
 * Returns 16 hexadecimal digits that represent structure, names, types, roles, attributes, metadata and tensor identities, but not inferred types.
 * @param keyOf Returns the identity of a tensor, by default that of the object.
 */
export function structureHash(
  model: Model,
  keyOf: (tensor: Tensor) => number | string = (tensor) => objectId(tensor),
): string {
  const text = writeModel(model, (tensor) => `#${keyOf(tensor)}`, { inferred: false });
  const annotations: unknown[] = [];
  for (const graph of allGraphs(model.graph)) {
    annotations.push(annotationsOf(graph));
    // Sorted, because only the order of stored tensors is part of a model, and the text states it.
    for (const value of [...graph.values()].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const { type, sparse, info } = value.foreign ?? {};
      annotations.push([value.name, value.declared, ...annotationsOf(value), ...[type, sparse, info].map(bytesText)]);
    }
    for (const node of graph.nodes()) annotations.push(annotationsOf(node));
  }
  const { header } = model;
  const headerFields = {
    ...header,
    modelVersion: String(header.modelVersion),
    opsets: [...header.opsets],
    metadata: [...header.metadata],
    functions: header.functions.map(bytesText),
    unknown: bytesText(header.unknown),
  };
  return hashText(`${text}\n${JSON.stringify(annotations)}\n${JSON.stringify(headerFields)}`);
}

function annotationsOf({ doc, metadata, unknown }: Carried): readonly unknown[] {
  return doc === undefined && metadata.size === 0 && unknown === undefined
    ? []
    : [doc ?? null, [...metadata], bytesText(unknown)];
}

function bytesText(bytes: Uint8Array | undefined): string | null {
  return bytes === undefined ? null : hexadecimal(bytes);
}

/** Hashes a text with two 32-bit multiply-xor lanes whose factors differ (as in cyrb53), mixed at the end. */
function hashText(text: string): string {
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
