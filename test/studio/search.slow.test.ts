/** A search in the tab finds a smaller model within its time, and its points appear on the chart. */
import { expect, test } from "vitest";
import { browser, buildStudio, openStudio } from "./studio.ts";

test.skipIf(browser === undefined)("the studio searches for at most two minutes, and shows what it tried", async () => {
  const { page, errors, close } = await openStudio(await buildStudio());
  try {
    page.setDefaultTimeout(60_000);
    await page.getByRole("button", { name: "Digits", exact: true }).click();
    await page.getByRole("link", { name: /^(Add|Check the) samples$/ }).click();
    await page.getByRole("heading", { level: 1, name: /The original predicts/ }).waitFor();
    await page.getByRole("link", { name: "Make it smaller" }).click();
    await page.getByRole("radio", { name: /^search/ }).check();
    await page.getByRole("slider", { name: "for" }).fill("2");
    await page.getByRole("button", { name: "Run search, for 2 min" }).click();
    // Measuring the result follows the search.
    await page.getByRole("button", { name: "Compare", exact: true }).waitFor({ timeout: 300_000 });
    await page.getByRole("heading", { level: 1, name: /^Your visitors download 250.kB → / }).waitFor();
    // A search in a tab compares sizes on disk.
    await page.getByText("The results that a search tried are drawn with sizes on disk.").waitFor();
    await page.getByRole("radio", { name: "on disk" }).check();
    expect(await page.locator(".chart .searched").count()).toBeGreaterThan(2);
    expect(errors).toEqual([]);
  } finally {
    await close();
  }
});
