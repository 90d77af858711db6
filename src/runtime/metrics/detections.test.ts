import { describe, expect, test } from "vitest";
import type { DetectionForm } from "../../core/analysis/detection-form.ts";
import { float32 } from "../../core/tensor/dense.ts";
import type { Dense } from "../../core/tensor/types.ts";
import { areDetections, detectionAgreement, hasPixels, meanAveragePrecision, readDetections } from "./detections.ts";
import { estimate } from "./evaluate.ts";

/** x1, y1, x2, y2, score, class */
type Row = readonly [number, number, number, number, number, number];

const endToEnd: DetectionForm = { layout: "[N, boxes, 6]", classes: undefined };

const tensor = (images: readonly (readonly Row[])[]): Dense => {
  const boxes = Math.max(...images.map(({ length }) => length));
  const rows = images.flatMap((image) => [...image, ...Array(boxes - image.length).fill([0, 0, 0, 0, 0, 0])]);
  return float32([images.length, boxes, 6], rows.flat());
};

const labels = (images: readonly (readonly (readonly number[])[])[]): Dense => {
  const boxes = Math.max(...images.map(({ length }) => length));
  const rows = images.flatMap((image) => [...image, ...Array(boxes - image.length).fill([-1, 0, 0, 0, 0])]);
  return float32([images.length, boxes, 5], rows.flat());
};

describe("readDetections", () => {
  const expected = [
    [
      { box: [10, 10, 30, 30], score: 0.75, class: 1 },
      { box: [60, 60, 80, 80], score: 0.5, class: 0 },
    ],
  ];
  /** Columns are boxes. The second one is covered by the first one, the last one is below the minimum score. */
  const columns = [
    [20, 21, 70, 40],
    [20, 20, 70, 40],
    [20, 20, 20, 20],
    [20, 20, 20, 20],
    [0.125, 0.125, 0.5, 0.125],
    [0.75, 0.5, 0.25, 0.125],
  ];

  test("reads boxes as columns and as rows", () => {
    const byColumn = readDetections(float32([1, 6, 4], columns.flat()), {
      layout: "[N, 4 + classes, boxes]",
      classes: 2,
    });
    expect(byColumn).toEqual(expected);
    const rows = columns[0]?.map((_, box) => columns.map((fields) => fields[box] ?? 0)) ?? [];
    const byRow = readDetections(float32([1, 4, 6], rows.flat()), { layout: "[N, boxes, 4 + classes]", classes: 2 });
    expect(byRow).toEqual(expected);
    // The product of objectness and class score is the score.
    const withObjectness = rows.map((row) => [...row.slice(0, 4), 0.5, ...row.slice(4).map((score) => 2 * score)]);
    expect(
      readDetections(float32([1, 4, 7], withObjectness.flat()), { layout: "[N, boxes, 5 + classes]", classes: 2 }),
    ).toEqual(expected);
  });

  test("does not suppress overlaps of a detector that names classes", () => {
    const [image] = readDetections(
      tensor([
        [
          [10, 10, 30, 30, 0.75, 1],
          [11, 10, 31, 30, 0.5, 1],
        ],
      ]),
      endToEnd,
    );
    expect(image).toHaveLength(2);
  });

  test("knows values that can be detections", () => {
    const form: DetectionForm = { layout: "[N, 4 + classes, boxes]", classes: 2 };
    const output = (change: (row: number) => number) =>
      float32(
        [1, 6, 4],
        columns.flatMap((fields, row) => fields.map((value) => value * change(row))),
      );
    expect(
      areDetections(
        output(() => 1),
        form,
      ),
    ).toBe(true);
    expect(
      areDetections(
        output((row) => (row === 5 ? 2 : 1)),
        form,
      ),
    ).toBe(false);
    expect(
      areDetections(
        output((row) => (row === 2 ? -1 : 1)),
        form,
      ),
    ).toBe(false);
    expect(
      hasPixels(
        output(() => 1),
        form,
      ),
    ).toBe(true);
    expect(
      hasPixels(
        output((row) => (row < 4 ? 0.01 : 1)),
        form,
      ),
    ).toBe(false);
  });
});

