import { bytes, differenceWithInterval, figure, figureInterval, times } from "../../core/numbers.ts";
import type { Measured, Run } from "../../judge/record/data.ts";
import { gainSentence, timesOf } from "../../judge/record/verdict.ts";
import { verdictSentences } from "./choice.ts";
import { escapeUnprintable } from "./printable.ts";

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
  const { name, unit } = run.metric;
  const speeds = timesOf(run)?.models;
  const sizeText = (size: number | undefined): string => (size === undefined ? "–" : bytes(size));
  const cells = (measured: Measured | undefined): readonly string[] => {
    if (measured === undefined) return ["–", "–", "–", "–"];
    const { bytes, gzip, brotli, estimate } = measured;
    return [
      ...[bytes, gzip, brotli].map(sizeText),
      `${figure(unit, estimate.value)} (${figureInterval(unit, estimate)})`,
    ];
  };
  const speedText = (index: number): string => {
    const speedup = speeds?.[index]?.speedup;
    return speedup === undefined ? "–" : times(index === 0 ? 1 : speedup.median);
  };
  const rows = run.variants.map(({ name: variant, result, comparison, refused }, index) => {
    const title = run.chosen === index ? `**${escapeMarkdown(variant)}**` : escapeMarkdown(variant);
    const difference = comparison === undefined ? "–" : differenceWithInterval(unit, comparison.difference);
    const reason = refused === undefined ? "" : `<br>${escapeMarkdown(refused)}`;
    return [title + reason, ...cells(result), difference, speedText(index + 1)];
  });
  const titles = ["bytes", "gzip", "brotli", name, "change", "speed"];
  const columns: readonly MarkdownColumn[] = titles.map((title) => ({ title, align: "right" }));
  const original = ["original", ...cells(run.original), "–", speedText(0)];
  return markdownTable([{ title: "" }, ...columns], [original, ...rows]);
}

export interface MarkdownColumn {
  readonly title: string;
  readonly align?: "right";
}

export function markdownTable(columns: readonly MarkdownColumn[], rows: readonly (readonly string[])[]): string {
  const titles = columns.map(({ title }) => escapeMarkdown(title));
  const rule = columns.map(({ align }) => (align === "right" ? "---:" : "---"));
  return [titles, rule, ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** Escapes markup, HTML, line and cell ends, and invisible characters. */
export function escapeMarkdown(text: string): string {
  // An underscore inside a word is literal.
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
