import { stripVTControlCharacters } from "node:util";
import { printable, unmarked } from "./printable.ts";

export interface Column {
  readonly title: string;
  readonly align?: "left" | "right";
}

export function columns(first: string, ...others: readonly string[]): Column[] {
  return [{ title: first }, ...others.map((title) => ({ title, align: "right" as const }))];
}

const gap = "  ";

/** Aligns columns to their widest cell, without frames and trailing spaces. Color codes have no width. */
export function tableLines(columns: readonly Column[], rows: readonly (readonly string[])[]): string[] {
  const titles = columns.map((column) => column.title);
  const cells = rows.map((row) => row.map((cell) => printable(cell, { colors: true })));
  const all = titles.some((title) => title !== "") ? [titles, ...cells] : cells;
  const widths = columns.map((_, index) => Math.max(0, ...all.map((row) => width(row[index] ?? ""))));
  return all.map((row) =>
    columns
      .map((column, index) => {
        const cell = row[index] ?? "";
        const space = " ".repeat((widths[index] ?? 0) - width(cell));
        return column.align === "right" ? space + cell : cell + space;
      })
      .join(gap)
      .trimEnd(),
  );
}

function width(text: string): number {
  return [...stripVTControlCharacters(unmarked(text))].length;
}
