/** Typed arrays with the same bytes are equal: said at once, where a comparison entry by entry takes a second for a few hundred thousand. */
import { expect } from "vitest";

function sameBytes(a: unknown, b: unknown): true | undefined {
  if (!ArrayBuffer.isView(a) || !ArrayBuffer.isView(b) || a.constructor !== b.constructor) return undefined;
  const [first, second] = [a, b].map(({ buffer, byteOffset, byteLength }) =>
    Buffer.from(buffer, byteOffset, byteLength),
  );
  return first !== undefined && second?.equals(first) === true ? true : undefined;
}

// Test files that share a process each load this one.
const marker = Symbol.for("pith: typed arrays with the same bytes are equal");
if (!Reflect.has(globalThis, marker)) expect.addEqualityTesters([sameBytes]);
Reflect.set(globalThis, marker, true);
