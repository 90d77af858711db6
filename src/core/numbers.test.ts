import { expect, test } from "vitest";
import {
  allowance,
  bytes,
  change,
  changeInterval,
  changeTexts,
  clock,
  count,
  counted,
  difference,
  duration,
  excessText,
  figureInterval,
  figureText,
  formatDistinct,
  integer,
  intervalNote,
  percent,
  times,
} from "./numbers.ts";

test("counted writes the singular for one", () => {
  expect([counted(1, "sample"), counted(1060, "sample")]).toEqual(["1 sample", "1,060 samples"]);
  expect([1, 0, 10].map((count) => counted(count, "class"))).toEqual(["1 class", "0 classes", "10 classes"]);
  expect(["box", "batch", "epoch"].map((noun) => counted(2, noun))).toEqual(["2 boxes", "2 batches", "2 epochs"]);
});

test("bytes and count write three digits", () => {
  expect([0, 1, 999, 1000, 3_460_000, 999_600].map(bytes)).toEqual([
    "0 bytes",
    "1 byte",
    "999 bytes",
    "1.00 kB",
    "3.46 MB",
    "1.00 MB",
  ]);
  expect([9999, 10_000, 22_700_000].map(count)).toEqual(["9,999", "10.0 k", "22.7 M"]);
});

test("figure and change write shares in percent, and other metric values as numbers", () => {
  expect([figureText("share", 0.915), figureText("", 3.4981)]).toEqual(["91.5 %", "3.498"]);
  expect([change("share", -0.007), change("share", 0.003), change("", 0.1234)]).toEqual(["−0.7", "+0.3", "+0.123"]);
});

test("figure, difference and allowance write units", () => {
  expect([figureText("dB", 23.1), figureText("nats", -0.5)]).toEqual(["23.10 dB", "−0.5000 nats"]);
  // A drop from 55.56 % to 55.54 % prints as 55.6 % to 55.5 %, so the difference needs another digit.
  expect([-0.0002, 0.0004, -0.00001, 0].map((value) => difference("share", value))).toEqual([
    "−0.02 points",
    "+0.04 points",
    "−0.001 points",
    "0.0 points",
  ]);
  expect([difference("share", -0.007), difference("dB", 1.2), difference("", 3)]).toEqual([
    "−0.7 points",
    "+1.20 dB",
    "+3.00",
  ]);
  expect([allowance("share", 0.01), allowance("nats", 0.1)]).toEqual(["1.0 points", "0.100 nats"]);
  expect([0.0005, 0.0025, 0.0125].map((drop) => allowance("share", drop))).toEqual([
    "0.05 points",
    "0.25 points",
    "1.25 points",
  ]);
});

test("change writes no sign if the value rounds to zero", () => {
  expect([change("share", -0.0001), change("share", 0.0001), change("", 0)]).toEqual(["0.0", "0.0", "0.00"]);
});

test("percent and changeInterval use the minus sign U+2212", () => {
  expect(changeInterval("share", { low: -0.02, high: 0.006 })).toBe("−2.0 … +0.6");
  expect(percent(-0.05)).toBe("−5.0 %");
  expect(figureText("dB", Number.POSITIVE_INFINITY)).toBe("∞ dB");
  expect([1, 0.9995, 0.9999999, 0.0004, 0].map((share) => percent(share))).toEqual([
    "100.0 %",
    "99.95 %",
    "100.0000 %",
    "0.04 %",
    "0.0 %",
  ]);
});

test("times writes two decimals, one from 10 on, and a dash if undefined", () => {
  expect([1, 7.864, 12.34, Number.POSITIVE_INFINITY, Number.NaN].map(times)).toEqual([
    "1.00 ×",
    "7.86 ×",
    "12.3 ×",
    "–",
    "–",
  ]);
});

test("formatDistinct writes two values with as few digits as distinguish them", () => {
  expect(formatDistinct("share", 0.915, 0.9)).toEqual(["91.5 %", "90.0 %"]);
  expect(formatDistinct("share", 0.99885, 0.999)).toEqual(["99.89 %", "99.90 %"]);
  expect(formatDistinct("share", 0.99896, 0.999)).toEqual(["99.896 %", "99.900 %"]);
  expect(formatDistinct("share", 0.999, 0.9985)).not.toEqual(["99.9 %", "99.9 %"]);
  expect(formatDistinct("share", 0.999, 0.999)).toEqual(["99.9 %", "99.9 %"]);
  expect(formatDistinct("", 0.98997, 0.99)).toEqual(["0.98997", "0.99000"]);
});

