import { describe, expect, it } from "vitest";
import { findRepeats } from "./repeats.ts";

const repeatsIn = (text: string, weights?: readonly number[]): readonly string[] =>
  findRepeats([...text], weights ?? [...text].map(() => 1)).map(
    ({ start, period, count }) => `${count}×${text.slice(start, start + period)}@${start}`,
  );

describe("findRepeats", () => {
  it("finds the shortest period", () => {
    expect(repeatsIn("xabababy")).toEqual(["3×ab@1"]);
    expect(repeatsIn("aaaa")).toEqual(["4×a@0"]);
  });

  it("starts as late as possible, so a stem that resembles a period is excluded", () => {
    expect(repeatsIn("bababab")).toEqual(["3×ab@1"]);
    expect(repeatsIn("n4n5n4n5n")).toEqual(["2×4n5n@1"]);
  });

  it("finds repeats on both sides of a longer one", () => {
    expect(repeatsIn("aaxcdcdcdybb")).toEqual(["2×a@0", "3×cd@3", "2×b@10"]);
  });

  it("prefers a larger repeat to a smaller one inside it", () => {
    expect(repeatsIn("aabaab")).toEqual(["2×aab@0"]);
    expect(repeatsIn("abbbb")).toEqual(["4×b@1"]);
    expect(repeatsIn("aaabab", [1, 1, 1, 9, 1, 9])).toEqual(["2×a@0", "2×ab@2"]);
  });

  it("finds nothing without a repeat", () => {
    expect(repeatsIn("abcabd")).toEqual([]);
    expect(repeatsIn("a")).toEqual([]);
    expect(repeatsIn("")).toEqual([]);
  });
});
