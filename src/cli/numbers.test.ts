import { expect, test } from "vitest";
import { bytes, count, integer } from "../evaluate/numbers.ts";
import { clock, duration } from "./numbers.ts";

test("sizes have three digits and decimal units", () => {
  expect([0, 999, 1000, 3_460_000, 90_400_000, 999_600, 268_000_000].map(bytes)).toEqual([
    "0 bytes",
    "999 bytes",
    "1.00 kB",
    "3.46 MB",
    "90.4 MB",
    "1.00 MB",
    "268 MB",
  ]);
});

test("counts are exact while they are short", () => {
  expect([12, 9999, 10_000, 22_700_000].map(count)).toEqual(["12", "9,999", "10.0 k", "22.7 M"]);
});

test("times", () => {
  expect([41.4, 2300, 282_000, 3_725_000].map(duration)).toEqual(["41 ms", "2.3 s", "4:42", "1:02:05"]);
  expect([3.6, 59.7].map(clock)).toEqual(["0:04", "1:00"]);
  expect(integer(1060)).toBe("1,060");
});
