/** Shows every step of the page with the digits. `PITH_IMAGES=docs/images` writes the pictures of the documentation. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../temporary.ts";
import { run } from "./actions.ts";
import { browser, buildStudio, openStudio } from "./studio.ts";

/** The first look is that of the documentation. */
const looks = [
  ["light", 1280],
  ["dark", 1280],
  ["light", 390],
  ["dark", 390],
] as const;
const steps = ["start", "model", "samples", "smaller", "compare", "take"];

test.skipIf(browser === undefined)("the studio fits into wide and narrow windows in both themes", async () => {
  const images = process.env.PITH_IMAGES;
  const pictures = temporaryFolder();
  const { page, errors, close } = await openStudio(await buildStudio());
  try {
    page.setDefaultTimeout(300_000);
    await page.emulateMedia({ reducedMotion: "reduce" });
    await page.getByRole("button", { name: "Digits", exact: true }).click();
    await page.getByRole("link", { name: /^(Add|Check the) samples$/ }).click();
    await page.getByRole("heading", { level: 1, name: /The original predicts/ }).waitFor();
    for (const name of ["int8 weights", "fewer bits", "int8 static"]) await run(page, name);
    // The longest name.
    await page.getByRole("radio", { name: "smallest download" }).check();
    await page.getByLabel(/^fast: 50/).check();
    await page.getByRole("button", { name: /^Run smallest/ }).click();
    await page.getByRole("button", { name: /^smallest download, error/ }).click();
    for (const step of steps) {
      await page.evaluate((hash) => {
        location.hash = hash;
      }, step);
      await page.getByRole("heading", { level: 1 }).waitFor();
      // Sizes after compression are measured while nothing else is computed.
      await expect.poll(() => page.getByText("being measured").count(), { timeout: 300_000 }).toBe(0);
      if (step === "compare") await page.getByRole("img", { name: /^Signal to noise of each layer/ }).waitFor();
      for (const [colorScheme, width] of looks) {
        await page.emulateMedia({ colorScheme });
        await page.setViewportSize({ width, height: 900 });
        const isDocumented = images !== undefined && colorScheme === "light" && width === 1280;
        const name = isDocumented ? `studio-${step}` : `${step}-${colorScheme}-${width}`;
        await page.screenshot({ path: join(isDocumented ? images : pictures, `${name}.png`), fullPage: !isDocumented });
        const overflow = await page.evaluate(() => Math.max(0, document.documentElement.scrollWidth - innerWidth));
        expect({ name, overflow }).toEqual({ name, overflow: 0 });
      }
    }
    expect(errors).toEqual([]);
  } finally {
    await close();
  }
});
