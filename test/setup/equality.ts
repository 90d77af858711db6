/** Compares typed arrays by their bytes: comparing entries takes a second for a few hundred thousand. */
import { expect } from "vitest";

function sameBytes(a: unknown, b: unknown): true | undefined {
  if (!ArrayBuffer.isView(a) || !ArrayBuffer.isView(b) || a.constructor !== b.constructor) return undefined;
  const [first, second] = [a, b].map(({ buffer, byteOffset, byteLength }) =>
    Buffer.from(buffer, byteOffset, byteLength),
  );
  return first !== undefined && second?.equals(first) === true ? true : undefined;
}

// Test files in one process load this module several times, but register the tester once.
const marker = Symbol.for("pith: typed arrays with the same bytes are equal");
if (!Reflect.has(globalThis, marker)) expect.addEqualityTesters([sameBytes]);
Reflect.set(globalThis, marker, true);
