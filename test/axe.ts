/** Checks a page with axe. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { AxeResults, RunOptions } from "axe-core";
import type { Page } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Returns each violated rule with the first element that violates it. */
export async function findViolations(page: Page, options: RunOptions = {}): Promise<readonly string[]> {
  const { violations } = await page.evaluate<AxeResults>(`${axe}; axe.run(${JSON.stringify(options)})`);
  return violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
}

/** Rules for the site: the name of its search button omits its key, which is a symbol on some systems. */
export const siteRules: RunOptions = { rules: { "label-content-name-mismatch": { enabled: false } } };
