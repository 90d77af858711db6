/** Numbers as people read them: three significant digits, units that say what they count, a real minus sign. */
import type { Estimate } from "../evaluate/types.ts";

/** 3.46 MB; decimal units, as disks and networks count. */
export function bytes(value: number): string {
  return scaled(value, ["bytes", "kB", "MB", "GB", "TB"]);
}

/** 22.7 M: parameters, multiply-accumulates. */
export function count(value: number): string {
  return value < 10_000 ? integer(value) : scaled(value, ["", "k", "M", "G", "T"]);
}

/** 1,060 */
export function integer(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** 91.5 % */
export function percent(fraction: number, digits = 1): string {
  return `${minus((100 * fraction).toFixed(digits))} %`;
}

/** 7.9 ×: how many times one number is another. */
export function times(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return `${value.toFixed(value >= 9.95 ? 1 : 2)} ×`;
}

/** Shares are shown as percentages and their differences as points, other figures as numbers. */
export function isShare(metric: string): boolean {
  return /accuracy|agreement/.test(metric);
}

/** 91.5 %, or 3.498 */
export function figure(metric: string, value: number): string {
  return isShare(metric) ? percent(value) : minus(value.toPrecision(4));
}

/** +0.3, −1.2: points of a share, or the unit of the metric. */
export function change(metric: string, value: number): string {
  const text = isShare(metric) ? (100 * value).toFixed(1) : value.toPrecision(3);
  const zero = Number(text) === 0;
  return zero ? text.replace("-", "") : minus(value > 0 ? `+${text}` : text);
}

/** −2.0 … +0.6 */
export function changeInterval(metric: string, { low, high }: Estimate): string {
  return `${change(metric, low)} … ${change(metric, high)}`;
}

function minus(text: string): string {
  return text.replace(/^-/, "−");
}

function scaled(value: number, units: readonly string[]): string {
  let unit = 0;
  let rest = value;
  // 999.6 would print as 1000.
  while (rest >= 999.5 && unit < units.length - 1) {
    rest /= 1000;
    unit++;
  }
  const digits = unit === 0 || rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : 2;
  return `${rest.toFixed(digits)} ${units[unit]}`.trim();
}
