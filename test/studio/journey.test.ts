/** The page in a real browser: its start, and a file that is no model. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { temporaryFolder } from "../temporary.ts";
import { browser, buildStudio, openStudio, type Studio } from "./studio.ts";

describe.skipIf(browser === undefined)("the studio", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await buildStudio();
  });

  async function inStudio(use: (studio: Studio) => Promise<void>): Promise<void> {
    const studio = await openStudio(folder);
    try {
      await use(studio);
    } finally {
      await studio.close();
    }
  }

  test("explains a file that is not a model where it was dropped", () =>
    inStudio(async ({ page }) => {
      const broken = join(temporaryFolder(), "broken.onnx");
      await writeFile(broken, "this is a text");
      await page.setInputFiles("input[type=file] >> nth=0", broken);
      const alert = page.getByRole("alert");
      await alert.waitFor();
      expect(await alert.textContent()).toContain("broken.onnx");
      expect(await alert.textContent()).toContain("E_NOT_ONNX");
      expect(new URL(page.url()).hash).not.toBe("#model");
    }));

  test("shows the start view before any script has run", async () => {
    const html = await readFile(join(folder, "index.html"), "utf8");
    expect(html).toContain("Your visitors download your model.");
    expect(html).not.toMatch(/<script>|style="/);
  });
});
