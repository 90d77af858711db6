/** Candidates on samples that outlive the tab and the worker, in a real browser. */
import { describe, expect, test } from "vitest";
import { chooser, downloadModel, makeCandidate, run, waitUntilStored, workerOf } from "./actions.ts";
import { writeQuadrants } from "./quadrants.ts";
import { browser, builtStudio } from "./studio.ts";

describe.skipIf(browser === undefined)("candidates on samples", () => {
  const inStudio = builtStudio();

  test("continue after the tab was closed, with the same model and the same samples", () =>
    inStudio(async ({ page, reopen, errors }) => {
      const files = await writeQuadrants();
      await makeCandidate(page, files);
      const original = await downloadModel(page);
      await waitUntilStored(page, 1);
      const next = await reopen();
      await next.getByText(/Continue with quadrants.onnx: 1 candidate, from \d+ \w+/).waitFor();
      await next.getByRole("button", { name: "Continue" }).click();
      await next.getByRole("row", { name: /int8 weights/ }).waitFor();
      expect(await downloadModel(next)).toEqual(original);
      await next.getByRole("link", { name: /^4 Compare/ }).click();
      await next
        .getByRole("heading", { level: 1, name: /download .* → .*\. \d+ of \d+ predictions? changes?/ })
        .waitFor();
      await next.getByRole("link", { name: /^3 Smaller/ }).click();
      await next.getByRole("radio", { name: "float16" }).check();
      await next.setInputFiles(chooser, (await writeQuadrants(2)).model);
      await next.getByRole("alert").getByText("this is not the model of these candidates").waitFor();
      await next.setInputFiles(chooser, files.model);
      await next.getByRole("group", { name: "Choose points.csv again" }).waitFor();
      await next.setInputFiles(chooser, files.data);
      await next.getByRole("button", { name: "Run float16" }).click();
      await next.getByRole("row", { name: /float16/ }).waitFor();
      await waitUntilStored(next, 2);
      expect(errors).toEqual([]);
    }));

  test("survive a worker that ends during a run, and the next run opens the model and the samples again", () =>
    inStudio(async ({ page }) => {
      await makeCandidate(page, await writeQuadrants());
      await page.getByRole("radio", { name: "prune channels" }).check();
      await workerOf(page)?.evaluate(() => {
        setTimeout(() => {
          throw new Error("out of memory");
        }, 500);
      });
      await page.getByRole("button", { name: "Run prune channels" }).click();
      await page.getByRole("alert").getByText("The computation ended unexpectedly").waitFor();
      await run(page, "float16");
      expect(await page.getByRole("row", { name: /int8 weights/ }).count()).toBe(1);
    }));
});
