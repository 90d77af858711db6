/** Speed on WebGPU, on the device that Chromium imitates on the processor (SwiftShader). */
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { makeCandidate } from "./actions.ts";
import { writeQuadrants } from "./quadrants.ts";
import { browser, buildStudio, openStudio } from "./studio.ts";

describe.skipIf(browser === undefined)("speed on WebGPU", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await buildStudio();
  });

  async function inCompare(
    use: (page: Page, errors: readonly string[]) => Promise<void>,
    prepare?: (page: Page) => Promise<unknown>,
  ) {
    const { page, foreign, errors, close } = await openStudio(folder);
    try {
      page.setDefaultTimeout(60_000);
      await prepare?.(page);
      await makeCandidate(page, await writeQuadrants());
      await page.getByRole("button", { name: "Compare", exact: true }).click();
      await use(page, errors);
      expect(foreign).toEqual([]);
    } finally {
      await close();
    }
  }

  const measure = (page: Page) => page.getByRole("button", { name: "Measure the speed on WebGPU" });

  test("is measured on request, after the outputs were checked there", () =>
    inCompare(async (page, errors) => {
      await measure(page).click();
      const sentence = page.getByText(/^Speed on WebGPU: (\d|about)/);
      await sentence.waitFor();
      expect(await sentence.textContent()).toMatch(
        /: .*as fast as the original.* on google swiftshader\. Outputs there: signal to noise .* dB/,
      );
      expect(errors).toEqual([]);
    }));

  test("can be canceled, and measured afterwards", () =>
    inCompare(async (page) => {
      await measure(page).click();
      await page.getByRole("button", { name: "Cancel" }).click();
      await page.getByRole("button", { name: "Cancel" }).waitFor({ state: "detached" });
      await measure(page).click();
      await page.getByText(/^Speed on WebGPU: (\d|about)/).waitFor();
    }));

  test("is not measured if the runtime fails, which the page says", () =>
    inCompare(
      async (page) => {
        await measure(page).click();
        await page
          .getByText(
            /^Speed on WebGPU: not measured\. The candidate does not run on this device \(google swiftshader\): /,
          )
          .waitFor();
      },
      (page) => page.context().route("**/*.asyncify.wasm", (route) => route.abort()),
    ));

  test("states that a browser has no WebGPU", () =>
    inCompare(
      async (page, errors) => {
        await page.getByText("because this browser has no WebGPU.").waitFor();
        expect(await measure(page).count()).toBe(0);
        expect(errors).toEqual([]);
      },
      async (page) => {
        await page.addInitScript(() => Reflect.deleteProperty(Navigator.prototype, "gpu"));
        await page.reload();
      },
    ));
});
