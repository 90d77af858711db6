/** The examples download digits from a mirror if the first source does not have them. */
import { readdir } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { beforeEach, describe, expect, test } from "vitest";
import { digitsOfMirror } from "../../examples/digits.ts";
import { temporaryFolder } from "../temporary.ts";

describe("the mirror", () => {
  let folder = "";
  beforeEach(async () => {
    folder = temporaryFolder();
  });

  test.each([
    ["a missing network", undefined],
    ["the page of a proxy", new TextEncoder().encode("<html>Please log in</html>")],
    ["another file", gzipSync(new Uint8Array(100))],
  ])("returns no data and stores nothing for %s", async (_, bytes) => {
    expect(await digitsOfMirror(folder, async () => bytes)).toBeUndefined();
    expect(await readdir(folder)).toEqual([]);
  });
});
