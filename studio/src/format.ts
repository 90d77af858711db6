/** Numbers as text: three significant digits, decimal units, a no-break space before the unit. */
import type { Latency } from "pith/evaluate";

const digits = (value: number): string =>
  new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3, useGrouping: false }).format(value).replace("-", "−");

const scaled = (value: number, units: readonly string[]): string => {
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.abs(value) || 1) / 3 + 1e-3)));
  return `${fixed(value / 1000 ** power)}\u00a0${units[power] ?? ""}`.trim();
};

/** Returns three significant digits with trailing zeros: "1.00", "31.2", "310". */
const fixed = (value: number): string =>
  Math.abs(value) >= 99.95 || Number.isInteger(value) ? digits(Math.round(value)) : Number(value).toPrecision(3);

/** "310 kB", "1.09 MB". */
export const bytesText = (value: number): string => scaled(value, ["B", "kB", "MB", "GB"]);
/** "270 k", "40.6 M". */
export const countText = (value: number): string => scaled(value, ["", "k", "M", "G"]);
/** "269,722". */
export const integerText = (value: number): string => Math.round(value).toLocaleString("en-US");
/** "3.54 ×". */
export const timesText = (value: number): string =>
  `${value >= 99.95 ? Math.round(value) : value.toPrecision(3)}\u00a0×`;
/** "3.54 × (3.40 to 3.61, 10th to 90th percentile of 15 interleaved rounds)". */
export const speedText = (speed: Latency["speedup"], rounds: number | undefined): string =>
  `${timesText(speed.median)} (${speed.low.toFixed(2)} to ${speed.high.toFixed(2)}, 10th to 90th percentile of ${rounds} interleaved rounds)`;
/** "91.6 %". */
export const percentText = (share: number): string => `${(100 * share).toFixed(1)}\u00a0%`;
/** "about 68 s", "about 3 min". */
export const durationText = (seconds: number): string =>
  seconds < 100 ? `about ${Math.max(1, Math.round(seconds))}\u00a0s` : `about ${Math.round(seconds / 60)}\u00a0min`;

/** A value of a metric: shares as percentages, others with their unit. */
export const figureText = (unit: string, value: number): string =>
  unit === "share" ? percentText(value) : `${digits(value)}${unit === "" ? "" : `\u00a0${unit}`}`;

/** A signed difference of a metric: points for shares. */
export function differenceText(unit: string, value: number): string {
  const text = unit === "share" ? Math.abs(100 * value).toFixed(1) : digits(Math.abs(value));
  return Number(text) === 0 ? text : `${value > 0 ? "+" : "−"}${text}`;
}

/** "1 candidate", "3 candidates". */
export const countedText = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;
/** "28 November". */
export const dayText = (date: string): string =>
  new Date(date).toLocaleDateString("en-GB", { day: "numeric", month: "long" });
