/** Repeats in a long list. */
import { describe, expect, it } from "vitest";
import { findRepeats } from "./repeats.ts";

describe("findRepeats", () => {
  it("finds one repeat in 100,000 items", () => {
    const kinds = Array.from({ length: 100_000 }, (_, at) => (at === 0 ? "stem" : at % 2));
    expect(
      findRepeats(
        kinds,
        kinds.map(() => 1),
      ),
    ).toEqual([{ start: 2, period: 2, count: 49_999 }]);
  });
});
