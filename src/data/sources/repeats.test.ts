import { expect, it } from "vitest";
import { float32, int64 } from "../../core/tensor/dense.ts";
import { memory } from "../batches/indexed.ts";
import { describeRepeats } from "./repeats.ts";

/** Returns a dataset with a sample for each value; equal values give equal samples with different labels. */
const samplesOf = (values: readonly number[]) =>
  memory("rows", {
    x: float32(
      [values.length, 4],
      values.flatMap((value) => [value, 0, 1, 2]),
    ),
    label: int64(
      [values.length],
      values.map((_, index) => index % 2),
    ),
  });
const valuesFrom = (first: number, count = 100) => Array.from({ length: count }, (_, index) => first + index);

it("counts test samples that are also training or calibration samples", async () => {
  const otherSplits = { training: samplesOf([...valuesFrom(60), 7]), calibration: samplesOf(valuesFrom(98)) };
  expect(await describeRepeats(samplesOf(valuesFrom(0)), otherSplits)).toEqual([
    expect.stringMatching(/^rows: 41 of 100 test samples are also training samples/),
    expect.stringMatching(/^rows: 2 of 100 test samples are also calibration samples/),
  ]);
});

it("counts repeated test samples, but not one percent or less", async () => {
  expect(await describeRepeats(samplesOf([...valuesFrom(0, 20), ...valuesFrom(0, 20)]), {})).toEqual([
    expect.stringMatching(/^rows: 20 of 40 test samples repeat another test sample/),
  ]);
  const other = { training: samplesOf(valuesFrom(200)) };
  expect(await describeRepeats(samplesOf([...valuesFrom(0, 99), 1]), other)).toEqual([]);
});
