import type { Column } from "./tables.ts";
import { escapeUnprintable } from "./unprintable.ts";

export function markdownTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const titles = columns.map(({ title }) => escapeMarkdown(title));
  const separators = columns.map(({ align }) => (align === "right" ? "---:" : "---"));
  return [titles, separators, ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** Escapes markup and invisible characters. A zero-width space ends mentions (`@name`) and references (`#1`), which GitHub links in escaped text. */
export function escapeMarkdown(text: string): string {
  // An underscore inside a word needs no escape.
  return oneLine(text)
    .replace(/[&<>\\`*[\]|#~]|(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu, (character) =>
      "&<>".includes(character) ? `&#${character.charCodeAt(0)};` : `\\${character}`,
    )
    .replace(/@|(?<!&)#(?=\d)|\bGH-(?=\d)|:(?=\/\/)|\bwww(?=\.)/gi, "$&&#8203;");
}

export function codeSpan(text: string): string {
  const code = oneLine(text);
  const runs = code.match(/`+/g) ?? [];
  const fence = "`".repeat(1 + Math.max(0, ...runs.map((run) => run.length)));
  return runs.length === 0 ? `${fence}${code}${fence}` : `${fence} ${code} ${fence}`;
}

const oneLine = (text: string): string => escapeUnprintable(text.replace(/[\r\n]+/g, " "));
