/** Moves the intervals in cells of Markdown tables to a second table, so that a cell has one number. */

const table = /^\|.*(?:\n\|.*)+$/gm;
/** Matches "−0.3 (−1.8 … +1.2)". */
const withInterval = /^(.+) \(([^()]*\d … [^()]*\d)\)$/;

export function splitIntervals(text: string): string {
  return text.replaceAll(table, (lines) => {
    const [head = [], rule = [], ...rows] = lines.split("\n").map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
    const columns = [...head.keys()].filter((index) => rows.some((row) => withInterval.test(row[index] ?? "")));
    if (columns.length === 0) return lines;
    const render = (all: readonly (readonly string[])[]): string =>
      all.map((row) => `| ${row.join(" | ")} |`).join("\n");
    const values = rows.map((row) => row.map((cell) => withInterval.exec(cell)?.[1] ?? cell));
    const kept = [0, ...columns];
    const select = (row: readonly string[]): readonly string[] => kept.map((index) => row[index] ?? "");
    const intervals = rows.map((row) =>
      select(row).map((cell, index) => (index === 0 ? cell : (withInterval.exec(cell)?.[2] ?? ""))),
    );
    return `${render([head, rule, ...values])}\n\n<details>\n<summary>Intervals</summary>\n\n${render([select(head), select(rule), ...intervals])}\n\n</details>`;
  });
}
