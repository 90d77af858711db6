/** Formats tables for the terminal, and merges rows of layers whose cells are equal. */
import { stripVTControlCharacters } from "node:util";
import { counted, times } from "#ir";
import type { Column } from "../../report/tables.ts";
import type { Printer } from "./printed-result.ts";
import { escapeForTerminal, removeMarks } from "./terminal-escapes.ts";

export function columnsOf(first: string, ...others: readonly string[]): Column[] {
  return [{ title: first }, ...others.map((title) => ({ title, align: "right" as const }))];
}

export const changeColumns: readonly Column[] = [...columnsOf("", "before", "after"), { title: "" }];

export const changeRow = (
  title: string,
  before: number,
  after: number,
  format: (value: number) => string,
): string[] => [title, format(before), format(after), after === 0 ? "" : times(before / after)];

const columnGap = "  ";

/** Aligns each column to its widest cell. Color codes have no width. */
export function tableLines(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const titles = columns.map((column) => column.title);
  const cells = rows.map((row) => row.map((cell) => escapeForTerminal(cell, { keepsColors: true })));
  const all = titles.some((title) => title !== "") ? [titles, ...cells] : cells;
  const widths = columns.map((_, index) => Math.max(0, ...all.map((row) => displayWidth(row[index] ?? ""))));
  return all.map((row) =>
    columns
      .map((column, index) => {
        const cell = row[index] ?? "";
        const space = " ".repeat((widths[index] ?? 0) - displayWidth(cell));
        return column.align === "right" ? space + cell : cell + space;
      })
      .join(columnGap)
      .trimEnd(),
  );
}

function displayWidth(text: string): number {
  return [...stripVTControlCharacters(removeMarks(text))].length;
}

const maxLayers = 20;

/** Prints a table with one row per layer, and how many rows follow. Returns the printed rows. */
export function printLayers<T>(
  terminal: Pick<Printer, "table" | "line">,
  columns: readonly Column[],
  layers: readonly T[],
  cellsOf: (layer: T) => readonly string[],
  restText: string,
): readonly T[] {
  const shownLayers = layers.slice(0, maxLayers);
  terminal.table(columns, shownLayers.map(cellsOf));
  const rest = layers.length - shownLayers.length;
  if (rest > 0) terminal.line(`and ${counted(rest, "more layer")}${restText}`);
  return shownLayers;
}

export interface NamedRow {
  readonly name: string;
  readonly cells: readonly string[];
}

/** Merges rows of equal cells whose names differ in a number: "layers.0.attn.q" to "layers.11.attn.q" → "layers.0…11.attn.q". */
export function mergeRows(rows: readonly NamedRow[]): readonly NamedRow[] {
  const groups = new Map<
    string,
    { readonly parts: readonly [string, string]; readonly numbers: number[]; readonly row: NamedRow }
  >();
  for (const row of rows) {
    const number = /(?<=^|[./_-])\d+(?=$|[./])/.exec(row.name);
    const parts: readonly [string, string] =
      number === null
        ? [row.name, ""]
        : [row.name.slice(0, number.index), row.name.slice(number.index + number[0].length)];
    const key = JSON.stringify([...parts, number === null, ...row.cells]);
    const group = groups.get(key) ?? { parts, numbers: [], row };
    groups.set(key, group);
    if (number !== null) group.numbers.push(Number(number[0]));
  }
  return [...groups.values()].map(({ parts: [before, after], numbers, row }) =>
    numbers.length < 2 ? row : { name: `${before}${rangeText(numbers)}${after}`, cells: row.cells },
  );
}

const maxRuns = 8;

/** Formats block numbers: [0, 1, 2, 5] → "0…2,5". */
function rangeText(numbers: readonly number[]): string {
  const sortedNumbers = [...new Set(numbers)].sort((a, b) => a - b);
  const runs: [number, number][] = [];
  for (const number of sortedNumbers) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else runs.push([number, number]);
  }
  const texts = runs.map(([from, to]) =>
    from === to ? `${from}` : to === from + 1 ? `${from},${to}` : `${from}…${to}`,
  );
  return (texts.length > maxRuns ? [...texts.slice(0, 3), "…", ...texts.slice(-1)] : texts).join(",");
}
