/** The page without a network, and on hosts that send no headers, in a real browser. */
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { temporaryFolder } from "../temporary.ts";
import { makeCandidate } from "./actions.ts";
import { writeQuadrants } from "./quadrants.ts";
import { browser, buildStudio, openStudio } from "./studio.ts";

/** Waits until the files that the page loads last are stored. */
const waitUntilStored = (page: Page): Promise<unknown> =>
  expect
    .poll(
      () =>
        page.evaluate(async () => {
          const names = await caches.keys();
          const requests = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()));
          return requests.flat().some(({ url }) => url.endsWith(".wasm") && url.includes("/ort/"));
        }),
      { timeout: 20_000 },
    )
    .toBe(true);

async function edit(path: string, pattern: RegExp, replacement: string): Promise<void> {
  const text = await readFile(path, "utf8");
  expect(text).toMatch(pattern);
  await writeFile(path, text.replace(pattern, replacement));
}

describe.skipIf(browser === undefined)("the studio offline", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await buildStudio();
  });

  test("uses threads on a host that sends no headers, and quantizes a model after the server has ended", async () => {
    const { page, stopServer, errors, foreign, close } = await openStudio(folder, { isolates: false, base: "/a/b/" });
    try {
      await expect
        .poll(() => page.evaluate(() => crossOriginIsolated).catch(() => false), { timeout: 20_000 })
        .toBe(true);
      await waitUntilStored(page);
      stopServer();
      await page.reload();
      expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
      await makeCandidate(page, { model: (await writeQuadrants()).model });
      await page.getByRole("button", { name: "Compare", exact: true }).click();
      await page.getByRole("heading", { level: 1, name: /^Your visitors download .* → / }).waitFor();
      expect(foreign).toEqual([]);
      expect(errors).toEqual([]);
    } finally {
      await close();
    }
  });

  test("shows a new version at the next visit", async () => {
    const copy = temporaryFolder();
    await cp(folder, copy, { recursive: true });
    const { page, reopen, close } = await openStudio(copy);
    try {
      await waitUntilStored(page);
      await edit(join(copy, "index.html"), /<title>Pith Studio/, "<title>New Studio");
      await edit(join(copy, "service-worker.js"), /`[0-9a-f]{16}`/, '"new"');
      await page.evaluate(async () => (await navigator.serviceWorker.ready).update());
      await expect
        .poll(() => page.evaluate(async () => (await navigator.serviceWorker.ready).waiting !== null), {
          timeout: 20_000,
        })
        .toBe(true);
      await page.reload();
      expect(await page.title()).toContain("Pith Studio");
      await page.goto("about:blank");
      await expect.poll(async () => (await reopen()).title()).toContain("New Studio");
    } finally {
      await close();
    }
  });

  test("does not reload a page that its host isolates", async () => {
    const { page, close } = await openStudio(folder);
    try {
      await page.evaluate(() => navigator.serviceWorker.ready.then(({ scope }) => scope));
      expect(await page.evaluate(() => sessionStorage.length)).toBe(0);
    } finally {
      await close();
    }
  });
});
