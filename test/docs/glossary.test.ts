/** Guides use one term for each idea. The check of the sources (`scripts/check/language.ts`) does the same for help, messages and the studio. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { findAvoidedWords } from "../../scripts/check/glossary.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const guides = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" }).filter((name) =>
  name.endsWith(".md"),
);
const pages = [
  "README.md",
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  "skills/pith/SKILL.md",
  ...guides.map((name) => join("docs", name)),
];

/** Matches code, whose names are not terms. */
const code = /```[\s\S]*?```|`[^`\n]*`/g;

test.each(pages)("%s uses the terms of the glossary", (page) => {
  const text = readFileSync(join(root, page), "utf8").replace(code, (match) => match.replace(/[^\n]/g, ""));
  const findings = text
    .split("\n")
    .flatMap((line, index) => findAvoidedWords(line).map((finding) => `${page}:${index + 1} ${finding}`));
  expect(findings).toEqual([]);
});

test("finds words that the glossary replaces", () => {
  expect(findAvoidedWords("Keep the sparing short: 3 spared layers.")).toEqual([
    '"sparing": write precise layers, precision fallback',
  ]);
  expect(findAvoidedWords("The precise layers are written.")).toEqual([]);
});
