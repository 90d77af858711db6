import { expect, test } from "vitest";
import { type Choice, choose } from "./choose.ts";

const result = (bytes: number | undefined, speed?: number, sound = true): Choice => ({ bytes, speed, sound });

test("the smallest sound result is kept", () => {
  expect(choose([result(300), result(200), result(100, 1, false), result(undefined)], false)).toBe(1);
});

test("of results within a tenth of the smallest, a clearly faster one is kept", () => {
  expect(choose([result(310, 2.7), result(292, 0.5), result(299, 0.55)], false)).toBe(0);
  expect(choose([result(310, 2.7, false), result(292, 0.5), result(299, 0.55)], false)).toBe(1);
  expect(choose([result(330, 2.7), result(292, 0.5)], false)).toBe(1);
});

test("without times the first of results within a tenth of the smallest is kept", () => {
  expect(choose([result(310), result(292), result(299)], false)).toBe(0);
  expect(choose([result(330), result(299), result(292)], false)).toBe(1);
  expect(choose([result(310, undefined, false), result(292), result(299)], false)).toBe(1);
});

test("nothing sound: nothing is kept, or by force the smallest there is", () => {
  const none = [result(300, 1, false), result(200, 1, false), result(undefined, undefined, false)];
  expect(choose(none, false)).toBeUndefined();
  expect(choose(none, true)).toBe(1);
  expect(choose([], true)).toBeUndefined();
});

test("nothing sound: the one that lost least may still be kept on the test samples, unless it was refused", () => {
  const lost = (bytes: number, drop: number | undefined): Choice => ({ bytes, speed: 1, sound: false, drop });
  expect(choose([lost(100, 0.03), lost(200, 0.02), lost(50, undefined)], false)).toBe(1);
  expect(choose([lost(100, 0.03), lost(200, 0.02), result(300)], false)).toBe(2);
  expect(choose([lost(100, 0.03), lost(200, 0.02), lost(50, undefined)], true)).toBe(2);
});
