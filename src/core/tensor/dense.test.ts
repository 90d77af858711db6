import { expect, test } from "vitest";
import { bytesFor, bytesOf, float32, inMemory, int64, viewBytes, zeros } from "./dense.ts";

test("bytesFor and zeros round packed types up to whole bytes", () => {
  expect(bytesFor("int4", 3)).toBe(2);
  expect(bytesFor("uint2", 5)).toBe(2);
  expect(bytesFor("complex128", 2)).toBe(32);
  expect(zeros("int4", [3, 3]).data).toEqual(new Uint8Array(5));
  expect(zeros("float32", [0, 4]).data).toEqual(new Float32Array(0));
});

test("viewBytes shares aligned bytes and copies others", () => {
  const bytes = new Uint8Array(12);
  const aligned = viewBytes("float32", [2], bytes.subarray(4));
  expect(aligned.type === "float32" && aligned.data.buffer === bytes.buffer).toBe(true);
  bytes.set([0, 0, 128, 63], 1);
  const copied = viewBytes("float32", [1], bytes.subarray(1, 5));
  expect(copied.data).toEqual(Float32Array.of(1));
  expect(copied.type === "float32" && copied.data.buffer === bytes.buffer).toBe(false);
});

test("viewBytes rejects a wrong number of bytes", () => {
  expect(() => viewBytes("float32", [3], new Uint8Array(8))).toThrow("float32[3] takes 12 bytes, got 8.");
});

test("bytesOf returns the bytes of a view, not of its buffer", () => {
  const data = new Float32Array([1, 2, 3]).subarray(1, 2);
  expect([...bytesOf(float32([1], data))]).toEqual([0, 0, 0, 64]);
});

test("int64 accepts numbers and bigints", () => {
  expect(int64([2], [1, -2n]).data).toEqual(BigInt64Array.of(1n, -2n));
});

test("inMemory exposes only small tensors without a read", async () => {
  const small = inMemory(float32([2], [1, 2]));
  expect(small.bytes).toBe(8);
  expect(small.small).toBe(await small.read());
  const large = inMemory(zeros("float32", [4096]));
  expect(large.small).toBeUndefined();
  expect((await large.read()).dims).toEqual([4096]);
});

test("inMemory counts strings by UTF-8 bytes", () => {
  expect(inMemory({ type: "string", dims: [2], data: ["é", "ab"] }).bytes).toBe(4);
});
