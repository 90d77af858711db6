import { expect, test } from "vitest";
import { float32 } from "../../core/tensor/dense.ts";
import type { Batch } from "../../core/tensor/types.ts";
import { boxOverlap, detections } from "./box-outputs.ts";
import { suppressOverlaps } from "./boxes.ts";

const boxes = [0, 0, 10, 10, 1, 0, 11, 10, 50, 50, 60, 60];
const detectorOutputs = (scores: readonly number[], places = boxes): Batch => ({
  scores: float32([1, 3, 2], scores),
  boxes: float32([1, 3, 4], places),
});
/** Class probabilities of three boxes, each with the background class first. */
const sure = [0.1, 0.9, 0.2, 0.8, 0.05, 0.95];

test("suppresses boxes that a better box of the class covers", () => {
  const [image] = detections(detectorOutputs(sure));
  expect(image?.map(({ box }) => box[0])).toEqual([50, 0]);
  const two = { box: [0, 0, 10, 10], score: 0.9, class: 0 } as const;
  expect(suppressOverlaps([two, { ...two, score: 0.8, class: 1 }])).toHaveLength(2);
});

test("assumes no background class if scores do not sum to 1", () => {
  const [image] = detections(detectorOutputs([0.9, 0.8, 0.1, 0.2, 0.1, 0.7]));
  expect(image?.map((one) => [one.class, one.score.toFixed(1)])).toEqual([
    [0, "0.9"],
    [1, "0.7"],
  ]);
});

test("scores equal boxes 1, missing ones 0 and moved ones their IoU", () => {
  const figure = (outputs: Batch): number => boxOverlap().reduce(boxOverlap().rows(outputs, detectorOutputs(sure)));
  expect(figure(detectorOutputs(sure))).toBe(1);
  expect(figure(detectorOutputs([0.1, 0.9, 0.2, 0.8, 0.95, 0.05]))).toBe(0.5);
  // One box moves by 2 of 10, so its IoU is 80 / 120. The other does not move.
  expect(figure(detectorOutputs(sure, [0, 0, 10, 10, 1, 0, 11, 10, 52, 50, 62, 60]))).toBeCloseTo(
    (1 + 80 / 120) / 2,
    6,
  );
});

test("matches boxes in center form and boxes without an area with themselves", () => {
  const centres = detectorOutputs(sure, [5, 5, 10, 2, 6, 5, 10, 2, 55, 55, 10, 10]);
  expect(boxOverlap().reduce(boxOverlap().rows(centres, centres))).toBe(1);
  expect(detections(centres)[0]?.[1]?.box).toEqual([0, 4, 10, 6]);
  const points = detectorOutputs(sure, [1, 1, 1, 1, 1, 1, 1, 1, 5, 5, 5, 5]);
  expect(boxOverlap().reduce(boxOverlap().rows(points, points))).toBe(1);
});

test("reads the background class from the original", () => {
  const drifted = detectorOutputs([0.1, 0.9, 0.2, 0.8, 0.97, 0.08]);
  const original = detectorOutputs([0.1, 0.9, 0.2, 0.8, 0.95, 0.05]);
  expect(boxOverlap().reduce(boxOverlap().rows(drifted, original))).toBe(1);
});

test("reports no loss for an image without boxes in either model", () => {
  const nothing = detectorOutputs([1, 0, 1, 0, 1, 0]);
  expect(boxOverlap().reduce(boxOverlap().rows(nothing, nothing))).toBe(1);
});

test("fails if no sample has a box", () => {
  const metric = boxOverlap();
  expect(() => metric.gathered?.(Float64Array.of(0, 0, 0, 0), 2)).toThrow(
    "Neither model detects anything on 2 samples",
  );
  const rows = Float64Array.of(0, 0, 0, 1);
  expect(metric.gathered?.(rows, 2)).toBe(rows);
});

test("rejects outputs that are not detections", () => {
  expect(() => detections({ y: float32([1], [0]) })).toThrow('no output "boxes", only y');
  expect(() => detections({ boxes: float32([1, 3, 4], boxes), scores: float32([1, 2], [0, 1]) })).toThrow(
    "are not detections",
  );
});
