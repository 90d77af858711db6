/** The built page before any script has run, and in a real browser. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { writeQuadrants } from "./quadrants.ts";
import { browser, buildStudio, openStudio } from "./studio.ts";

describe.skipIf(browser === undefined)("the studio", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await buildStudio();
  });

  test("shows the start view before any script has run", async () => {
    const html = await readFile(join(folder, "index.html"), "utf8");
    expect(html).toContain("Your visitors download your model.");
    expect(html).not.toMatch(/<script>|style="/);
  });

  test("opens a model that the user drops, and requests nothing from other servers", async () => {
    const { model } = await writeQuadrants();
    const { page, foreign, errors, close } = await openStudio(folder);
    try {
      await page.setInputFiles("input[type=file] >> nth=0", model);
      await page.getByRole("heading", { level: 1, name: /layers hold/ }).waitFor();
      expect({ foreign, errors }).toEqual({ foreign: [], errors: [] });
    } finally {
      await close();
    }
  });
});