describe("agreement of detections", () => {
  const metric = detectionAgreement({ form: endToEnd });
  const square: Row = [0, 0, 10, 10, 0.9, 0];
  const other: Row = [20, 20, 40, 40, 0.9, 1];
  const agreement = (ours: readonly (readonly Row[])[], theirs: readonly (readonly Row[])[]): number =>
    metric.reduce(metric.rows({ y: tensor(ours) }, { y: tensor(theirs) }));

  test("is the share of detections of both models that have a match", () => {
    expect(agreement([[square, other], [other]], [[square, other], [other]])).toBe(1);
    expect(agreement([[square], [other]], [[square, other], [other]])).toBe(4 / 5);
    // Another class, and another place.
    expect(agreement([[[0, 0, 10, 10, 0.9, 2], other]], [[square, other]])).toBe(1 / 2);
    expect(agreement([[[6, 0, 16, 10, 0.9, 0], other]], [[square, other]])).toBe(1 / 2);
    expect(agreement([[[0, 0, 10, 10, 0.1, 0], other]], [[square, other]])).toBe(2 / 3);
  });

  test("is 1 for a sample on which neither model detects anything, and an error if there are no others", () => {
    const rows = metric.rows({ y: tensor([[[0, 0, 1, 1, 0.1, 0]]]) }, { y: tensor([[[0, 0, 1, 1, 0.1, 0]]]) });
    expect(metric.reduce(rows)).toBe(1);
    expect(() => metric.gathered?.(rows, 1)).toThrow("Neither model detects anything");
  });

  test("has an interval", () => {
    const images = Array.from({ length: 40 }, () => [square, other]);
    const changed = images.map((image, index) => (index % 4 === 0 ? image.slice(1) : image));
    const { value, low, high } = estimate(metric, metric.rows({ y: tensor(changed) }, { y: tensor(images) }));
    expect(value).toBeCloseTo(140 / 150, 10);
    expect(low).toBeGreaterThan(0.85);
    expect(low).toBeLessThan(value);
    expect(high).toBeGreaterThan(value);
  });
});

describe("mean average precision", () => {
  const precision = (
    images: readonly (readonly Row[])[],
    truths: readonly (readonly (readonly number[])[])[],
    overlaps?: readonly number[],
  ) => {
    const metric = meanAveragePrecision({ form: endToEnd }, overlaps);
    return metric.reduce(metric.rows({ y: tensor(images) }, { label: labels(truths) }));
  };

  test("is 1 for all boxes at their places, and 0 without them", () => {
    const truths = [
      [
        [0, 0, 0, 10, 10],
        [1, 20, 20, 40, 40],
      ],
      [[1, 0, 0, 30, 30]],
    ];
    const images = truths.map((image) =>
      image.map(([index = 0, x1 = 0, y1 = 0, x2 = 0, y2 = 0]): Row => [x1, y1, x2, y2, 0.9, index]),
    );
    expect(precision(images, truths)).toBe(1);
    expect(precision([[], [[0, 0, 1, 1, 0.9, 2]]], truths)).toBe(0);
  });

  test("counts a wrong detection only above the recalls that are reached with fewer ones", () => {
    const truths = [
      [
        [0, 0, 0, 10, 10],
        [0, 20, 20, 40, 40],
      ],
    ];
    const [first, wrong, second]: readonly Row[] = [
      [0, 0, 10, 10, 0.9, 0],
      [70, 70, 80, 80, 0.8, 0],
      [20, 20, 40, 40, 0.7, 0],
    ];
    if (first === undefined || wrong === undefined || second === undefined) throw new Error("a row is missing");
    // Recalls 0 … 0.5 are 51 of 101 thresholds, reached with precision 1; the others with 2 / 3.
    expect(precision([[first, wrong, second]], truths, [0.5])).toBeCloseTo((51 + (50 * 2) / 3) / 101, 10);
    expect(precision([[second, first]], truths, [0.5])).toBe(1);
    expect(precision([[first]], truths, [0.5])).toBeCloseTo(51 / 101, 10);
  });

  test("leaves out boxes that name no class", () => {
    const truths = [[[0, 0, 0, 10, 10]]];
    const detection: Row = [0, 0, 10, 10, 0.5, 0];
    for (const index of [Number.NaN, -1, 0.5]) {
      const unnamed: Row = [0, 0, 10, 10, 0.9, index];
      expect(precision([[unnamed, detection]], truths)).toBe(1);
      expect(precision([[unnamed]], truths)).toBe(0);
    }
  });

  test("averages over ten thresholds of the overlap", () => {
    // The IoU is 80 / 100: the thresholds 0.5 … 0.8 are reached.
    expect(precision([[[0, 0, 10, 8, 0.9, 0]]], [[[0, 0, 0, 10, 10]]])).toBeCloseTo(0.7, 10);
    expect(precision([[[0, 0, 10, 8, 0.9, 0]]], [[[0, 0, 0, 10, 10]]], [0.5])).toBe(1);
  });

  test("rejects labels that are not boxes", () => {
    const metric = meanAveragePrecision({ form: { layout: "[N, 4 + classes, boxes]", classes: 1 } });
    const y = float32([1, 5, 6], new Float32Array(30));
    expect(() => metric.rows({ y }, { label: float32([1], [0]) })).toThrow("expected [N, boxes, 5] for a detector");
    expect(() => metric.rows({ y }, { label: labels([[[1, 0, 0, 10, 10]]]) })).toThrow("the classes 0 to 0");
  });
});
