/** Candidates that outlive the tab and the worker, in a real browser. */
import { readFile } from "node:fs/promises";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { writeQuadrants } from "./quadrants.ts";
import { browser, buildStudio, openStudio, type Studio } from "./studio.ts";

const chooser = "input[type=file] >> nth=0";

/** Opens the model with its samples, and makes a candidate. */
async function makeCandidate(page: Page, { model, data }: { model: string; data: string }): Promise<void> {
  await page.setInputFiles(chooser, model);
  await page.getByRole("link", { name: "Check the samples" }).click();
  await page.setInputFiles(chooser, data);
  await page.getByRole("heading", { level: 1, name: /of the original|The original predicts/ }).waitFor();
  await run(page, "int8 weights");
}

async function run(page: Page, name: string): Promise<void> {
  await page.getByRole("link", { name: /^3 Smaller/ }).click();
  await page.getByRole("radio", { name }).check();
  await page.getByRole("button", { name: `Run ${name}` }).click();
  await page.getByRole("button", { name: "Compare", exact: true }).waitFor();
}

async function downloadModel(page: Page): Promise<Buffer> {
  await page.getByRole("link", { name: /^5 Take/ }).click();
  const started = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download" }).first().click();
  return readFile(await (await started).path());
}

/** Waits until the page has stored the model with its candidates. */
const waitUntilStored = (page: Page, candidates: number): Promise<unknown> =>
  expect.poll(() => page.evaluate(readStoredCount), { timeout: 20_000 }).toBe(candidates);

async function readStoredCount(): Promise<number> {
  const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("pith-studio");
  for await (const folder of root.values()) {
    if (folder.kind !== "directory") continue;
    const record = await (await folder.getFileHandle("session.json")).getFile();
    return JSON.parse((await record.text()) || '{"candidates":[]}').candidates.length;
  }
  return 0;
}

describe.skipIf(browser === undefined)("candidates in the studio", () => {
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

  test("are shown and downloaded after the tab was closed, and the model can be chosen again to make more", () =>
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
      await next.getByRole("heading", { level: 1, name: /smaller; \d+ of \d+ predictions change/ }).waitFor();
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

  test("are removed with all of their files", () =>
    inStudio(async ({ page, reopen }) => {
      await makeCandidate(page, await writeQuadrants());
      await waitUntilStored(page, 1);
      const next = await reopen();
      await next.getByRole("button", { name: "Remove" }).click();
      await next.getByText("quadrants.onnx and its 1 candidate are removed").waitFor();
      expect(await next.getByRole("button", { name: "Continue" }).count()).toBe(0);
      expect(await next.evaluate(readStoredCount)).toBe(0);
      expect(await next.evaluate(async () => (await navigator.storage.estimate()).usageDetails)).not.toHaveProperty(
        "fileSystem",
      );
    }));

  test("survive a worker that ends, and the next run opens the model and the samples again", () =>
    inStudio(async ({ page }) => {
      await makeCandidate(page, await writeQuadrants());
      const [worker] = page.workers();
      await worker?.evaluate(() => self.close());
      expect((await downloadModel(page)).length).toBeGreaterThan(0);
      await run(page, "float16");
      expect(await page.getByRole("row", { name: /int8 weights/ }).count()).toBe(1);
    }));

  test("leave a sentence about a worker that ends during a run", () =>
    inStudio(async ({ page }) => {
      await makeCandidate(page, await writeQuadrants());
      await page.getByRole("radio", { name: "prune channels" }).check();
      await page.getByRole("button", { name: "Run prune channels" }).click();
      await page.workers()[0]?.evaluate(() => {
        setTimeout(() => {
          throw new Error("out of memory");
        });
      });
      await page.getByRole("alert").getByText("The computation ended unexpectedly").waitFor();
      await page.getByRole("button", { name: "Run prune channels" }).click();
      await page.getByRole("row", { name: /prune channels/ }).waitFor();
    }));

  test("stay in memory if the storage is full, and are stored when another model is removed", () =>
    inStudio(async ({ page, reopen }) => {
      await makeCandidate(page, await writeQuadrants());
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
      await makeCandidate(next, await writeQuadrants(2));
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
