import { expect, test } from "vitest";
import { objectiveOf } from "../measure/objective.ts";
import { choose, otherFrontIndices, type RankedVariant } from "./select-result.ts";

const original = { bytes: 400 };
const usual = objectiveOf({}, undefined, original);
const size = objectiveOf({ purpose: "size" }, undefined, original);
const result = (size: number | undefined, speed?: number, isAcceptable = true): RankedVariant => ({
  size,
  speed,
  isAcceptable,
});
const lost = (size: number, drop: number | undefined): RankedVariant => ({ size, isAcceptable: false, drop });

test("keeps the smallest sound result", () => {
  const some = [result(300), result(200), result(100, 1, false), result(undefined)];
  expect(choose(some, false, usual)).toEqual({ place: 1, by: "usual" });
  expect(choose(some.slice(1), false, usual)).toEqual({ place: 0, by: "only" });
});

test("passes over and names a smaller result that is slower than the original", () => {
  const some = [result(310, 1.2), result(292, 0.4), result(299, 0.94), result(200, 0.96)];
  expect(choose(some.slice(0, 3), false, usual)).toEqual({ place: 0, by: "usual", over: 1 });
  expect(choose(some, false, usual)).toEqual({ place: 3, by: "usual" });
  expect(choose(some.slice(0, 3), false, size)).toEqual({ place: 1, by: "size" });
  expect(choose(some.slice(1, 3), false, usual)).toEqual({ place: 1, by: "none allowed" });
});

test("keeps the smallest result in any order if speeds are unknown", () => {
  expect(choose([result(310), result(292), result(299)], false, usual)?.place).toBe(1);
  expect(choose([result(292), result(299), result(310)], false, usual)?.place).toBe(0);
});

test("keeps the result with the smallest drop among files of the same size", () => {
  const some = [{ ...result(300), drop: 0.004 }, { ...result(300), drop: 0.001 }, result(400)];
  expect(choose(some, false, usual)?.place).toBe(1);
});

test("keeps nothing if no result is sound, or the smallest with force", () => {
  const none = [result(300, 1, false), result(200, 1, false), result(undefined, undefined, false)];
  expect(choose(none, false, usual)).toBeUndefined();
  expect(choose(none, true, usual)).toEqual({ place: 1, by: "force" });
  expect(choose([], true, usual)).toBeUndefined();
});

test("keeps the smallest drop if no result is sound, unless the result was rejected", () => {
  expect(choose([lost(100, 0.03), lost(200, 0.02), lost(50, undefined)], false, usual)).toEqual({
    place: 1,
    by: "loss",
  });
  expect(choose([lost(100, 0.03), lost(200, 0.02), result(300)], false, usual)).toEqual({ place: 2, by: "only" });
  expect(choose([lost(100, 0.03), lost(200, 0.02), lost(50, undefined)], true, usual)).toEqual({
    place: 2,
    by: "force",
  });
});

test("frontBeside returns the other sound results on the Pareto front", () => {
  const some = [
    { ...result(100, 0.5), drop: 0 },
    { ...result(200, 1), drop: 0 },
    { ...result(210, 0.9), drop: 0 },
    { ...result(90, 0.4), drop: 0.01 },
    { ...result(80, 2, false), drop: 0.5 },
  ];
  expect(otherFrontIndices(some, 1)).toEqual([0, 3]);
  expect(otherFrontIndices(some, 0)).toEqual([1, 3]);
  expect(otherFrontIndices(some, undefined)).toEqual([]);
});