test("figureInterval and intervalNote describe missing bounds in words", () => {
  const [low, high] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  expect(figureInterval("dB", { value: 20, low, high })).toBe("too few samples for an interval");
  expect(figureInterval("dB", { value: Number.NaN, low, high })).toBe("–");
  expect(figureInterval("dB", { value: high, low: high, high })).toBe("the same for all samples");
  expect(figureInterval("dB", { value: 30, low: 20, high })).toBe("20.00 dB … ∞ dB");
  expect(figureInterval("share", { value: 0.915, low: 0.896, high: 0.931 })).toBe("89.6 % … 93.1 %");
  expect(intervalNote("", { value: -0.118, low, high, count: 5, confidence: 0.95 })).toBe(
    "(too few samples for an interval, 5 samples)",
  );
  expect(intervalNote("", { value: -0.118, low: -0.2, high, count: 5, confidence: 0.95 })).toBe(
    "(95 % interval −0.200 … +∞, 5 samples)",
  );
  expect(intervalNote("share", { value: -0.752, low: -0.806, high: -0.686, count: 512, confidence: 0.9973 })).toBe(
    "(99.7 % interval, wider because the evaluation ended early: −80.6 … −68.6 points, 512 samples)",
  );
  expect(intervalNote("share", { value: -0.01, low: -0.02, high: 0, count: 500, confidence: 0.9875 })).toBe(
    "(98.8 % interval, wider because several results are compared: −2.0 … 0.0 points, 500 samples)",
  );
});

test("a drop beyond an allowed one is not printed as equal to it", () => {
  expect(changeTexts("share", 0.93, 0.9196, -0.0104, 0.01).change).toBe("−1.04");
  expect(changeTexts("share", 0.93, 0.92, -0.01, 0.01).change).toBe("−1.0");
  expect(excessText("share", 0.0104, 0.01)).toBe("1.04 points lost, 1.0 points allowed");
  expect(excessText("share", 0.015, 0.01)).toBe("1.5 points lost, 1.0 points allowed");
});

test("changeTexts prints values whose difference is the printed change, with a second digit if one is not enough", () => {
  expect(changeTexts("share", 0.93, 0.923)).toEqual({ before: "93.0 %", after: "92.3 %", change: "−0.7" });
  expect(changeTexts("share", 0.8702, 0.8676)).toEqual({ before: "87.02 %", after: "86.76 %", change: "−0.26" });
  expect(changeTexts("share", 2 / 3, 1 / 3)).toEqual({ before: "66.67 %", after: "33.33 %", change: "−33.34" });
  expect(changeTexts("dB", Number.POSITIVE_INFINITY, 33.2)).toEqual({
    before: "∞ dB",
    after: "33.20 dB",
    change: "−∞",
  });
  const numberOf = (text: string): number => Number(text.replace("−", "-").split(" ")[0]);
  for (let count = 20; count < 1500; count += 7)
    for (const [before, after] of [
      [count - 3, count - 4],
      [count - 1, count - 2],
      [Math.floor(count / 3), Math.floor(count / 2)],
    ].map((pair) => pair.map((right) => right / count))) {
      const texts = changeTexts("share", before ?? 0, after ?? 0);
      expect(numberOf(texts.after) - numberOf(texts.before)).toBeCloseTo(numberOf(texts.change), 9);
    }
});

test("bytes writes three digits and decimal units", () => {
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

test("count writes short counts exactly", () => {
  expect([12, 9999, 10_000, 22_700_000].map(count)).toEqual(["12", "9,999", "10.0 k", "22.7 M"]);
});

test("duration and clock write times", () => {
  expect([41.4, 2300, 282_000, 3_725_000].map(duration)).toEqual(["41 ms", "2.3 s", "4:42", "1:02:05"]);
  expect([3.6, 59.7].map(clock)).toEqual(["0:04", "1:00"]);
  expect(integer(1060)).toBe("1,060");
});
