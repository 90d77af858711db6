import { expect, test } from "vitest";
import { tableLines } from "./table.ts";
import { escapeForTerminal, markedColors, removeMarks } from "./terminal-escapes.ts";

test.each([
  ["a\u001b[2Jb", "a\\u001b[2Jb"],
  ["a\nE_MODEL: no", "a\\nE_MODEL: no"],
  ["a\r\t\0", "a\\r\\t\\u0000"],
  ["a\u009b2J", "a\\u009b2J"],
  ["fc\u202e1cf\u2066", "fc\\u202e1cf\\u2066"],
  ["a\u2028b", "a\\u2028b"],
  ["\u001b[31mred\u001b[39m", "\\u001b[31mred\\u001b[39m"],
  ["fc\u200b1\ufeff\u2060\u00ad", "fc\\u200b1\\ufeff\\u2060\\u00ad"],
  ["a\u{e0041}", "a\\udb40\\udc41"],
  ["::error::a::b", "\\u003a:error::a::b"],
  ["  ::add-mask::a", "  \\u003a:add-mask::a"],
  ["\u3000::add-mask::a", "\u3000\\u003a:add-mask::a"],
  ["a ##vso[task]", "a #\\u0023vso[task]"],
  ["a ##[group]", "a #\\u0023[group]"],
])("prints %j as %s, with and without colors", (text, shown) => {
  expect(escapeForTerminal(text)).toBe(shown);
  expect(escapeForTerminal(text, { keepsColors: true })).toBe(shown);
});

test("does not change letters of any language, emoji and signs", () => {
  for (const text of ["", "fc1.weight", "層/conv", "ключ", "שכבה", "é 👍🏽 −3 %"])
    expect(escapeForTerminal(text)).toBe(text);
});

test("prints only the command's own colors, and only if colors are allowed", () => {
  const text = `${markedColors(true).red("red")} \u001b[31mred\u001b[39m \u001b[8mhidden`;
  expect(removeMarks(escapeForTerminal(text, { keepsColors: true }))).toBe(
    "\u001b[31mred\u001b[39m \\u001b[31mred\\u001b[39m \\u001b[8mhidden",
  );
  expect(escapeForTerminal(text)).not.toContain("\u001b");
  expect(markedColors(false).bold("x")).toBe("x");
});

test("keeps line breaks if lines are allowed", () => {
  expect(escapeForTerminal("a\n b\r", { keepsLines: true })).toBe("a\n b\\r");
});

test("a table keeps its columns and rows if a cell contains control characters", () => {
  const rows = tableLines(
    [{ title: "name" }, { title: "n", align: "right" }],
    [
      ["a\nb\u001b[2J", "1"],
      ["c", "10"],
    ],
  );
  expect(rows).toEqual(["name            n", "a\\nb\\u001b[2J   1", "c              10"]);
});
