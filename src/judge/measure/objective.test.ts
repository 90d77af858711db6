import { describe, expect, test } from "vitest";

import { objectiveOf, paretoFrontOf, sizeFor } from "./objective.ts";

const original = { bytes: 400 };
const figures = { size: 100, speed: 1, drop: 0 };

describe("misses", () => {
  test("returns the excess over a goal as a share of the allowed drop", () => {
    const { shortfall } = objectiveOf({ purpose: "size" }, 0.02, original);
    expect(shortfall({ ...figures, drop: 0.02 })).toBe(0);
    expect(shortfall({ ...figures, drop: 0.05 })).toBeCloseTo(1.5);
  });

  test("returns the distance to a target size or speed, whatever the drop is", () => {
    const sized = objectiveOf({ targetSize: 80 }, 0.02, original);
    expect(sized.shortfall({ ...figures, drop: 1 })).toBeCloseTo(0.25);
    expect(sized.shortfall({ ...figures, size: 80 })).toBe(0);
    const faster = objectiveOf({ faster: 2 }, 0.02, original);
    // Repeated measurements of a speed differ by a few percent.
    expect(faster.shortfall({ ...figures, speed: 1.455, drop: 1 })).toBeCloseTo(0.25);
    expect(faster.shortfall({ ...figures, speed: 1.95 })).toBe(0);
    expect(faster.shortfall({ ...figures, speed: 2.5 })).toBe(0);
  });

  test("returns the larger of the misses of goal and speed", () => {
    const { shortfall } = objectiveOf({}, 0.02, original);
    expect(shortfall({ ...figures, speed: 0.5 * 0.95, drop: 0.025 })).toBeCloseTo(0.5);
    expect(shortfall({ ...figures, speed: 0.94, drop: 0.05 })).toBeCloseTo(1.5);
    expect(shortfall({ ...figures, speed: 0.95 })).toBe(0);
  });

  test("counts a file that is larger than the original if the purpose is speed", () => {
    expect(objectiveOf({ purpose: "speed" }, 0.02, original).shortfall({ ...figures, size: 500 })).toBeCloseTo(0.25);
  });
});

describe("a required speed", () => {
  const { shortfallReason, shortfall } = objectiveOf({ faster: 2 }, undefined, original);

  test("is missed if the measured speed is lower by more than timing varies", () => {
    expect(shortfall({ ...figures, speed: 1.9 })).toBeGreaterThan(0);
    expect(shortfall({ ...figures, speed: 1.95 })).toBe(0);
    expect(shortfallReason).toBe("it is not 2.00 × as fast as the original");
  });

  test("is not missed if the speed was not measured", () => {
    expect(shortfall({ ...figures, speed: undefined })).toBe(0);
  });
});

describe("sizeFor", () => {
  // The uncompressed files have about the same size.
  const files = [
    { bytes: 100, brotli: 90, drop: 0 },
    { bytes: 101, brotli: 30, drop: 0.01 },
    { bytes: 101, brotli: 20, drop: 0.02 },
  ];

  test.each([
    ["size", [100]],
    ["download", [90, 30, 20]],
  ] as const)("returns for %s the size of the file or its download, also on the front", (purpose, front) => {
    const sized = files.map(({ drop, ...file }) => ({ size: sizeFor(purpose, file), drop }));
    expect(paretoFrontOf(sized, (one) => one).map(({ size }) => size)).toEqual(front);
  });

  test("returns the size of the file if the download size is unknown", () => {
    expect(sizeFor("download", { bytes: 100, brotli: undefined })).toBe(100);
  });
});
