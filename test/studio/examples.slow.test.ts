/** The examples of the start view: they open with their samples, predict most of them, and can be quantized. */
import { beforeAll, describe, expect, test } from "vitest";
import { run } from "./actions.ts";
import { browser, buildStudio, openStudio } from "./studio.ts";

describe.skipIf(browser === undefined)("the example", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await buildStudio();
  });

  test.each([
    ["Digits", 90, ".samples img"],
    ["Sentences", 90, ".samples blockquote"],
    ["Waves", 80, "svg.series"],
  ])("%s opens with samples and predicts at least %i % of them", async (title, share, view) => {
    const { page, foreign, errors, close } = await openStudio(folder);
    try {
      await page.getByRole("button", { name: title, exact: true }).click();
      await page.getByRole("heading", { level: 1, name: /layers hold/ }).waitFor();
      await page.getByRole("link", { name: /^(Add|Check the) samples$/ }).click();
      const heading = page.getByRole("heading", { level: 1, name: /The original predicts/ });
      await heading.waitFor({ timeout: 60_000 });
      expect(await page.locator(".alert").count()).toBe(0);
      const [, accuracy] = /predicts ([\d.]+)/.exec((await heading.textContent()) ?? "") ?? [];
      expect(Number(accuracy)).toBeGreaterThan(share);
      await page.locator(view).first().waitFor({ timeout: 10_000 });
      await run(page, "int8 static");
      await page.getByRole("button", { name: "Compare", exact: true }).click();
      await page.getByRole("heading", { level: 1, name: /^Your visitors download .* → / }).waitFor();
      expect(foreign).toEqual([]);
      expect(errors).toEqual([]);
    } finally {
      await close();
    }
  });
});
