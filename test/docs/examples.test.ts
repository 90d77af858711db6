/** Examples in docstrings compile, with the usual types for names such as `model` and `data`. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { type Example, examplesIn, sourceFiles } from "./docstrings.ts";
import { codeBlocks } from "./markdown.ts";
import { mistakes } from "./types.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const examples = sourceFiles(root).flatMap((file) => examplesIn(root, file));

/** Returns the programs and the complete files (`// new file: path`) of a page, without quotes from files (`// path`). */
const programs = (page: string): readonly Example[] =>
  codeBlocks(readFileSync(join(root, page), "utf8")).flatMap(({ language, text }) =>
    language !== "ts" || /^\/\/ [\w/.-]+\.ts\n/.test(text)
      ? []
      : [{ file: page, of: "a program", code: withImportsFromRoot(text) }],
  );

function withImportsFromRoot(code: string): string {
  const [, file] = /^\/\/ new file: (\S+)\n/.exec(code) ?? [];
  if (file === undefined) return code;
  return code.replaceAll(/ from "(\.[^"]+)"/g, (_, path: string) => ` from "${join(root, dirname(file), path)}"`);
}
const guides = [
  "README.md",
  "docs/programs.md",
  "docs/training.md",
  "docs/low-rank.md",
  "docs/distillation.md",
  "docs/recipes.md",
  "docs/sensitivity.md",
  ...readdirSync(join(root, "docs/contributing")).map((name) => `docs/contributing/${name}`),
];
const shown = guides.flatMap((page) => programs(page));

const written = (code: string): Example => ({ file: "src/techniques/prune/remove.ts", of: "a test", code });
/** Wrong examples, and the errors that they must cause. */
const wrong = [
  ["a name that nothing exports", written("await l2Unstructured(net, { amount: 0.5 });"), /l2Unstructured/],
  ["an option that there is not", written("await prune(net, { amounts: 0.5 });"), /amounts/],
  ["an option of the wrong kind", written('await prune(net, { amount: "half" });'), /"half"|string/],
  ["an argument that is missing", written("await customFromMask(net);"), /Expected 2-3 arguments/],
  ["a property of the result that there is not", written("(await remove(net)).missing;"), /missing/],
  [
    "a setting of a pass that there is not",
    written("await prune(net, { amount: 0.5, structure: true });"),
    /structure/,
  ],
  ["an import that there is not", written('import { prune } from "pith/pruning";'), /pith\/pruning/],
] as const;

const mistakesByExample = mistakes(root, [...examples, ...shown, ...wrong.map(([, example]) => example)]);

describe("examples in docstrings", () => {
  test("finds all examples", () => {
    const tags = sourceFiles(root).flatMap((file) => readFileSync(join(root, file), "utf8").match(/@example\b/g) ?? []);
    expect(tags.length).toBeGreaterThan(50);
    expect(examples.length).toBe(tags.length);
    expect(examples.filter(({ code }) => code === "")).toEqual([]);
  });

  test.each(examples.map((example) => [example.file, example.of, example] as const))("%s %s", (_, __, example) => {
    expect(mistakesByExample.get(example), example.code).toEqual([]);
  });
});

test("the programs of the pages type-check strictly", () => {
  expect(shown.map((example) => mistakesByExample.get(example))).toEqual(shown.map(() => []));
});

test.each(wrong)("reports %s", (_, example, sentence) => {
  expect(mistakesByExample.get(example)?.join("\n")).toMatch(sentence);
});
