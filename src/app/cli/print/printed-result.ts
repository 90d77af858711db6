/** A result that a command prints, and its conversion to Markdown. */
import { randomUUID } from "node:crypto";
import { escapeMarkdown, markdownTable } from "../../report/markdown-text.ts";
import { withFlagNames } from "../flags/flag-names.ts";
import type { Terminal } from "./terminal.ts";
import type { Colors } from "./terminal-escapes.ts";

export type Printer = Pick<Terminal, "line" | "table" | "color">;

export interface PrintedResult {
  print(page: Printer): void;
  /** Returns the outcome in one word, for the title of the Markdown. */
  outcome?(color: Colors): string;
}

/** Mark around bold text. It is random, so that no name in a file can contain it. */
const boldMark = randomUUID();

const color: Colors = {
  bold: (text) => `${boldMark}${text}${boldMark}`,
  dim: (text) => text,
  green: (text) => `✅ ${text}`,
  red: (text) => `❌ ${text}`,
  yellow: (text) => `❔ ${text}`,
};

/** Returns a result as a section of Markdown. @param flags flags of the command. */
export function markdownOf(command: string, flags: readonly string[], result: PrintedResult): string {
  const render = (text: string): string => escapeMarkdown(withFlagNames(text, flags)).replaceAll(boldMark, "**");
  const outcome = result.outcome?.(color);
  const title = outcome === undefined ? command : `${command}: ${outcome}`;
  const paragraphs = [`### ${render(title)}`];
  result.print({
    color,
    line: (text = "") => void paragraphs.push(render(text.trim())),
    table: (columns, rows) =>
      void paragraphs.push(
        markdownTable(
          columns,
          rows.map((row) => row.map(render)),
        ),
      ),
  });
  return `${paragraphs.join("\n\n")}\n\n`;
}
