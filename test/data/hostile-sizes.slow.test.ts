/** Tables with as many columns as the limit allows. */
import { describe, expect, test } from "vitest";
import { csv } from "../../src/data/index.ts";

describe("large tables", () => {
  const wide = 100_000;
  const titles = Array.from({ length: wide }, (_, column) => `c${column}`);

  // A reader whose time grows with the square of the columns exceeds the time limit.
  test.each([
    ["numbers", "1", ["features"]],
    ["text", "a", titles],
  ])("read 100,000 columns of %s", async (_, cell, columns) => {
    const row = new Array<string>(wide).fill(cell).join(",");
    const batch = await csv("wide.csv", `${titles.join(",")}\n${row}\n`).gather(Uint32Array.of(0));
    expect(Object.keys(batch)).toEqual(columns);
    expect(() => csv("wide.csv", `${titles.join(",")},c7\n${row},1\n`)).toThrow(
      `the columns 8 and ${wide + 1} are both called "c7"`,
    );
  });
});
