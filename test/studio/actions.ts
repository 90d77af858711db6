/** Does what a user does on the page, for tests of candidates. */
import { readFile } from "node:fs/promises";
import type { Page, Worker } from "playwright-core";
import { expect } from "vitest";

/** The first file chooser of the view. */
export const chooser = "input[type=file] >> nth=0";

/** Opens a model, with samples if there are any, and makes a candidate. */
export async function makeCandidate(page: Page, { model, data }: { model: string; data?: string }): Promise<void> {
  await page.setInputFiles(chooser, model);
  await page.getByRole("link", { name: /^(Add|Check the) samples$/ }).click();
  if (data !== undefined) {
    await page.setInputFiles(chooser, data);
    await page.getByRole("heading", { level: 1, name: /of the original|The original predicts/ }).waitFor();
  }
  await run(page, "int8 weights");
}

export async function run(page: Page, name: string): Promise<void> {
  await page.getByRole("link", { name: /^3 Smaller/ }).click();
  await page.getByRole("radio", { name }).check();
  await page.getByRole("button", { name: /^Run / }).click();
  await page.getByRole("button", { name: "Compare", exact: true }).waitFor();
}

export async function downloadModel(page: Page): Promise<Buffer> {
  await page.getByRole("link", { name: /^5 Take/ }).click();
  const started = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download" }).first().click();
  return readFile(await (await started).path());
}

/** Returns the worker that runs Pith, which starts others. */
export const workerOf = (page: Page): Worker | undefined =>
  page.workers().find((worker) => worker.url().includes("/worker-"));

/** Waits until the page has stored the model with its candidates. */
export const waitUntilStored = (page: Page, candidates: number): Promise<unknown> =>
  expect.poll(async () => (await page.evaluate(readStored)).count, { timeout: 20_000 }).toBe(candidates);

/** Returns the number of candidates of the only stored model, and the id of the one that the user chose. */
export async function readStored(): Promise<{ readonly count: number; readonly chosen: string }> {
  const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("pith-studio");
  for await (const folder of root.values()) {
    if (folder.kind !== "directory") continue;
    const record = await (await folder.getFileHandle("session.json")).getFile();
    const { candidates, takenId = "" } = JSON.parse((await record.text()) || '{"candidates":[]}');
    return { count: candidates.length, chosen: takenId };
  }
  return { count: 0, chosen: "" };
}

export async function readStoredNames(): Promise<readonly string[]> {
  const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("pith-studio");
  const names: string[] = [];
  for await (const name of root.keys()) names.push(name);
  return names;
}

/** Leaves the files of a model whose first write was interrupted. */
export async function interruptWrite(): Promise<void> {
  const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("pith-studio");
  const folder = await root.getDirectoryHandle("interrupted", { create: true });
  await folder.getFileHandle("session.json", { create: true });
  await folder.getFileHandle("candidate.onnx", { create: true });
}
