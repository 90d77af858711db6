import { expect, test } from "vitest";
import type { Dense } from "../../core/tensor/types.ts";
import { joinRows } from "./rows.ts";

const number: Dense = { type: "float32", dims: [], data: Float32Array.of(1) };
const row: Dense = { type: "float32", dims: [1], data: Float32Array.of(1) };

test("joinRows joins rows and rejects scalars", () => {
  expect(joinRows("y", [row, row], "data")).toEqual({ type: "float32", dims: [2], data: Float32Array.of(1, 1) });
  for (const parts of [[number, number], [number], [row, number], [number, row]]) {
    expect(() => joinRows("y", parts, "data")).toThrow(/data: "y" is /);
  }
});
