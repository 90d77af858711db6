/** `pith studio` in a real browser: the same page, with the native runtime. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { brotliDecompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { open } from "../../src/index.ts";
import { writeQuadrants } from "./quadrants.ts";
import { installStudio, type Served } from "./served.ts";
import { browser } from "./studio.ts";

/** Returns the process ids of the children of a process, which are computations. */
function childrenOf(id: number): readonly number[] {
  const lines = execFileSync("ps", ["-A", "-o", "ppid=,pid="], { encoding: "utf8" }).trim().split("\n");
  const pairs = lines.map((line) => line.trim().split(/\s+/).map(Number));
  return pairs.filter(([parent]) => parent === id).map(([, child = 0]) => child);
}

describe.skipIf(browser === undefined || process.platform === "win32")("pith studio", () => {
  const serve = installStudio();

  async function download({ page }: Served): Promise<Uint8Array> {
    const started = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download" }).first().click();
    return readFileSync(await (await started).path());
  }

  test("opens the model and data of the command line, and continues after the computation was killed", async () => {
    const { model, data } = await writeQuadrants();
    await serve([model, "--data", data], async (served) => {
      const { page, server, temporary, foreign, errors } = served;
      await page.getByText("Runs on this computer with the native runtime").first().waitFor();
      await page.getByRole("heading", { level: 1, name: /The original predicts/ }).waitFor();
      await page.getByRole("link", { name: "Make it smaller" }).click();
      await page.getByRole("radio", { name: /int8 weights/ }).check();
      await page.getByRole("button", { name: "Run int8 weights" }).click();
      await page.getByRole("button", { name: "Compare" }).click();
      await page.getByRole("heading", { level: 1, name: /^Your visitors download .* → / }).waitFor();
      for (const id of childrenOf(server.pid)) process.kill(id, "SIGKILL");
      await expect.poll(() => childrenOf(server.pid)).toEqual([]);
      // The next process opens the model and the samples again.
      await page.getByRole("link", { name: "Make another candidate" }).click();
      await page.getByRole("radio", { name: /float16/ }).check();
      await page.getByRole("button", { name: "Run float16" }).click();
      await page.getByRole("button", { name: "Compare" }).click();
      await page.getByRole("button", { name: "Take float16" }).click();
      const picker = page.getByRole("combobox", { name: "Take" });
      await picker.selectOption(await picker.getByRole("option", { name: /int8 weights/ }).getAttribute("value"));
      const bytes = await download(served);
      expect(bytes.length).toBeLessThan(readFileSync(model).length);
      expect((await open(bytes)).graph.outputs.map(({ name }) => name)).toEqual(["output"]);
      expect(foreign).toEqual([]);
      expect(errors).toEqual([]);
      const children = childrenOf(server.pid);
      expect(children).toHaveLength(1);
      expect(await served.end()).toBe(130);
      expect(readdirSync(temporary)).toEqual([]);
      for (const id of children) expect(() => process.kill(id, 0)).toThrow();
    });
  });

  test("opens a file that is chosen in the page, and explains one that is not a model", async () => {
    const { model, data } = await writeQuadrants();
    await serve([], async ({ page, temporary }) => {
      await page.setInputFiles("input[type=file] >> nth=0", data);
      const alert = page.getByRole("alert");
      await alert.waitFor();
      expect(await alert.textContent()).toContain("E_NOT_ONNX");
      await page.setInputFiles("input[type=file] >> nth=0", model);
      await page.getByRole("heading", { level: 1, name: /layers hold/ }).waitFor();
      const uploads = readdirSync(temporary, { recursive: true, encoding: "utf8" });
      expect(uploads.filter((path) => path.endsWith("quadrants.onnx"))).toHaveLength(1);
    });
  });

  test("opens an example, offers the copy for servers, and asks before its candidates are lost", async () => {
    await serve([], async ({ page, errors }) => {
      await page.getByRole("button", { name: "Waves", exact: true }).click();
      await page.getByRole("link", { name: /^(Add|Check the) samples$/ }).click();
      await page.getByRole("heading", { level: 1, name: /The original predicts/ }).waitFor();
      await page.getByRole("link", { name: "Make it smaller" }).click();
      await page.getByRole("radio", { name: /int8 weights/ }).check();
      await page.getByRole("button", { name: "Run int8 weights" }).click();
      await page.getByRole("row", { name: /int8 weights/ }).waitFor();
      await page.getByRole("link", { name: /^5 Take/ }).click();
      const save = async (row: RegExp): Promise<Buffer> => {
        const started = page.waitForEvent("download");
        await page.getByRole("row", { name: row }).getByRole("button").click();
        return readFileSync(await (await started).path());
      };
      const model = await save(/\.onnx the model/);
      expect(brotliDecompressSync(await save(/\.onnx\.br/)).equals(model)).toBe(true);
      const asked = page.waitForEvent("dialog");
      const reload = page.reload().catch(() => {});
      const dialog = await asked;
      expect(dialog.type()).toBe("beforeunload");
      await dialog.accept();
      await reload;
      expect(errors).toEqual([]);
    });
  });

  test("says in a second tab that another one has the page, and works in the first", async () => {
    const { model } = await writeQuadrants();
    await serve([], async ({ page }) => {
      await page.getByText("Drop a model file here").waitFor();
      const second = await page.context().newPage();
      await second.goto(page.url());
      await second.setInputFiles("input[type=file] >> nth=0", model);
      await second.getByText("This page is open in another tab.").waitFor();
      await page.reload();
      await page.setInputFiles("input[type=file] >> nth=0", model);
      await page.getByRole("heading", { level: 1, name: /layers hold/ }).waitFor();
    });
  });

  test("says that the server has ended", async () => {
    const { model } = await writeQuadrants();
    await serve([], async ({ page, end }) => {
      await page.getByText("Drop a model file here").waitFor();
      await end();
      await page.setInputFiles("input[type=file] >> nth=0", model);
      const alert = page.getByRole("alert");
      await alert.waitFor();
      expect(await alert.textContent()).toContain("Pith Studio has ended on this computer.");
    });
  });
});
