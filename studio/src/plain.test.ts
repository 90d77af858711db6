import { expect, test } from "vitest";
import { decode, encode } from "./plain.ts";

test("plain data keeps pixels, undefined in lists, and numbers that are not finite", () => {
  const view = {
    pixels: { width: 1, height: 1, data: Uint8ClampedArray.of(0, 15, 128, 255) },
    numbers: [1.5, Infinity, -Infinity, Number.NaN],
    parameters: [undefined, "model.onnx", [undefined]],
    text: "30\u00a0%",
    empty: new Uint8ClampedArray(),
    missing: null,
  };
  expect(decode(encode(view))).toEqual(view);
});

test("an undefined first parameter stays in its place", () => {
  expect(decode(encode([undefined, 1]))).toStrictEqual([undefined, 1]);
});
