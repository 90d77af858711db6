import { expect, test } from "vitest";
import { checkBudgets, type Measured, measureSources } from "./budgets.ts";
import { readSource } from "./sources.ts";
import { measureTests } from "./test-seconds.ts";

const budgets = `{
  "lines": {
    "src/core": 10
  },
  "files": {
    "src/core/ops": 3,
    "others": 2
  },
  "names": {
    "sum": 5,
    "pith": 4,
    "pith/nn": 4
  }
}`;
const places = (section: Measured["section"], sizes: Readonly<Record<string, number>>) =>
  checkBudgets(budgets, [{ section, sizes }]).map(({ line, text }) => `${line} ${text.split(".")[0]}`);

test("sizes up to their budget pass", () => {
  expect(places("lines", { "src/core": 10 })).toEqual([]);
  expect(places("files", { "src/core/ops": 3, "src/core/graph": 2 })).toEqual([]);
  expect(places("names", { pith: 2, "pith/nn": 3 })).toEqual([]);
});

test("a size above its budget, or above that of others, names the line to change", () => {
  expect(places("lines", { "src/core": 11 })).toEqual(["3 src/core: src/core has 11 lines, and 10 are allowed"]);
  expect(places("files", { "src/core/ops": 1, "src/core/graph": 3 })).toEqual([
    "7 others: src/core/graph has 3 files, and 2 are allowed",
  ]);
});

test("the sum of a section has a budget", () => {
  expect(places("names", { pith: 3, "pith/nn": 3 })).toEqual(["10 sum: all has 6 names, and 5 are allowed"]);
});

test("what has no budget, and a budget of what does not exist, are reported", () => {
  expect(places("lines", { "src/core": 1, "src/new": 1 })).toEqual(["2 src/new: 1 lines without a budget: add a line"]);
  expect(places("names", { pith: 1 })).toEqual(["12 pith/nn: does not exist: remove the line"]);
});

test("lines are counted by folder of src without tests, files by their own folder, and names by entry point", () => {
  const sources = [
    readSource("src/core/ops/a.ts", "const a = 1;\n\n"),
    readSource("src/core/b.ts", "const b = 1;\n"),
    readSource("src/core/b.test.ts", "const b = 1;\n"),
    readSource("test/c.ts", "const c = 1;\n"),
  ];
  expect(measureSources(sources, ["pith/nn, names: 12\n\nexport const a: 1;\n"])).toEqual([
    { section: "lines", sizes: { "src/core": 3 } },
    { section: "files", sizes: { "src/core/ops": 1, "src/core": 1 } },
    { section: "names", sizes: { "pith/nn": 12 } },
  ]);
});

test("processor seconds are summed by folder of quick tests, and tests without a current record are findings", () => {
  const files = [
    "test/app/cli/a.test.ts",
    "test/app/cli/b.slow.test.ts",
    "src/core/ops/c.test.ts",
    "src/core/d.test.ts",
    "src/e.ts",
  ];
  const seconds: Readonly<Record<string, number>> = { "src/core/ops/c.test.ts": 1.2, "src/core/d.test.ts": 2.4 };
  const sources = files.map((file) => readSource(file, ""));
  const { measured, unrecorded } = measureTests(sources, (file) => seconds[file]);
  expect(measured).toEqual({ section: "seconds", sizes: { "test/app/cli": 0, "src/core": 4 } });
  expect(unrecorded.map(({ file }) => file)).toEqual(["test/app/cli/a.test.ts"]);
});
