import { expect, test } from "vitest";
import { headline, type Sensitivity, unresolvedText } from "./sensitivity-record.ts";

const sweepWith = (...halfWidths: readonly number[]): Sensitivity => ({
  format: 1,
  version: "0.1.0",
  model: "net.onnx",
  bytes: 1000,
  metric: { name: "accuracy", unit: "share", better: "higher" },
  original: { value: 0.759, low: 0.7, high: 0.8, count: 100, confidence: 0.95 },
  data: { name: "photos", count: 100 },
  seed: 0,
  rows: halfWidths.map((half, at) => ({
    kind: "bits",
    layers: [`conv${at}`],
    setting: 4,
    drop: { value: 0, low: -half, high: half, count: 100, confidence: 0.95 },
    bytes: 100,
    saved: 80,
  })),
  misses: [],
  open: 0,
  seconds: 1,
});

test("states how many drops are imprecise, and how many samples determine a point", () => {
  const text =
    "2 of 3 drops can be off by ±3.7 points with 100 test samples, so recipes may protect the wrong layers. About 1,400 samples reduce this to ±1.0 points.";
  expect(unresolvedText(sweepWith(0.037, 0.009, 0.037))).toBe(text);
});

test("reports no imprecise drops if they are known to a point or to a quarter", () => {
  expect(unresolvedText(sweepWith(0.01, 0.005))).toBeUndefined();
  const [row] = sweepWith(0.05).rows;
  const large = row && { ...row, drop: { ...row.drop, value: 0.3, low: 0.25, high: 0.35 } };
  expect(unresolvedText({ ...sweepWith(), rows: large === undefined ? [] : [large] })).toBeUndefined();
});

test("counts layers that change together individually", () => {
  const [row] = sweepWith(0.01).rows;
  if (row === undefined) throw new Error("There is no row.");
  const lossy = { ...row, kind: "channels" as const, drop: { ...row.drop, value: 0.2, low: 0.1, high: 0.3 } };
  const rows = [0.2, 0.4].map((setting) => ({ ...lossy, setting, layers: ["conv1", "conv2", "conv3"] }));
  const same = { ...sweepWith(), rows };
  expect(headline(same)).toBe("conv1 and 2 more are the most sensitive layers");
});
