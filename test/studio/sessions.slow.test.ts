/** Candidates that outlive the tab and the worker, in a real browser. */
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import {
  downloadModel,
  interruptWrite,
  makeCandidate,
  readStored,
  readStoredNames,
  run,
  waitUntilStored,
  workerOf,
} from "./actions.ts";
import { writeQuadrants } from "./quadrants.ts";
import { browser, builtStudio } from "./studio.ts";

describe.skipIf(browser === undefined)("candidates in the studio", () => {
  const inStudio = builtStudio();

  test("are shown and downloaded after the tab was closed", () =>
    inStudio(async ({ page, reopen, errors }) => {
      await makeCandidate(page, { model: (await writeQuadrants()).model });
      const downloaded = await downloadModel(page);
      await waitUntilStored(page, 1);
      await page.evaluate(interruptWrite);
      const next = await reopen();
      await next.getByText(/Continue with quadrants.onnx: 1 candidate, from \d+ \w+/).waitFor();
      await next.getByRole("button", { name: "Continue" }).click();
      await next.getByRole("row", { name: /int8 weights/ }).waitFor();
      expect(await downloadModel(next)).toEqual(downloaded);
      await next.getByRole("link", { name: /^4 Compare/ }).click();
      await next.getByRole("heading", { level: 1, name: /^Your visitors download .* → / }).waitFor();
      await next.getByRole("group", { name: "Choose quadrants.onnx again" }).waitFor();
      expect(await next.evaluate(readStoredNames)).toHaveLength(1);
      expect(errors).toEqual([]);
    }));

  test("the one that the user chose is on all pages, also after the tab was closed", () =>
    inStudio(async ({ page, reopen, errors }) => {
      await makeCandidate(page, await writeQuadrants());
      await run(page, "fewer bits");
      const chosenOf = (tab: Page): Promise<string> => tab.getByRole("combobox", { name: "Take" }).inputValue();
      for (const name of ["4 bits", "int8 weights"]) {
        await page.getByRole("link", { name: /^3 Smaller/ }).click();
        await page.getByRole("button", { name, exact: true }).click();
        await page.getByText(`Chosen: ${name}, `).waitFor();
        await page.getByRole("link", { name: /^5 Take/ }).click();
        expect(await chosenOf(page)).toContain(name);
      }
      await waitUntilStored(page, 2);
      await expect.poll(async () => (await page.evaluate(readStored)).chosen).toContain("int8 weights");
      const next = await reopen();
      await next.getByRole("button", { name: "Continue" }).click();
      await next.getByRole("link", { name: /^5 Take/ }).click();
      expect(await chosenOf(next)).toContain("int8 weights");
      expect(errors).toEqual([]);
    }));

  test("ask for the files again before the samples can be read in another way", () =>
    inStudio(async ({ page, reopen, errors }) => {
      await makeCandidate(page, await writeQuadrants());
      await waitUntilStored(page, 1);
      const next = await reopen();
      await next.getByRole("button", { name: "Continue" }).click();
      await next.getByRole("link", { name: /^2 Samples/ }).click();
      await next.getByRole("group", { name: "Choose quadrants.onnx again" }).waitFor();
      expect(await next.getByRole("button", { name: /^(use|Test on all .*)$/ }).count()).toBe(0);
      expect(errors).toEqual([]);
    }));

  test("are removed with all of their files", () =>
    inStudio(async ({ page, reopen }) => {
      await makeCandidate(page, { model: (await writeQuadrants()).model });
      await waitUntilStored(page, 1);
      const next = await reopen();
      await next.getByRole("button", { name: "Remove" }).click();
      await next.getByText("quadrants.onnx and its 1 candidate were removed").waitFor();
      expect(await next.getByRole("button", { name: "Continue" }).count()).toBe(0);
      expect(await next.evaluate(readStoredNames)).toEqual([]);
    }));

  test("survive a worker that ends, and the next run opens the model again", () =>
    inStudio(async ({ page }) => {
      await makeCandidate(page, { model: (await writeQuadrants()).model });
      await workerOf(page)?.evaluate(() => self.close());
      expect((await downloadModel(page)).length).toBeGreaterThan(0);
      await run(page, "float16");
      expect(await page.getByRole("row", { name: /int8 weights/ }).count()).toBe(1);
    }));

  test("stay in memory if the storage is full, and are stored when another model is removed", () =>
    inStudio(async ({ page, reopen }) => {
      await makeCandidate(page, { model: (await writeQuadrants()).model });
      await waitUntilStored(page, 1);
      const next = await reopen();
      await next.evaluate(() => {
        const { write } = FileSystemWritableFileStream.prototype;
        FileSystemWritableFileStream.prototype.write = async function (content) {
          const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("pith-studio");
          let models = 0;
          for await (const _ of root.keys()) models++;
          if (models > 1) throw new DOMException("The quota is exceeded.", "QuotaExceededError");
          return write.call(this, content);
        };
      });
      await makeCandidate(next, { model: (await writeQuadrants(2)).model });
      await next.getByText("the browser’s storage for this page is full").waitFor();
      expect((await downloadModel(next)).length).toBeGreaterThan(0);
      await next.getByRole("link", { name: "remove stored models" }).click();
      await next.getByRole("button", { name: "Remove" }).click();
      await waitUntilStored(next, 1);
      await next.getByText(/Continue with quadrants.onnx: 1 candidate/).waitFor();
      await next.getByRole("link", { name: /^3 Smaller/ }).click();
      expect(await next.getByText("the browser’s storage for this page is full").count()).toBe(0);
    }));
});
