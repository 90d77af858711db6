import { expect, test } from "vitest";
import { bytesText, countText, differenceText, figureText } from "./format.ts";

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

test.each([
  ["share", 0.023, "+2.3"],
  ["share", -0.002, "−0.2"],
  ["share", -0.0002, "−0.02"],
  ["share", 0, "0.0"],
  ["dB", -0.5, "−0.5"],
  ["dB", Number.NaN, "NaN"],
  ["share", Number.NaN, "NaN"],
  ["dB", Number.NEGATIVE_INFINITY, "−∞"],
])("a difference in %s of %d is %s", (unit, value, text) => {
  expect(differenceText(unit, value)).toBe(text);
});

test.each([
  ["share", 0.916, "91.6 %"],
  ["share", 1, "100.0 %"],
  ["share", 0.9997, "99.97 %"],
  ["share", 0.00004, "0.004 %"],
  ["dB", -3.456, "−3.46 dB"],
  ["", Number.POSITIVE_INFINITY, "∞"],
])("a figure in %s of %d is %s", (unit, value, text) => {
  expect(spaced(figureText(unit, value))).toBe(text);
});
