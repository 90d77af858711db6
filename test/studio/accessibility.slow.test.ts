/** The page works for everybody: no violations of axe in any step, in both themes and at both widths. */
import { beforeAll, describe, expect, test } from "vitest";
import { findViolations } from "../axe.ts";
import { writeQuadrants } from "./quadrants.ts";
import { browser, buildStudio, openStudio, type Studio } from "./studio.ts";

const looks = [
  [1280, "light"],
  [390, "dark"],
] as const;

describe.skipIf(browser === undefined)("the studio", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await buildStudio();
  });

  /** Returns the violations of the present view, and whether it is wider than the window. */
  async function violationsInLooks({ page }: Studio): Promise<readonly string[]> {
    const violationTexts: string[] = [];
    for (const [width, colorScheme] of looks) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme });
      const overflow = await page.evaluate<number>("document.documentElement.scrollWidth - innerWidth");
      const place = `${new URL(page.url()).hash || "#start"} at ${width}, ${colorScheme}`;
      for (const violation of await findViolations(page)) violationTexts.push(`${place}: ${violation}`);
      if (overflow > 0) violationTexts.push(`${place}: ${overflow} pixels wider than the window`);
    }
    await page.setViewportSize({ width: 1280, height: 900 });
    return violationTexts;
  }

  test("has no violations of accessibility rules in any step", async () => {
    const studio = await openStudio(folder);
    const { page } = studio;
    const { model, data } = await writeQuadrants();
    const violationTexts: string[] = [];
    const look = async (): Promise<void> => {
      violationTexts.push(...(await violationsInLooks(studio)));
    };
    try {
      await look();
      await page.setInputFiles("input[type=file] >> nth=0", model);
      await page.getByRole("link", { name: /^(Add|Check the) samples$/ }).waitFor();
      await look();
      await page.getByRole("link", { name: /^(Add|Check the) samples$/ }).click();
      await look();
      await page.setInputFiles("input[type=file] >> nth=0", data);
      await page.getByRole("heading", { level: 1, name: /of the original|The original predicts/ }).waitFor();
      await look();
      await page.getByRole("link", { name: "Make it smaller" }).click();
      await page.getByRole("radio", { name: /fewer bits/ }).check();
      await look();
      await page.getByRole("button", { name: /^Run / }).click();
      await page.getByRole("button", { name: "Compare" }).waitFor();
      await look();
      await page.getByRole("button", { name: "Compare" }).click();
      await page.getByText("Signal to noise in dB").waitFor();
      await look();
      await page.getByRole("button", { name: /^Take / }).click();
      await look();
      expect(violationTexts).toEqual([]);
    } finally {
      await studio.close();
    }
  });

  test("is used with the keyboard alone, from the model to the finished candidate", async () => {
    const { page, close } = await openStudio(folder);
    const { model } = await writeQuadrants();
    /** Presses Tab until the focused element has a name. */
    const tabTo = async (name: RegExp): Promise<void> => {
      for (let press = 0; press < 60; press++) {
        await page.keyboard.press("Tab");
        const text = await page.evaluate<string>(
          "(document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.closest('label')?.textContent ?? document.activeElement?.textContent ?? '')",
        );
        if (name.test(text)) return;
      }
      throw new Error(`No element named ${name} gets the focus.`);
    };
    try {
      await page.setInputFiles("input[type=file] >> nth=0", model);
      await page.getByRole("link", { name: "Make it smaller" }).waitFor();
      await tabTo(/^Make it smaller$/);
      await page.keyboard.press("Enter");
      await tabTo(/^int8 static/);
      await page.keyboard.press("ArrowDown");
      await tabTo(/^Run int8 weights$/);
      await page.keyboard.press("Enter");
      await page.getByRole("button", { name: "Compare" }).waitFor();
      await tabTo(/^Compare$/);
      await page.keyboard.press("Enter");
      await page.getByText("Random inputs do not show accuracy").waitFor();
    } finally {
      await close();
    }
  });
});
