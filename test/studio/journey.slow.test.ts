/** The page in a real browser, with a model that is compressed before its samples are known. */
import { beforeAll, describe, expect, test } from "vitest";
import { writeQuadrants } from "./quadrants.ts";
import { browser, buildStudio, openStudio, type Studio } from "./studio.ts";

describe.skipIf(browser === undefined)("the studio", () => {
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
});
