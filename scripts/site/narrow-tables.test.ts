import { expect, test } from "vitest";
import { markWideTables, type TableToken } from "./narrow-tables.ts";

/** Returns the tokens of a table, and the attributes that are set on them. */
function parse(rows: readonly (readonly string[])[], style = "text-align:right"): readonly [TableToken[], string[]] {
  const written: string[] = [];
  const token = (type: string, content = ""): TableToken => ({
    type,
    content,
    attrGet: () => style,
    attrSet: (name, value) => written.push(`${name} ${value}`),
  });
  const cells = rows.flatMap((row, index) => [
    token("tr_open"),
    ...row.flatMap((text) => [token(index === 0 ? "th_open" : "td_open"), token("inline", text)]),
  ]);
  return [[token("table_open"), ...cells, token("table_close")], written];
}

const titles = ["model", "download", "change, points", "speed"];
const cells = ["[ResNet-20](./gallery.md)", "**≈ 3.12 MB**", "−0.2", "0.43 × the time"];

test("gives the cells of a table that is too wide for a phone the titles of their columns", () => {
  const [tokens, written] = parse([titles, cells]);
  markWideTables(tokens);
  const [model, ...labels] = titles.map((title) => `data-label ${title}`);
  expect(written.filter((text) => text.startsWith("data-label"))).toEqual([model, ...labels]);
  expect(written.filter((text) => text.startsWith("class"))).toEqual([
    "class blocks",
    "class download",
    "class change",
  ]);
});

test("keeps the places of columns that share a title", () => {
  const [tokens, written] = parse([
    ["network", "download", "change", "download", "change"],
    Array(5).fill("1,000.00 kB"),
  ]);
  markWideTables(tokens);
  expect(written.filter((text) => text.startsWith("class"))).toEqual(["class blocks"]);
});

test("gives cells of long texts a line of their own", () => {
  const [tokens, written] = parse(
    [
      ["target", "measured", "why"],
      ["a", "b", "a sentence that says why the target is missed, in very many words"],
    ],
    "",
  );
  markWideTables(tokens);
  expect(written).toEqual(["class blocks", "data-label target", "data-label measured", "data-label why", "class long"]);
});

test("leaves tables that fit, have two columns, or columns of signs", () => {
  for (const [rows, style] of [
    [
      [
        ["a", "b", "c"],
        ["1", "2", "3"],
      ],
      "text-align:right",
    ],
    [
      [
        ["option", "meaning"],
        ["a", "long ".repeat(40)],
      ],
      "",
    ],
    [[titles, cells], "text-align:center"],
  ] as const) {
    const [tokens, written] = parse(rows, style);
    markWideTables(tokens);
    expect(written).toEqual([]);
  }
});
