/** Builds the site and reads it as a visitor does: every link leads somewhere, pages are accessible and small. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { unzipSync } from "fflate";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { models } from "../scripts/gallery/models.ts";
import { readRecord, resultOf } from "../scripts/gallery/page.ts";
import { startServer } from "../scripts/site/serve.ts";
import { openPage } from "../src/app/cli/browser/chromium.ts";
import { bytes, figureText } from "../src/core/numbers.ts";
import { findViolations, siteRules } from "./axe.ts";
import { browser, root } from "./page.ts";
import { openAddressIn } from "./studio/open-studio.ts";
import { temporaryFolder } from "./temporary.ts";

const dist = join(root, "site/dist");
let served: Awaited<ReturnType<typeof startServer>>;

beforeAll(async () => {
  const program = [join(root, "node_modules/tsx/dist/cli.mjs"), "--conditions=pith-source", "scripts/site.ts"];
  execFileSync(process.execPath, [...program, "--build"], { cwd: root, stdio: "ignore" });
  served = await startServer(dist);
}, 900_000);
afterAll(() => served?.server.close());

/** Pages of the site, without those of the studio. */
const pages = (): readonly string[] =>
  readdirSync(dist, { recursive: true, encoding: "utf8" })
    .map((name) => name.replaceAll("\\", "/"))
    .filter((name) => name.endsWith(".html") && !name.startsWith("studio/"));

/** Text of a page, whose numbers and units are joined by spaces that do not break. */
const textOf = (page: string): string => readFileSync(join(dist, page), "utf8").replaceAll("\u00a0", " ");
const idsOf = (text: string): ReadonlySet<string> =>
  new Set([...text.matchAll(/\sid="([^"]+)"/g)].map(([, id = ""]) => id));

describe("the site", () => {
  test("has the guides, the commands, the operators, and each entry point of the package", () => {
    expect(pages()).toEqual(
      expect.arrayContaining([
        "index.html",
        "start.html",
        "models.html",
        "missed.html",
        "search.html",
        "compress.html",
        "cli.html",
        "ops.html",
        "api/pith.html",
        "api/pith/prune.html",
      ]),
    );
    expect(existsSync(join(dist, "studio/index.html"))).toBe(true);
  });

  test("has no broken link", () => {
    const broken: string[] = [];
    for (const page of pages()) {
      for (const [, target = ""] of textOf(page).matchAll(/\s(?:href|src)="([^"]+)"/g)) {
        if (/^(https?:|mailto:|data:|javascript:)/.test(target) || page === "404.html") continue;
        const [path = "", id] = decodeURI(target.replaceAll("&amp;", "&")).split("#");
        const file = path === "" ? page : path.startsWith("/") ? path.slice(1) : posix.join(posix.dirname(page), path);
        const linked = file === "" || file.endsWith("/") ? `${file}index.html` : file;
        const isMissing = !existsSync(join(dist, linked));
        if (isMissing || (id !== undefined && id !== "" && !idsOf(textOf(linked)).has(id)))
          broken.push(`${page}: ${target}`);
      }
    }
    expect(broken).toEqual([]);
  });

  test.skipIf(browser === undefined)("is accessible, in both themes", async () => {
    const { page, close } = await openPage(temporaryFolder());
    try {
      page.setDefaultTimeout(20_000);
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme });
        for (const path of [
          "",
          "compress.html",
          "api/pith/prune.html",
          "start.html",
          "benchmarks.html",
          "missed.html",
          "models.html",
          "gallery.html",
          "gallery/resnet20.html",
        ]) {
          await page.goto(served.address + path);
          expect({ path, colorScheme, violations: await findViolations(page, siteRules) }).toEqual({
            path,
            colorScheme,
            violations: [],
          });
        }
      }
    } finally {
      await close();
    }
  });

  test.skipIf(browser === undefined)(
    "has no page that scrolls sideways and no table wider than its column, on a phone and on a screen",
    async () => {
      const { page, close } = await openPage(temporaryFolder());
      try {
        const faults: string[] = [];
        for (const width of [390, 1280]) {
          await page.setViewportSize({ width, height: 900 });
          for (const path of pages()) {
            await page.goto(served.address + path);
            const wide = await page.evaluate(() => {
              const elements = [...document.querySelectorAll("table, .wide, html")];
              return elements.flatMap((element) => {
                const excess = element.scrollWidth - element.clientWidth;
                return excess > 1 ? [`${element.tagName} ${element.textContent?.trim().slice(0, 40)}: ${excess}`] : [];
              });
            });
            faults.push(...wide.map((text) => `${width} ${path} ${text}`));
          }
        }
        expect(faults).toEqual([]);
      } finally {
        await close();
      }
    },
  );

  test("leads with what visitors download, before and after, for four networks, and three ways to start", () => {
    const page = textOf("index.html");
    expect(page).toMatch(/<h1[^>]*>Your visitors download [\d.]+\sMB\s→\s\d+\skB\./);
    expect(page).toMatch(/\d+ of [\d,]+ predictions change/);
    expect([...page.matchAll(/class="bar after"/g)]).toHaveLength(4);
    expect([...page.matchAll(/<section><h3/g)]).toHaveLength(3);
  });

  test.skipIf(browser === undefined)("opens a model that is dropped on the landing page in the studio", async () => {
    const { page, foreign, errors, close } = await openAddressIn(temporaryFolder(), served.address);
    try {
      const entries = unzipSync(readFileSync(join(root, "studio/public/examples/waves.zip")));
      const file = { name: "waves.onnx", mimeType: "", buffer: Buffer.from(entries["waves/waves.onnx"] ?? []) };
      await page.getByRole("group", { name: "Open a model" }).locator("input").setInputFiles(file);
      await page.getByRole("heading", { level: 1, name: /layers hold/ }).waitFor({ timeout: 60_000 });
      expect(new URL(page.url()).pathname).toBe("/studio/");
      expect(foreign).toEqual([]);
      expect(errors).toEqual([]);
    } finally {
      await close();
    }
  });

  test.skipIf(browser === undefined)("has the studio, which opens its examples", async () => {
    const { page, foreign, errors, close } = await openAddressIn(temporaryFolder(), served.address);
    try {
      await page.getByRole("link", { name: "try it in the browser" }).click();
      await page.getByRole("button", { name: "Waves", exact: true }).click();
      await page.getByRole("heading", { level: 1, name: /layers hold/ }).waitFor({ timeout: 60_000 });
      expect(new URL(page.url()).pathname).toBe("/studio/");
      expect(foreign).toEqual([]);
      expect(errors).toEqual([]);
    } finally {
      await close();
    }
  });
});

