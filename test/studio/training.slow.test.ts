import { expect, test } from "vitest";
import { run } from "./actions.ts";
import { browser, buildStudio, openStudio } from "./studio.ts";

test.skipIf(browser === undefined)(
  "a training shows its losses, and is tested on samples that it did not use",
  async () => {
    const { page, errors, close } = await openStudio(await buildStudio());
    try {
      page.setDefaultTimeout(300_000);
      await page.getByRole("button", { name: "Digits", exact: true }).click();
      await page.getByRole("link", { name: /^(Add|Check the) samples$/ }).click();
      await page.getByRole("heading", { level: 1, name: /The original predicts/ }).waitFor();
      // Without training, they are fitted on training samples, which data without parts must provide, too.
      for (const name of ["low rank", "prune channels"]) await run(page, name);
      // Less than half of a block of channels.
      await page.getByLabel(/^remove/).fill("0.05");
      await page.getByRole("button", { name: /^Run / }).click();
      const alert = page.getByRole("alert");
      await alert.getByText("Nothing changed: conv1: 5 % of its 16 channels is less than half of a block").waitFor();
      await alert.getByText("Choose a larger amount, or another technique.").waitFor();
      expect(await page.getByRole("row", { name: /prune channels/ }).count()).toBe(1);
      await page.getByLabel(/^remove/).fill("0.4");
      await page.getByLabel("train afterwards").check();
      await page.getByRole("button", { name: /^Run / }).click();
      await page.getByRole("img", { name: /^training loss .* over \d+ steps$/ }).waitFor();
      await page.getByRole("button", { name: "Compare", exact: true }).waitFor();
      const chart = page.getByRole("img", {
        name: /^accuracy against bytes after brotli: original .*; prune channels, remove/,
      });
      await chart.waitFor();
      const row = await page.getByRole("row", { name: /prune channels, remove 40/ }).innerText();
      expect(row).toMatch(/tested on 200 other samples/);
      expect(errors).toEqual([]);
    } finally {
      await close();
    }
  },
);
