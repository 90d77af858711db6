/** `pith studio` in a real browser: the same page, with the native runtime. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { buildStudio } from "../../scripts/build/studio.ts";
import { open } from "../../src/index.ts";
import { root } from "../page.ts";
import { temporaryFolder } from "../temporary.ts";
import { writeQuadrants } from "./quadrants.ts";
import { browser, openAddress, type Studio } from "./studio.ts";

/** Returns the process ids of the children of a process, which are computations. */
function childrenOf(id: number): readonly number[] {
  const lines = execFileSync("ps", ["-A", "-o", "ppid=,pid="], { encoding: "utf8" }).trim().split("\n");
  const pairs = lines.map((line) => line.trim().split(/\s+/).map(Number));
  return pairs.filter(([parent]) => parent === id).map(([, child = 0]) => child);
}

describe.skipIf(browser === undefined || process.platform === "win32")("pith studio", () => {
  let installed = "";
  beforeAll(async () => {
    // The compiled package is shared by all tests, so this test adds the page to a copy, next to it, where packages are found.
    const compiled = inject("compiled");
    installed = mkdtempSync(join(dirname(compiled), "..", "studio-"));
    cpSync(dirname(compiled), installed, { recursive: true });
    await buildStudio(root, join(installed, "dist/studio"));
  });
  afterAll(() => rmSync(installed, { recursive: true, force: true }));

  interface Served extends Omit<Studio, "stopServer"> {
    readonly server: ChildProcess & { readonly pid: number };
    readonly temporary: string;
    /** Ends the server as Ctrl-C does, and returns its exit code. */
    end(): Promise<number | null>;
  }

  async function serve(words: readonly string[], use: (served: Served) => Promise<void>): Promise<void> {
    const temporary = join(temporaryFolder(), "temporary");
    mkdirSync(temporary);
    const server = spawn(process.execPath, [join(installed, "dist/app/cli/main.js"), "studio", ...words, "--no-open"], {
      env: { ...process.env, TMPDIR: temporary, NODE_DISABLE_COMPILE_CACHE: "1" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const ended = new Promise<number | null>((resolve) => server.on("close", resolve));
    const address = await new Promise<string>((resolve, reject) => {
      let text = "";
      server.stderr.setEncoding("utf8").on("data", (more) => {
        text += more;
        const [url] = /http:\S+/.exec(text) ?? [];
        if (url !== undefined) resolve(url);
      });
      ended.then(() => reject(new Error(text)));
    });
    const studio = await openAddress(address);
    const end = (): Promise<number | null> => {
      server.kill("SIGINT");
      return ended;
    };
    try {
      await use({ ...studio, server: Object.assign(server, { pid: server.pid ?? 0 }), temporary, end });
    } finally {
      await studio.close();
      await end();
    }
  }

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
      await page.getByRole("heading", { level: 1, name: /smaller/ }).waitFor();
      for (const id of childrenOf(server.pid)) process.kill(id, "SIGKILL");
      await expect.poll(() => childrenOf(server.pid)).toEqual([]);
      // The next process opens the model and the samples again.
      await page.getByRole("link", { name: "Make another candidate" }).click();
      await page.getByRole("radio", { name: /float16/ }).check();
      await page.getByRole("button", { name: "Run float16" }).click();
      await page.getByRole("button", { name: "Compare" }).click();
      await page.getByRole("link", { name: "Take float16" }).click();
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
