/** Prints headings, tables, and metric values with interval and sample count. */
import { cpus, loadavg } from "node:os";
import { tableLines } from "../../src/app/cli/print/table.ts";
import type { Column } from "../../src/app/report/tables.ts";
import { percent } from "../../src/core/numbers.ts";
import type { Comparison, Estimate, Metric } from "../../src/judge/index.ts";

export function line(text = ""): void {
  process.stdout.write(`${text}\n`);
}

/** Prints a heading with the machine and its load: a load above the number of cores inflates all times. */
export function heading(title: string, seed: number | string): void {
  const [cpu] = cpus();
  line(`\n${title}`);
  const [load = Number.NaN] = loadavg();
  const machine = `${cpus().length} × ${cpu?.model.trim() ?? "CPU"}, load ${load.toFixed(1)}`;
  line(`Node ${process.version}, ${machine}, seed ${seed}`);
}

/** Prints a table. Columns whose title begins with ">" are right-aligned. */
export function table(titles: readonly string[], rows: readonly (readonly string[])[]): void {
  const columns = titles.map(
    (title): Column => (title.startsWith(">") ? { title: title.slice(1), align: "right" } : { title }),
  );
  for (const text of tableLines(columns, rows)) line(`  ${text}`);
}

/** Formats a share with its interval: "97.9 % (97.6 … 98.2)". */
export function share({ value, low, high }: Estimate, digits = 2): string {
  return `${percent(value, digits)} (${(100 * low).toFixed(digits)} … ${(100 * high).toFixed(digits)})`;
}

/** Formats a metric value: "accuracy 97.93 % (97.61 … 98.22), n = 10000". */
export function figureOf({ estimate }: { readonly estimate: Estimate }, { unit, name }: Metric): string {
  const { value, low, high, count } = estimate;
  const shown =
    unit === "share" ? share(estimate) : `${value.toFixed(3)} (${low.toFixed(3)} … ${high.toFixed(3)}) ${unit}`;
  return `${name} ${shown}, n = ${count}`;
}

/** Formats a difference in points: "−0.21 (−0.40 … −0.02)". */
export function points({ value, low, high }: Estimate, digits = 2): string {
  const signed = (part: number): string => `${part > 0 ? "+" : ""}${(100 * part).toFixed(digits)}`;
  return `${signed(value)} (${signed(low)} … ${signed(high)})`;
}

/** Formats whether a target is met. @param shown whether the whole interval meets it. */
export function target(text: string, met: boolean, shown: boolean): string {
  return `${text}: ${met ? "met" : "MISSED"}${met && !shown ? ", not significant" : ""}`;
}

/** Formats whether the drop is at most `allowed`, a share. */
export function dropTarget(allowed: number, { difference }: Comparison): string {
  const { value, low } = difference;
  return target(`within ${(100 * allowed).toFixed(1)}`, -value <= allowed, -low <= allowed);
}

/** Returns the median; the upper one of two. */
export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
