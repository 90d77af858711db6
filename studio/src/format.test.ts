import { expect, test } from "vitest";
import { bytesText, countText } from "./format.ts";

const spaced = (text: string): string => text.replaceAll("\u00a0", " ");

test.each([
  [0, "0 B"],
  [998, "998 B"],
  [999, "999 B"],
  [1000, "1.00 kB"],
  [99_960, "100 kB"],
  [998_000, "998 kB"],
  [999_499, "999 kB"],
  [999_500, "1.00 MB"],
  [1_094_200, "1.09 MB"],
  [2e12, "2000 GB"],
])("%i bytes are %s", (value, text) => {
  expect(spaced(bytesText(value))).toBe(text);
});

test("counts have no unit below 1000", () => {
  expect([270, 999_600].map(countText).map(spaced)).toEqual(["270", "1.00 M"]);
});
