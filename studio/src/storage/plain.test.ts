import { expect, test } from "vitest";
import { parseText, textOf } from "./plain.ts";

test("views keep pixels and numbers that are not finite", () => {
  const view = {
    pixels: { width: 1, height: 1, data: Uint8ClampedArray.of(0, 15, 128, 255) },
    numbers: [1.5, Infinity, -Infinity, Number.NaN],
    text: "30\u00a0%",
    empty: new Uint8ClampedArray(),
    missing: null,
  };
  expect(parseText(textOf(view))).toEqual(view);
});
