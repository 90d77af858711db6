import { describe, expect, it } from "vitest";
import { repeats } from "./repeats.ts";

const repeatsIn = (text: string, weights?: readonly number[]): readonly string[] =>
  repeats([...text], weights ?? [...text].map(() => 1)).map(
    ({ start, period, count }) => `${count}×${text.slice(start, start + period)}@${start}`,
  );

describe("what repeats in a row", () => {
  it("is found in its shortest period", () => {
    expect(repeatsIn("xabababy")).toEqual(["3×ab@1"]);
    expect(repeatsIn("aaaa")).toEqual(["4×a@0"]);
  });

  it("begins as late as it can: a stem that is like the end of a piece is none", () => {
    expect(repeatsIn("bababab")).toEqual(["3×ab@1"]);
    expect(repeatsIn("n4n5n4n5n")).toEqual(["2×4n5n@1"]);
  });

  it("stands on both sides of a longer stretch", () => {
    expect(repeatsIn("aaxcdcdcdybb")).toEqual(["2×a@0", "3×cd@3", "2×b@10"]);
  });

  it("weighs more than what is shorter inside of it", () => {
    expect(repeatsIn("aabaab")).toEqual(["2×aab@0"]);
    expect(repeatsIn("abbbb")).toEqual(["4×b@1"]);
    expect(repeatsIn("aaabab", [1, 1, 1, 9, 1, 9])).toEqual(["2×a@0", "2×ab@2"]);
  });

  it("is found in a hundred thousand pieces as in ten", () => {
    const kinds = Array.from({ length: 100_000 }, (_, at) => (at === 0 ? "stem" : at % 2));
    expect(
      repeats(
        kinds,
        kinds.map(() => 1),
      ),
    ).toEqual([{ start: 2, period: 2, count: 49_999 }]);
  });

  it("is nothing where nothing does", () => {
    expect(repeatsIn("abcabd")).toEqual([]);
    expect(repeatsIn("a")).toEqual([]);
    expect(repeatsIn("")).toEqual([]);
  });
});
