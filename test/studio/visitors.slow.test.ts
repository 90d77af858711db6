/** A web developer reads what visitors download, queues techniques, takes the smallest file, and shares the result. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../temporary.ts";
import { waitUntilStored } from "./actions.ts";
import { browser, builtStudio, openAddress } from "./studio.ts";

const sentence = /^Your visitors download [\d.]+\s[kM]?B → [\d.]+\s[kM]?B\. [\d,]+ of [\d,]+ predictions? changes?\.$/;

async function openWaves(page: Page): Promise<void> {
  page.setDefaultTimeout(120_000);
  await page.getByRole("button", { name: "Waves", exact: true }).click();
  await page.getByRole("heading", { level: 1, name: /^Your visitors download .* layers hold/ }).waitFor();
  await page.getByRole("link", { name: /^(Add|Check the) samples$/ }).click();
  await page.getByRole("heading", { level: 1, name: /The original predicts/ }).waitFor();
  await page.getByRole("link", { name: "Make it smaller" }).click();
}

async function save(page: Page, row: RegExp): Promise<Buffer> {
  const started = page.waitForEvent("download");
  await page.getByRole("row", { name: row }).getByRole("button").click();
  return readFileSync(await (await started).path());
}

describe.skipIf(browser === undefined)("a web developer", () => {
  const inStudio = builtStudio();

  test("queues techniques, takes the smallest download with its brotli copy, and shares a link that makes it again", () =>
    inStudio(async ({ page, errors }) => {
      await openWaves(page);
      await page.getByRole("radio", { name: /^int8 weights ≈/ }).waitFor();
      await page.getByRole("radio", { name: /smallest download/ }).check();
      await page.getByLabel(/^fast: 50 calibration samples/).check();
      await page.getByRole("button", { name: /^Run smallest download/ }).click();
      await page.getByRole("radio", { name: /^int8 weights/ }).check();
      await page.getByRole("button", { name: "Then run int8 weights" }).click();
      await page.getByRole("radio", { name: /^float16/ }).check();
      await page.getByRole("button", { name: "Then run float16" }).click();
      await page.getByRole("button", { name: "Remove float16" }).click();
      await page.getByRole("row", { name: /int8 weights/ }).waitFor();
      expect(await page.getByRole("row", { name: /smallest download/ }).count()).toBe(1);
      expect(await page.getByRole("row", { name: /float16/ }).count()).toBe(0);
      const title = page.getByRole("heading", { level: 1, name: sentence });
      const text = await title.textContent();
      await page.getByRole("img", { name: /^accuracy against bytes after brotli/ }).waitFor();
      await page.getByRole("radio", { name: "on disk" }).check();
      await page.getByRole("heading", { level: 1, name: /^The file takes .* on disk/ }).waitFor();
      await page.getByRole("img", { name: /^accuracy against bytes: / }).waitFor();
      await page.getByRole("radio", { name: "download", exact: true }).check();
      // The latest candidate is another one.
      await page.getByRole("link", { name: /^5 Take/ }).click();
      expect(await page.getByRole("combobox", { name: "Take" }).inputValue()).toContain("smallest download");
      expect(await title.textContent()).toBe(text);
      const model = await save(page, /\.onnx the model/);
      const copy = await save(page, /\.onnx\.br/);
      expect(brotliDecompressSync(copy).equals(model)).toBe(true);
      expect(text).toContain(`${(copy.length / 1000).toPrecision(3)}\u00a0kB.`);
      await page.getByText("brotli_static on").waitFor();
      await page.evaluate(() => {
        navigator.clipboard.writeText = async (copied) => {
          document.title = copied;
        };
      });
      await page.getByRole("button", { name: "Copy with a link" }).click();
      await page.getByText("Copied.").waitFor();
      const [, copied, link = ""] = /^(.*) (http.*)$/.exec(await page.title()) ?? [];
      expect(copied).toContain(text ?? "");
      const picture = page.waitForEvent("download");
      await page.getByRole("button", { name: "Save as a picture" }).click();
      expect(readFileSync(await (await picture).path()).toString("latin1", 1, 4)).toBe("PNG");
      const other = await openAddress(link);
      try {
        other.page.setDefaultTimeout(120_000);
        await other.page.getByRole("heading", { level: 1, name: text ?? "" }).waitFor();
        await other.page.getByRole("button", { name: /^Make it again with the example/ }).click();
        await other.page.getByRole("row", { name: /smallest download.*fast/ }).waitFor();
        expect(await other.page.getByRole("heading", { level: 1, name: sentence }).textContent()).toBe(text);
        expect(other.errors).toEqual([]);
      } finally {
        await other.close();
      }
      expect(errors).toEqual([]);
    }));

  test("reads the smallest download before it is made, within 15 percent, for each setting of the error", () =>
    inStudio(async ({ page, errors }) => {
      await openWaves(page);
      await page.getByRole("radio", { name: /^smallest download ≈/ }).check();
      for (const error of ["0.0025", "0.01"]) {
        await page.getByLabel(/^error/).fill(error);
        const figures = page.locator(".duo .pane").nth(1).locator("dd").first();
        const sizeOf = async (): Promise<number> => Number(/[\d.]+/.exec(await figures.innerText())?.[0]);
        const estimate = await sizeOf();
        await page.getByRole("button", { name: /^Run smallest download/ }).click();
        await page.getByRole("button", { name: "Compare", exact: true }).waitFor();
        expect({ error, ratio: Math.abs(estimate / (await sizeOf()) - 1) < 0.15 }).toEqual({ error, ratio: true });
      }
      expect(errors).toEqual([]);
    }));

  test("continues an example after the tab was closed, and downloads its files", () =>
    inStudio(async ({ page, reopen, errors }) => {
      await openWaves(page);
      await page.getByRole("radio", { name: /^int8 weights/ }).check();
      await page.getByRole("button", { name: "Run int8 weights" }).click();
      await page.getByRole("row", { name: /int8 weights/ }).waitFor();
      await waitUntilStored(page, 1);
      const next = await reopen();
      next.setDefaultTimeout(120_000);
      await next.getByRole("button", { name: "Continue" }).click();
      await next.getByText(/^tested on/).waitFor();
      // Estimates are stored, too.
      await next.getByRole("radio", { name: /^fewer bits ≈/ }).waitFor();
      await next.getByRole("radio", { name: /^float16/ }).check();
      await next.getByRole("button", { name: "Run float16" }).click();
      await next.getByRole("row", { name: /float16/ }).waitFor();
      await next.getByRole("link", { name: /^5 Take/ }).click();
      expect(await next.locator("pre").first().textContent()).toContain(
        "compress waves/waves.onnx --data waves/samples.npz",
      );
      const started = next.waitForEvent("download");
      await next.getByRole("link", { name: "waves.zip" }).click();
      expect((await started).suggestedFilename()).toBe("waves.zip");
      expect(errors).toEqual([]);
    }));

  test("learns that a folder of photos is not a model, before the page reads it", () =>
    inStudio(async ({ page }) => {
      const photos = join(temporaryFolder(), "photos");
      mkdirSync(photos);
      for (const name of ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]) writeFileSync(join(photos, name), "x");
      await page.setInputFiles("input[type=file] >> nth=1", photos);
      const alert = page.getByRole("alert");
      await alert.getByText("The 4 chosen files have no model (.onnx): ").waitFor();
      await alert.getByText("Samples are chosen in the next step.").waitFor();
    }));

  test("is asked before a page is left whose candidate is being made", () =>
    inStudio(async ({ page }) => {
      await openWaves(page);
      await page.getByRole("radio", { name: /^prune channels/ }).check();
      await page.getByRole("button", { name: /^Run prune/ }).click();
      await page.getByRole("progressbar").waitFor();
      const asked = page.waitForEvent("dialog");
      const reload = page.reload().catch(() => {});
      const dialog = await asked;
      expect(dialog.type()).toBe("beforeunload");
      await dialog.accept();
      await reload;
    }));
});
