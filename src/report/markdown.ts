/** The table of variants as Markdown: for a README, a pull request, the summary of a CI job. */

import { bytes, differenceWithInterval, figure, figureInterval, speed as ratio, times } from "../evaluate/numbers.ts";
import { verdictSentences } from "./choice.ts";
import type { Measured, Run } from "./data.ts";
import { escapeUnprintable } from "./printable.ts";
import { gainSentence, timesOf } from "./verdict.ts";

/**
 * The verdict in sentences and the table of variants.
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

/** The table alone. */
export function variantsMarkdown(run: Run): string {
  const { name, unit } = run.metric;
  const speeds = timesOf(run)?.models;
  const cells = (one: Measured | undefined): readonly string[] =>
    one === undefined
      ? ["–", "–", "–"]
      : [
          bytes(one.bytes),
          one.brotli === undefined ? "–" : bytes(one.brotli),
          `${figure(unit, one.estimate.value)} (${figureInterval(unit, one.estimate)})`,
        ];
  const speed = (index: number): string => {
    const one = speeds?.[index]?.speedup;
    if (one === undefined) return "–";
    return index === 0 ? times(1) : ratio(one);
  };
  const rows = run.variants.map(({ name: variant, result, comparison, refused }, index) => {
    const chosen = run.chosen === index;
    const title = chosen ? `**${escapeMarkdown(variant)}**` : escapeMarkdown(variant);
    const difference = comparison === undefined ? "–" : differenceWithInterval(unit, comparison.difference);
    const reason = refused === undefined ? "" : `<br>${escapeMarkdown(refused)}`;
    return [title + reason, ...cells(result), difference, speed(index + 1)];
  });
  const first = ["original", ...cells(run.original), "–", speeds === undefined ? "–" : speed(0)];
  return markdownTable(["", "bytes", "brotli", name, "change", "speed"], [first, ...rows]);
}

/** A table of cells that are Markdown already; all columns but the first `texts` are of numbers. */
export function markdownTable(titles: readonly string[], rows: readonly (readonly string[])[], texts = 1): string {
  const rule = titles.map((_, column) => (column < texts ? "---" : "---:"));
  return [titles, rule, ...rows].map((row) => `| ${row.join(" | ")} |`).join("\n");
}

/** Text without meaning to Markdown: no markup, no HTML, no ends of cells or lines, nothing that is not seen. */
export function escapeMarkdown(text: string): string {
  return escapeUnprintable(text.replace(/[\r\n]+/g, " ")).replace(/[&<>\\`*_[\]|#~]/g, (character) =>
    "&<>".includes(character) ? `&#${character.charCodeAt(0)};` : `\\${character}`,
  );
}
