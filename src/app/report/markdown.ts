import type { Run } from "../../judge/record/run-record.ts";
import { gainSentence } from "../../judge/record/verdict.ts";
import { verdictSentences } from "./choice.ts";
import { escapeMarkdown, markdownTable } from "./markdown-text.ts";
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

export function variantsMarkdown(run: Run): string {
  const columns = variantColumns(run);
  const cellsOf = (row: number): readonly string[] =>
    columns.map(({ cells }) => {
      const { text = "–", note } = cells[row] ?? {};
      return note === undefined ? text : `${text} (${note})`;
    });
  const rows = run.variants.map(({ name, rejected }, index) => {
    const title = run.chosen === index ? `**${escapeMarkdown(name)}**` : escapeMarkdown(name);
    return [rejected === undefined ? title : `${title}<br>${escapeMarkdown(rejected)}`, ...cellsOf(index + 1)];
  });
  const heads = columns.map(({ title }): Column => ({ title, align: "right" }));
  return markdownTable([{ title: "" }, ...heads], [["original", ...cellsOf(0)], ...rows]);
}
