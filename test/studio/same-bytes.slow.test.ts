/** A file that the studio makes in a tab equals that of the printed command. Where the model runs to find values, only the sizes are equal. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, cpSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, inject, test } from "vitest";
import { shared } from "../shared.ts";
import { temporaryFolder } from "../temporary.ts";
import { downloadModel } from "./actions.ts";
import { browser, buildStudio, openStudio } from "./studio.ts";

const model = shared("data/models/resnet8_cifar10.onnx");
const data = shared("data/cifar10");

/** Returns the words of the printed command after the program. */
async function printedWords(page: Page): Promise<readonly string[]> {
  const printed = (await page.locator("pre").first().textContent()) ?? "";
  return printed.replace(/^npx --no-install pith /, "").split(" ");
}

const sha256 = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

describe.skipIf(browser === undefined || model === undefined || data === undefined)("the file from the tab", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await buildStudio();
  });

  test.each([
    ["int8 weights", "bytes"],
    ["float16", "bytes"],
    ["fewer bits", "size"],
    ["int8 static", "size"],
    ["smallest download", "size"],
  ] as const)("of %s has the %s of the file of the printed command", async (preset, expected) => {
    const { page, close } = await openStudio(folder);
    const work = temporaryFolder();
    try {
      page.setDefaultTimeout(300_000);
      await page.setInputFiles("input[type=file] >> nth=0", model ?? "");
      await page.getByRole("link", { name: /^(Add|Check the) samples$/ }).click();
      await page.setInputFiles("input[type=file] >> nth=1", data ?? "");
      await page.getByRole("heading", { level: 1, name: /The original predicts/ }).waitFor();
      await page.getByRole("link", { name: "Make it smaller" }).click();
      await page.getByRole("radio", { name: new RegExp(preset) }).check();
      await page.getByRole("button", { name: /^Run / }).click();
      await page.getByRole("button", { name: "Compare" }).click();
      await page.getByRole("button", { name: /^Take / }).click();
      const save = async (row: RegExp, name: string): Promise<void> => {
        const started = page.waitForEvent("download");
        await page.getByRole("row", { name: row }).getByRole("button").click();
        copyFileSync(await (await started).path(), join(work, name));
      };
      await save(/\.onnx the model/, "tab.onnx");
      await save(/recipe\.yaml/, "recipe.yaml");
      const words = await printedWords(page);
      copyFileSync(model ?? "", join(work, "resnet8_cifar10.onnx"));
      cpSync(data ?? "", join(work, "cifar10"), { recursive: true });
      const program = join(inject("compiled"), "app/cli/main.js");
      await promisify(execFile)(process.execPath, [program, ...words], { cwd: work });
      const [command, tab] = [join(work, "out/model.onnx"), join(work, "tab.onnx")];
      if (expected === "bytes") expect(sha256(command)).toBe(sha256(tab));
      else expect(statSync(command).size).toBe(statSync(tab).size);
    } finally {
      await close();
    }
  });

  test.each(["int8 weights", "fewer bits", "float16"])(
    "of %s without samples has the bytes of the file of the printed command",
    async (preset) => {
      const { page, close } = await openStudio(folder);
      const work = temporaryFolder();
      try {
        page.setDefaultTimeout(300_000);
        await page.setInputFiles("input[type=file] >> nth=0", model ?? "");
        await page.getByRole("link", { name: "Make it smaller" }).click();
        await page.getByRole("radio", { name: new RegExp(preset) }).check();
        await page.getByRole("button", { name: /^Run / }).click();
        await page.getByRole("button", { name: "Compare" }).click();
        const tab = await downloadModel(page);
        const words = await printedWords(page);
        copyFileSync(model ?? "", join(work, "resnet8_cifar10.onnx"));
        await promisify(execFile)(process.execPath, [join(inject("compiled"), "app/cli/main.js"), ...words], {
          cwd: work,
        });
        expect(readFileSync(join(work, "out.onnx")).equals(tab)).toBe(true);
      } finally {
        await close();
      }
    },
  );
});
