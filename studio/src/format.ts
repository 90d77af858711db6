/** Numbers as text: three significant digits, decimal units, a no-break space before the unit. */

const digits = (value: number): string =>
  new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3, useGrouping: false }).format(value).replace("-", "−");

const scaled = (value: number, units: readonly string[]): string => {
  // Values from 999.5 on would be rounded to 1000, so they use the next unit.
  const power = units.findIndex((_, index) => index === units.length - 1 || Math.abs(value) < 999.5 * 1000 ** index);
  const scaledValue = value / 1000 ** power;
  const text =
    power === 0 || Math.abs(scaledValue) >= 99.95 ? digits(Math.round(scaledValue)) : scaledValue.toPrecision(3);
  return `${text}\u00a0${units[power] ?? ""}`.trim();
};

/** Keeps numbers on one line with the word or sign after them. */
export const unbroken = (text: string): string =>
  text.replace(/(?<=\d) (?=[%×]|[kMG]?B\b|of \d|points\b|dB\b)/g, "\u00a0");

/** Removes advice for the command line, which stands in parentheses. */
export const withoutFlags = (text: string): string => text.replace(/ \(--[^)]*\)/g, "");

/** "310 kB", "1.09 MB". */
export const bytesText = (value: number): string => scaled(value, ["B", "kB", "MB", "GB"]);
/** "270 k", "40.6 M". */
export const countText = (value: number): string => scaled(value, ["", "k", "M", "G"]);
/** "269,722". */
export const integerText = (value: number): string => Math.round(value).toLocaleString("en-US");
/** "3.54 ×". */
export const timesText = (value: number): string =>
  `${value >= 99.95 ? Math.round(value) : value.toPrecision(3)}\u00a0×`;
/** "91.6 %". */
export const percentText = (share: number): string => `${(100 * share).toFixed(1)}\u00a0%`;
/** "about 68 s", "about 3 min". */
export const durationText = (seconds: number): string =>
  seconds < 100 ? `about ${Math.max(1, Math.round(seconds))}\u00a0s` : `about ${Math.round(seconds / 60)}\u00a0min`;

/** "1 candidate", "3 candidates". */
export const countedText = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;
/** "28 November". */
export const dayText = (date: string): string =>
  new Date(date).toLocaleDateString("en-GB", { day: "numeric", month: "long" });
