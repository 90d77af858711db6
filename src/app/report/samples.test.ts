import { expect, test } from "vitest";
import { samplesLine } from "./samples.ts";

const part = (name: string, count: number | undefined) => ({ name, count, sha256: undefined });

test("names the files of the samples by use", () => {
  expect(
    samplesLine({ train: undefined, calibrate: part("data/cifar10 (train)", 200), test: part("a.csv", 1000) }),
  ).toBe("calibrated on: cifar10 (train, 200)  tested on: a.csv (1,000)");
});

test("counts the samples that were trained on if not all were", () => {
  const parts = { calibrate: undefined, test: part("cifar10 (test)", 1000) };
  const train = part("cifar10 (train)", 20_000);
  expect(samplesLine({ ...parts, train: { ...train, fitted: 256, checked: 512 } })).toBe(
    "fitted on 256 and checked on 512 samples of cifar10 (train, 20,000)  tested on: cifar10 (test, 1,000)",
  );
  expect(samplesLine({ ...parts, train: { ...train, fitted: 20_000, checked: undefined } })).toBe(
    "trained on: cifar10 (train, 20,000)  tested on: cifar10 (test, 1,000)",
  );
});

test("counts the test samples that chose the variant", () => {
  const parts = { train: undefined, calibrate: undefined, test: part("data/cifar10 (test)", 1000) };
  expect(samplesLine({ ...parts, validation: 333 })).toBe(
    "tested on: cifar10 (test, 667 of 1,000; 333 chose the candidate)",
  );
  expect(samplesLine({ ...parts, test: part("s.jsonl", undefined), validation: 100 })).toBe(
    "tested on: s.jsonl (a stream)",
  );
});

test("names the option that uses all samples if a test ended early", () => {
  const test = { ...part("data/cifar10 (test)", 512), of: 1000 };
  expect(samplesLine({ train: undefined, calibrate: undefined, test })).toBe(
    "tested on: cifar10 (test, 512 of 1,000, drawn at random, were enough to decide; --samples 1000 takes all)",
  );
});

test("counts the samples of the same file that calibrated, trained or compared candidates", () => {
  const file = (count: number) => part("data/sst2.tsv", count);
  expect(samplesLine({ train: undefined, calibrate: file(174), test: file(698) })).toBe(
    "calibrated on: sst2.tsv (174)  tested on: sst2.tsv (698; 174 others for calibration)",
  );
  expect(samplesLine({ train: file(500), calibrate: file(100), test: { ...file(200), of: 272 } })).toBe(
    "trained on: sst2.tsv (500)  calibrated on: sst2.tsv (100)  tested on: sst2.tsv (200 of 272, drawn at random, were enough to decide; --samples 272 takes all; 500 others for training; 100 others for calibration)",
  );
  expect(samplesLine({ train: undefined, calibrate: undefined, test: file(436), compared: 436 })).toBe(
    "tested on: sst2.tsv (436; 436 others compared the candidates)",
  );
  expect(samplesLine({ train: undefined, calibrate: part("sst2_train.tsv", 174), test: file(872) })).toBe(
    "calibrated on: sst2_train.tsv (174)  tested on: sst2.tsv (872)",
  );
});
