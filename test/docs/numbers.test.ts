/** The measured numbers of README are in a log of `bench/`, or in the page that is generated from one. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { measuredNumbers, numbersWithoutSource } from "../../scripts/generate/measured-numbers.ts";
import { pairedScores } from "../../src/core/math/confidence-interval.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = join(root, "bench/logs");
const pages = [...readdirSync(folder).map((name) => join(folder, name)), join(root, "docs/real-models.md")];
const logs = pages.map((path) => readFileSync(path, "utf8"));

/** Returns the lines whose numbers are not all in one log, with the numbers that the closest log lacks. */
function linesWithoutSource(page: string): readonly string[] {
  return page.split("\n").flatMap((line, index) => {
    const numbers = measuredNumbers(line);
    const [fewest = []] = logs.map((log) => numbersWithoutSource(numbers, log)).toSorted((a, b) => a.length - b.length);
    return fewest.length === 0 ? [] : [`line ${index + 1}: ${fewest.join(", ")}`];
  });
}

test("the numbers in each line of README are in one log", () => {
  expect(linesWithoutSource(readFileSync(join(root, "README.md"), "utf8"))).toEqual([]);
});

test("a number that no log contains is reported with its line", () => {
  expect(linesWithoutSource("Smaller.\n\nFrom 1.09 MB to 8.765 kB, 0.001 × as large")).toEqual([
    "line 3: 8.765 kB, 0.001 ×",
  ]);
});

test("numbers are compared as a whole, with or without commas", () => {
  expect(measuredNumbers("**187 kB**, 1.07 ×, 97.5 %, 40.6 M, v1.2, 3 files")).toEqual([
    "187 kB",
    "1.07 ×",
    "97.5 %",
    "40.6 M",
  ]);
  expect(numbersWithoutSource(["7 kB", "87 kB", "1,702", "5"], "187 kB, 7 kB, 1702, 5.5")).toEqual(["87 kB", "5"]);
  expect(numbersWithoutSource(["1.5 %"], "145 %")).toEqual(["1.5 %"]);
});

test("the samples in verdicts.md narrow the interval to the stated width", () => {
  const page = readFileSync(join(root, "docs/verdicts.md"), "utf8");
  const rows = [...page.matchAll(/^\| (\d+) % \| ([\d,]+) \| ([\d,]+) \|$/gm)];
  expect(rows.length).toBe(5);
  for (const [, percent, ...counts] of rows) {
    for (const [index, text] of counts.entries()) {
      const count = Number(text.replaceAll(",", ""));
      const changed = Math.round((Number(percent) / 100) * count);
      const gained = Math.floor(changed / 2);
      const { low, high } = pairedScores(count, gained, changed - gained);
      const share = (high - low) / 2 / (index === 0 ? 0.01 : 0.005);
      expect(share).toBeGreaterThan(0.97);
      expect(share).toBeLessThanOrEqual(1);
    }
  }
});
