/** Typed arrays with the same bytes are equal: said at once, where a comparison entry by entry takes a second for a few hundred thousand. */
import { expect } from "vitest";

function sameBytes(a: unknown, b: unknown): true | undefined {
  if (!ArrayBuffer.isView(a) || !ArrayBuffer.isView(b) || a.constructor !== b.constructor) return undefined;
  const [one, other] = [a, b].map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength));
  return one !== undefined && other?.equals(one) === true ? true : undefined;
}

// Test files that share a process each load this one.
const told = Symbol.for("pith: typed arrays with the same bytes are equal");
if (!Reflect.has(globalThis, told)) expect.addEqualityTesters([sameBytes]);
Reflect.set(globalThis, told, true);
