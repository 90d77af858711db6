/** Formats a run as Markdown (`report.md`): the verdict and the table of variants. */
import type { Run } from "../../judge/record/data.ts";
import { gainSentence } from "../../judge/record/verdict.ts";
import { verdictSentences } from "./choice.ts";
import { escapeUnprintable } from "./printable.ts";
import { type Column, variantColumns } from "./tables.ts";

/**
 * Returns the verdict in sentences and the table of variants.
 * @example await appendFile(process.env.GITHUB_STEP_SUMMARY ?? "summary.md", reportMarkdown(run));
 */
export function reportMarkdown(run: Run): string {
  return [
    `### ${escapeMarkdown(run.original.name)}`,
    "",
    escapeMarkdown([gainSentence(run), ...verdictSentences(run)].join(" ")),
    "",
    ...run.warnings.flatMap((warning) => [`**Warning:** ${escapeMarkdown(warning)}`, ""]),
    variantsMarkdown(run),
    "",
  ].join("\n");
}

/** Returns only the table of variants. */
export function variantsMarkdown(run: Run): string {
  const columns = variantColumns(run);
  const cellsOf = (row: number): readonly string[] =>
    columns.map(({ cells }) => {
      const { text = "–", note } = cells[row] ?? {};
      return note === undefined ? text : `${text} (${note})`;
    });
  const rows = run.variants.map(({ name, refused }, index) => {
    const title = run.chosen === index ? `**${escapeMarkdown(name)}**` : escapeMarkdown(name);
    return [refused === undefined ? title : `${title}<br>${escapeMarkdown(refused)}`, ...cellsOf(index + 1)];
  });
  const heads = columns.map(({ title }): Column => ({ title, align: "right" }));
  return markdownTable([{ title: "" }, ...heads], [["original", ...cellsOf(0)], ...rows]);
}

export function markdownTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const titles = columns.map(({ title }) => escapeMarkdown(title));
  const separators = columns.map(({ align }) => (align === "right" ? "---:" : "---"));
  return [titles, separators, ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** Escapes markup, HTML, line and cell ends, and invisible characters. */
export function escapeMarkdown(text: string): string {
  // An underscore inside a word needs no escape.
  return oneLine(text).replace(/[&<>\\`*[\]|#~]|(?<![\p{L}\p{N}])_|_(?![\p{L}\p{N}])/gu, (character) =>
    "&<>".includes(character) ? `&#${character.charCodeAt(0)};` : `\\${character}`,
  );
}

export function codeSpan(text: string): string {
  const code = oneLine(text);
  const runs = code.match(/`+/g) ?? [];
  const fence = "`".repeat(1 + Math.max(0, ...runs.map((run) => run.length)));
  return runs.length === 0 ? `${fence}${code}${fence}` : `${fence} ${code} ${fence}`;
}

const oneLine = (text: string): string => escapeUnprintable(text.replace(/[\r\n]+/g, " "));