describe("the gallery", () => {
  test("shows the values of eight run records, one in each cell, a picture of each, and the network's report", () => {
    const rows = [...textOf("gallery.html").matchAll(/<tr>.*?<\/tr>/gs)].map(([row]) => row);
    expect(models).toHaveLength(8);
    for (const { name, title } of models) {
      const run = readRecord(name);
      const { result } = resultOf(run);
      const row = rows.filter((text) => text.includes(title)).join("");
      const accuracy = figureText(run.metric.unit, result.estimate.value);
      const sizes = [run.original.bytes, result.bytes, run.original.brotli, result.brotli].map((size = 0) =>
        bytes(size),
      );
      for (const text of [...sizes, accuracy]) expect(row).toContain(text);
      expect(textOf(`gallery/${name}.html`)).toContain(run.original.sha256);
      for (const end of ["", "-narrow"]) expect(existsSync(join(dist, `gallery/${name}${end}.svg`))).toBe(true);
    }
  });

  test("contains no samples and no paths of a machine", () => {
    for (const { name } of models)
      expect(JSON.stringify(readRecord(name))).not.toMatch(/"shown"|data:image|"\/|\/(tmp|home|work|Users)\//);
  });

  test.skipIf(browser === undefined)("has reports that open and request nothing from other hosts", async () => {
    const { page, foreign, errors, close } = await openAddressIn(temporaryFolder(), served.address);
    try {
      for (const { name } of models) {
        await page.goto(`${served.address}gallery/${name}.html`);
        await page.getByRole("heading", { level: 1, name: /smaller/ }).waitFor();
      }
      expect(foreign).toEqual([]);
      expect(errors).toEqual([]);
    } finally {
      await close();
    }
  });
});
