/** The page in a real browser, from a model to its smaller file, with samples and before they are known. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { open } from "../../src/index.ts";
import { temporaryFolder } from "../temporary.ts";
import { writeQuadrants } from "./quadrants.ts";
import { browser, builtStudio } from "./studio.ts";

describe.skipIf(browser === undefined)("the studio", () => {
  const inStudio = builtStudio();

  test("quantizes a model on samples, compares it with the original, and downloads a smaller file", () =>
    inStudio(async ({ page, foreign, errors }) => {
      const { model, data } = await writeQuadrants();
      await page.setInputFiles("input[type=file] >> nth=0", model);
      await page.getByRole("heading", { level: 1, name: /layers hold/ }).waitFor();
      await page.getByText("Graph", { exact: true }).click();
      await page.getByRole("img", { name: /^Graph of \d+ boxes/ }).waitFor();
      await page.getByRole("link", { name: /^(Add|Check the) samples$/ }).click();
      await page.setInputFiles("input[type=file] >> nth=0", data);
      await page.getByRole("heading", { level: 1, name: /of the original|The original predicts/ }).waitFor();
      await page.getByRole("link", { name: "Make it smaller" }).click();
      await page.getByRole("radio", { name: /int8 weights/ }).check();
      await page.getByRole("button", { name: "Run int8 weights" }).click();
      await page.getByRole("button", { name: "Compare" }).click();
      await page.getByRole("heading", { level: 1, name: /^Your visitors download .* → / }).waitFor();
      await page.getByRole("button", { name: "Take int8 weights" }).click();
      const started = page.waitForEvent("download");
      await page.getByRole("button", { name: "Download" }).first().click();
      const download = await started;
      expect(download.suggestedFilename()).toBe("quadrants.int8-weights.onnx");
      const bytes = await readFile(await download.path());
      expect(bytes.length).toBeLessThan((await readFile(model)).length);
      expect((await open(bytes)).graph.outputs.map(({ name }) => name)).toEqual(
        (await open(model)).graph.outputs.map(({ name }) => name),
      );
      expect(foreign).toEqual([]);
      expect(errors).toEqual([]);
    }));

  test("quantizes a model without samples, and says that random inputs do not show accuracy", () =>
    inStudio(async ({ page, errors }) => {
      const { model, data } = await writeQuadrants();
      await page.setInputFiles("input[type=file] >> nth=0", model);
      await page.getByRole("link", { name: "Make it smaller" }).click();
      await page.getByRole("radio", { name: /float16/ }).check();
      await page.getByRole("button", { name: "Run float16" }).click();
      await page.getByRole("button", { name: "Compare" }).click();
      await page.getByText("Random inputs do not show accuracy").waitFor();
      await page.getByRole("link", { name: "Make another candidate" }).click();
      await page.getByRole("radio", { name: /prune channels/ }).check();
      await page.getByText("This technique measures the model on samples.").waitFor();
      // Samples are measurements that the candidate lacks, so that it can be made again.
      await page.getByRole("link", { name: "Add samples", exact: true }).click();
      await page.setInputFiles("input[type=file] >> nth=0", data);
      await page.getByRole("heading", { level: 1, name: /The original predicts/ }).waitFor();
      await page.getByRole("link", { name: "Make it smaller" }).click();
      await page.getByRole("radio", { name: /float16/ }).check();
      await page.getByRole("button", { name: "Run float16" }).waitFor();
      expect(errors).toEqual([]);
    }));

  test("explains a file that is not a model where it was dropped", () =>
    inStudio(async ({ page }) => {
      const broken = join(temporaryFolder(), "broken.onnx");
      await writeFile(broken, "this is a text");
      await page.setInputFiles("input[type=file] >> nth=0", broken);
      const alert = page.getByRole("alert");
      await alert.waitFor();
      expect(await alert.textContent()).toContain("broken.onnx");
      expect(await alert.textContent()).toContain("E_NOT_ONNX");
      expect(new URL(page.url()).hash).not.toBe("#model");
    }));
});
