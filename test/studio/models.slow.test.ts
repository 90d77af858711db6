/** Real models of several kinds: a folder of transformers.js with sentences, photos without labels, and sound. */
import { copyFileSync, mkdirSync, readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { unzipSync } from "fflate";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { shared } from "../shared.ts";
import { temporaryFolder } from "../temporary.ts";
import { run } from "./actions.ts";
import { browser, buildStudio, openStudio } from "./studio.ts";

const data = shared("data");

describe.skipIf(browser === undefined || data === undefined)("the studio", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await buildStudio();
  });

  async function inStudio(use: (page: Page) => Promise<void>): Promise<void> {
    const { page, foreign, errors, close } = await openStudio(folder);
    try {
      page.setDefaultTimeout(300_000);
      await use(page);
      expect(foreign).toEqual([]);
      expect(errors).toEqual([]);
    } finally {
      await close();
    }
  }

  const sharedPath = (path: string): string => join(data ?? "", path);
  const chooseFiles = (page: Page, path: string): Promise<void> =>
    page.setInputFiles("input[type=file] >> nth=0", sharedPath(path));
  const chooseFolder = (page: Page, path: string): Promise<void> =>
    page.setInputFiles("input[type=file] >> nth=1", path);
  const statePreprocessing = async (page: Page, text: string): Promise<void> => {
    await page
      .getByRole("textbox", { name: "Preprocessing" })
      .or(page.getByLabel("Preprocessing", { exact: true }))
      .first()
      .fill(text);
    await page.getByRole("button", { name: "Use it" }).click();
  };
  const showSamples = (page: Page): Promise<void> =>
    page.getByRole("link", { name: /^(Add|Check the) samples$/ }).click();

  test("tests a candidate on all samples, which replaces it, and a guessed preprocessing stays a guess", () =>
    inStudio(async (page) => {
      await chooseFiles(page, "models/resnet8_cifar10.onnx");
      await showSamples(page);
      await chooseFolder(page, sharedPath("cifar10"));
      await page.getByText("No file states the preprocessing").waitFor();
      await run(page, "fewer bits");
      await run(page, "int8 weights");
      // The user chooses the candidate that is not the latest.
      await page.getByRole("button", { name: "4 bits", exact: true }).click();
      await page.getByRole("link", { name: /^4 Compare/ }).click();
      await page.getByRole("heading", { level: 1, name: /of 500 predictions/ }).waitFor();
      await page.getByRole("link", { name: /^5 Take/ }).click();
      expect(await page.getByRole("combobox", { name: "Take" }).inputValue()).toContain("4 bits");
      await page.getByText("async function inputOf(image)").waitFor();
      await page.getByRole("button", { name: /^Make it again, tested on all 1,000 samples/ }).click();
      await page.getByRole("row", { name: /int8 weights.*tested on 500 samples/ }).waitFor();
      await page.getByRole("button", { name: "Compare", exact: true }).click();
      await page.getByRole("heading", { level: 1, name: /of 1,000 predictions/ }).waitFor();
      await page.getByRole("link", { name: /^3 Smaller/ }).click();
      expect(await page.getByRole("row", { name: /4 bits/ }).count()).toBe(1);
      await page.getByRole("link", { name: /^2 Samples/ }).click();
      await page.getByText("No file states the preprocessing").waitFor();
      expect(await page.getByText("recorded in the model").count()).toBe(0);
    }));

  test("compresses a folder of transformers.js on sentences, and returns it as a zip", () =>
    inStudio(async (page) => {
      await chooseFolder(page, sharedPath("models/bert_sst2"));
      await showSamples(page);
      await chooseFiles(page, "text/sst2_dev.tsv");
      await page.getByRole("heading", { level: 1, name: /The original predicts 7\d/ }).waitFor();
      expect(await page.locator(".samples blockquote").count()).toBe(6);
      await page.getByRole("link", { name: "Make it smaller" }).click();
      for (const dtype of ["q8", "q4"]) {
        await page.getByRole("radio", { name: /for transformers.js/ }).check();
        await page.getByRole("combobox", { name: "dtype" }).selectOption(dtype);
        await page.getByRole("button", { name: `Run ${dtype}` }).click();
        await page.getByRole("button", { name: "Compare", exact: true }).waitFor();
      }
      await page.getByRole("button", { name: "Compare", exact: true }).click();
      await page.getByRole("heading", { name: "Samples with different predictions" }).waitFor();
      await page.getByRole("button", { name: /^Take/ }).click();
      await page.getByRole("row", { name: /^q4 .*model_q4\.onnx/ }).waitFor();
      const started = page.waitForEvent("download");
      await page.getByRole("button", { name: "Download the folder" }).click();
      const files = unzipSync(await readFile(await (await started).path()));
      expect(Object.keys(files).sort()).toEqual([
        "bert_sst2/config.json",
        "bert_sst2/onnx/model_q4.onnx",
        "bert_sst2/onnx/model_quantized.onnx",
        "bert_sst2/tokenizer.json",
        "bert_sst2/tokenizer_config.json",
      ]);
    }));

  test("compresses a network for photos without labels", () =>
    inStudio(async (page) => {
      const photos = join(temporaryFolder(), "photos");
      mkdirSync(photos);
      const names = readdirSync(sharedPath("images/imagenet")).filter((name) => name.endsWith(".jpg"));
      for (const name of names.slice(0, 60)) copyFileSync(sharedPath(`images/imagenet/${name}`), join(photos, name));
      await chooseFiles(page, "models/mobilenetv2.onnx");
      await showSamples(page);
      await chooseFolder(page, photos);
      // Without labels, no preprocessing can be guessed.
      await statePreprocessing(page, "symmetric");
      await page.getByRole("heading", { level: 1, name: /samples without labels/ }).waitFor();
      await run(page, "int8 weights");
      await page.getByRole("button", { name: "Compare", exact: true }).click();
      await page.getByRole("heading", { level: 1, name: /predictions change/ }).waitFor();
    }));

  test("compresses a network for sound, and draws the sound", () =>
    inStudio(async (page) => {
      await chooseFiles(page, "models/silero_vad.onnx");
      await showSamples(page);
      await chooseFiles(page, "audio/silero_test.wav");
      await statePreprocessing(page, "frame=512 context=64 rate=16000");
      await page.getByRole("heading", { level: 1, name: /samples without labels/ }).waitFor();
      expect(await page.locator("svg.series").count()).toBe(6);
      await run(page, "int8 weights");
      await page.getByRole("button", { name: "Compare", exact: true }).click();
      await page.getByRole("heading", { level: 1, name: /^Your visitors download .* → / }).waitFor();
    }));
});
