import { expect, test } from "vitest";
import { bytesText, countText, unbroken } from "./format.ts";

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

test("a number stays on the line of its sign or unit", () => {
  expect(unbroken("3 of 500 samples: 91.6 % to 36.4 %, −55.2 points, 14 kB, 0.98 × the speed")).toBe(
    "3\u00a0of 500 samples: 91.6\u00a0% to 36.4\u00a0%, −55.2\u00a0points, 14\u00a0kB, 0.98\u00a0× the speed",
  );
});

test("counts have no unit below 1000", () => {
  expect([270, 999_600].map(countText).map(spaced)).toEqual(["270", "1.00 M"]);
});
