/**
 * How the pages of the site load in a browser: first contentful paint, JavaScript, requests and violations of accessibility rules.
 *
 *     npm run bench -- site [--loads 5] [--built]
 *
 * Builds the site (`--built`: measures the one in site/dist) and serves it from this machine without compression. JavaScript is the size of the
 * files, also after gzip (level 9) and brotli (level 11), as servers of static files send them. Files that the page only prefetches for its links
 * do not count. Needs Chromium. Takes 3 minutes.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Page } from "playwright-core";
import { startServer } from "../scripts/site/serve.ts";
import { openPage } from "../src/app/cli/browser/chromium.ts";
import { findViolations, siteRules } from "../test/axe.ts";
import { root } from "../test/page.ts";
import { paintTimer, recordRequests, type ScriptSize, scriptSizes } from "./lib/page-load.ts";
import { heading, line, table, target } from "./lib/print.ts";

const { values: options } = parseArgs({
  options: { loads: { type: "string", default: "5" }, built: { type: "boolean", default: false } },
});
const dist = join(root, "site/dist");
const guide = "guide: compress.html";
const pages: Readonly<Record<string, string>> = {
  landing: "",
  [guide]: "compress.html",
  API: "api/pith/prune.html",
  operators: "ops.html",
  gallery: "gallery.html",
  benchmarks: "benchmarks.html",
};
/** Kilobytes of JavaScript on a guide page. */
const limit = 100;

interface Row {
  readonly name: string;
  readonly seconds: number;
  readonly requests: number;
  readonly scripts: readonly ScriptSize[];
  readonly violations: readonly string[];
}

async function measure(page: Page, name: string, address: string): Promise<Row> {
  const secondsOf = await paintTimer(page, Number(options.loads));
  const seconds = await secondsOf(address, true);
  await page.goto("about:blank");
  const paths = recordRequests(page, (request) => request.headers()["sec-purpose"]?.startsWith("prefetch") === true);
  await page.goto(address, { waitUntil: "networkidle" });
  const requested = new Set(paths);
  const violations: string[] = [];
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    violations.push(...(await findViolations(page, siteRules)));
  }
  return { name, seconds, requests: requested.size, scripts: scriptSizes(dist, requested), violations };
}

const sum = (scripts: readonly ScriptSize[], size: "plain" | "gzip" | "brotli"): number =>
  scripts.reduce((total, script) => total + script[size], 0);

if (!options.built) {
  const program = [join(root, "node_modules/tsx/dist/cli.mjs"), "--conditions=pith-source", "scripts/site.ts"];
  execFileSync(process.execPath, [...program, "--build"], { cwd: root, stdio: "ignore" });
}
const temporary = mkdtempSync(join(tmpdir(), "pith-bench-site-"));
const { server, address } = await startServer(dist);
const rows: Row[] = [];
try {
  heading("Pages of the site", 0);
  for (const [name, path] of Object.entries(pages)) {
    if (path !== "" && !existsSync(join(dist, path))) continue;
    const { page, close } = await openPage(temporary);
    try {
      if (rows.length === 0) line(`Chromium ${page.context().browser()?.version() ?? "of unknown version"}`);
      rows.push(await measure(page, name, address + path));
    } finally {
      await close();
    }
  }
} finally {
  server.close();
  rmSync(temporary, { recursive: true, force: true });
}

table(
  ["page", ">first paint, s", ">requests", ">JavaScript, kB", ">gzip", ">brotli", ">violations"],
  rows.map(({ name, seconds, requests, scripts, violations }) => [
    name,
    seconds.toFixed(2),
    String(requests),
    ...(["plain", "gzip", "brotli"] as const).map((size) => sum(scripts, size).toFixed(1)),
    String(violations.length),
  ]),
);
const scripts = rows.find(({ name }) => name === guide)?.scripts ?? [];
line("Scripts of the guide:");
table(
  ["file", ">kB", ">gzip", ">brotli"],
  scripts
    .toSorted((a, b) => b.plain - a.plain)
    .map(({ path, ...sizes }) => [
      path.replace(/\.[\w-]{8}\./, "."),
      ...[sizes.plain, sizes.gzip, sizes.brotli].map((size) => size.toFixed(1)),
    ]),
);
const violations = rows.flatMap((row) => row.violations.map((text) => `${row.name}: ${text}`));
for (const violation of violations) line(`  ${violation}`);
const targets = [
  ...(["gzip", "plain"] as const).map((size) => {
    const kilobytes = sum(scripts, size);
    const name = size === "gzip" ? "JavaScript of the guide after gzip" : "before compression";
    return [`${name}, ${kilobytes.toFixed(1)} kB, ${limit} at most`, kilobytes <= limit] as const;
  }),
  ["no violations of accessibility rules, in both themes", violations.length === 0] as const,
];
for (const [name, isMet] of targets) line(target(name, isMet, true));
process.exitCode = targets.every(([, isMet]) => isMet) ? 0 : 1;
