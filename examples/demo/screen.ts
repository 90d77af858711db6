/** Output of the demo: lines on standard output, and progress on a terminal only. */
import type { Estimate, Latency } from "pith/evaluate";
import type { Standing } from "./bench.ts";

const { stderr } = process;
let drawn = 0;

/** Prints a line that the next one replaces. Prints nothing if the output is a pipe. */
export function progress(text: string, done = 0, total = 0): void {
  if (stderr.isTTY !== true || performance.now() - drawn < 100) return;
  drawn = performance.now();
  const share = total > 0 ? `  ${Math.floor((100 * done) / total)} %` : "";
  stderr.write(`\r\u001b[2K  ${text}${share}`);
}

export function line(text = ""): void {
  if (stderr.isTTY === true) stderr.write("\r\u001b[2K");
  console.log(text);
}

export interface Row {
  readonly name: string;
  readonly standing: Standing;
  readonly latency: Latency | undefined;
}

/** Returns the table of all rows. The first row is the original. */
export function table(rows: readonly Row[]): readonly string[] {
  const samples = rows[0]?.standing.measured.estimate.count ?? 0;
  const titles = ["", "bytes", "brotli", `accuracy, % of ${whole(samples)}`, "change, points", "speed"];
  const cells = rows.map(({ name, standing: { measured, comparison }, latency }, index) => [
    name,
    whole(measured.bytes),
    measured.brotli === undefined ? "–" : whole(measured.brotli),
    points(measured.estimate),
    index === 0 ? "" : points(comparison.difference, true),
    index === 0 || latency === undefined ? "1 ×" : speed(latency),
  ]);
  const all = [titles, ...cells];
  const widths = titles.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

export function whole(value: number): string {
  return value.toLocaleString("en-US");
}

/** Formats a share in percent with its 95 % interval: "98.06 (97.77 … 98.31)". */
export function points({ value, low, high }: Estimate, signed = false): string {
  const text = (share: number): string => {
    const rounded = (100 * share).toFixed(2);
    const plain = Number(rounded) === 0 ? "0.00" : rounded.replace("-", "−");
    return signed && Number(rounded) > 0 ? `+${plain}` : plain;
  };
  return `${text(value)} (${text(low)} … ${text(high)})`;
}

/** Formats the speed relative to the original, with the 10th and 90th percentile of the rounds. */
function speed({ speedup: { median, low, high } }: Latency): string {
  return `${median.toFixed(2)} × (${low.toFixed(2)} … ${high.toFixed(2)})`;
}
