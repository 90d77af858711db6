/** The built page before any script has run. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { browser, buildStudio } from "./studio.ts";

describe.skipIf(browser === undefined)("the studio", () => {
  test("shows the start view before any script has run", async () => {
    const html = await readFile(join(await buildStudio(), "index.html"), "utf8");
    expect(html).toContain("Your visitors download your model.");
    expect(html).not.toMatch(/<script>|style="/);
  });
});
