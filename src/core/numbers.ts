/** Formats numbers for people: rounded, with units, and with the minus sign "−". */
import { type Estimate, earlyConfidence, type Unit } from "./estimate.ts";

/** Formats a size in decimal units, such as "3.46 MB". */
export function bytes(value: number): string {
  return value === 1 ? "1 byte" : scaledText(value, ["bytes", "kB", "MB", "GB", "TB"]);
}

export function count(value: number): string {
  return value < 10_000 ? integer(value) : scaledText(value, ["", "k", "M", "G", "T"]);
}

export function integer(value: number): string {
  // `toLocaleString` is avoided, because its first call is slow.
  return String(Math.round(value)).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** Formats a number with its noun, such as "1 sample", "1,060 samples" or "10 classes". */
export function counted(count: number, noun: string): string {
  const plural = /(s|x|tch)$/.test(noun) ? `${noun}es` : `${noun}s`;
  return `${integer(count)} ${count === 1 ? noun : plural}`;
}

/** Formats a percentage, such as "91.5 %". */
export function percent(fraction: number, digits = 1): string {
  const text = (100 * fraction).toFixed(digits);
  const roundedFraction = Number(text) / 100;
  const isMisleading = (roundedFraction === 1 || roundedFraction === 0) && roundedFraction !== fraction;
  return isMisleading && digits < 4 ? percent(fraction, digits + 1) : `${withMinusSign(text)} %`;
}

/** Returns whether tables show the shares of zeros of two models. */
export function sparsityMatters(share: number | undefined, other: number | undefined): boolean {
  if (share === undefined || other === undefined) return false;
  return Math.abs(share - other) >= 0.01 || Math.max(share, other) > 0.05;
}

/** Formats two values with enough digits to distinguish them, such as "99.89 %" and "99.90 %". */
export function formatDistinct(unit: Unit, value: number, other: number): readonly [string, string] {
  for (let extra = 0; extra < 11 && value !== other; extra++) {
    const [first, second] = [figureText(unit, value, extra), figureText(unit, other, extra)];
    if (first !== second) return [first, second];
  }
  return [figureText(unit, value), figureText(unit, other)];
}

export interface ChangeTexts {
  readonly before: string;
  readonly after: string;
  /** Without the unit. */
  readonly change: string;
}

/** Formats two values and their difference so that they agree: "87.00 %", "86.75 %", "−0.25". A drop above `limit` does not print as equal to it. */
export function changeTexts(
  unit: Unit,
  before: number,
  after: number,
  value = after - before,
  limit = Number.POSITIVE_INFINITY,
): ChangeTexts {
  const textsWith = (extra: number): ChangeTexts => ({
    before: figureText(unit, before, extra),
    after: figureText(unit, after, extra),
    change: difference(unit, value, extra).split(" ")[0] ?? "",
  });
  const printedChange = (texts: ChangeTexts): number => numberIn(texts.after) - numberIn(texts.before);
  const isConsistent = (texts: ChangeTexts): boolean => {
    const [, decimals = ""] = texts.change.split(".");
    const isApart = Math.abs(value) <= limit || Math.abs(numberIn(texts.change)) > numberIn(difference(unit, limit));
    return isApart && Math.abs(printedChange(texts) - numberIn(texts.change)) < 0.499 * 10 ** -decimals.length;
  };
  const attempts = [0, 1, 2].slice(0, unit === "share" ? 2 : 3).map(textsWith);
  const [first = textsWith(0), second = first] = attempts;
  const agreeing = attempts.find(isConsistent);
  if (agreeing !== undefined || unit !== "share" || !Number.isFinite(value)) return agreeing ?? first;
  // Thirds agree with no number of digits, so the printed change is that of the printed values.
  return { ...second, change: change(unit, printedChange(second) / 100, 2) };
}

const numberIn = (text: string): number => Number(text.replace("−", "-").split(" ")[0]);

export function times(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return `${value.toFixed(value >= 9.95 ? 1 : 2)} ×`;
}

/** Formats a speed with its spread: "1.49 × as fast (most runs: 1.39–1.55)". @param words "" in a column "speed". */
export function speedText(
  { median, low, high }: Record<"median" | "low" | "high", number>,
  words = " as fast",
): string {
  const range = `${times(low)}–${times(high)}`.replaceAll(" ×", "");
  if (words === "" || low > 1 || high < 1) return `${times(median)}${words} (${words && "most runs: "}${range})`;
  return low >= 0.8 && high <= 1.25 ? `about${words}` : `${range} ×${words} (undecided)`;
}

/** Formats a metric value, such as "91.5 %", "3.498", "23.10 dB" or "∞ dB". */
export function figureText(unit: Unit, value: number, extraDigits = 0): string {
  const text = Number.isFinite(value) ? value.toPrecision(4 + extraDigits) : String(value).replace("Infinity", "∞");
  return unit === "share" ? percent(value, 1 + extraDigits) : `${withMinusSign(text)}${unitSuffix(unit)}`;
}

export function figureInterval(
  unit: Unit,
  { value, low, high }: Pick<Estimate, "value" | "low" | "high">,
  format = figureText,
): string {
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(low) && !Number.isFinite(high))
    return low === high ? "the same for all samples" : "too few samples for an interval";
  return `${format(unit, low)} … ${format(unit, high)}`;
}

/** Formats a change without its unit, such as "+0.3" or "−2.1". */
export function change(unit: Unit, value: number, digits = 1): string {
  const text = (unit === "share" ? (100 * value).toFixed(digits) : value.toPrecision(3)).replace("Infinity", "∞");
  const isZero = Number(text) === 0;
  return isZero ? text.replace("-", "") : withMinusSign(value > 0 ? `+${text}` : text);
}

export function changeInterval(unit: Unit, { low, high }: Pick<Estimate, "low" | "high">): string {
  return `${change(unit, low)} … ${change(unit, high)}`;
}

/** Formats a difference, such as "+0.3 points" or "−1.20 dB". */
export function difference(unit: Unit, value: number, extraDigits = 0): string {
  const isHidden = (digits: number): boolean => value !== 0 && Number((100 * value).toFixed(digits)) === 0;
  const digits = [1, 2].find((digitCount) => digitCount > extraDigits && !isHidden(digitCount)) ?? 3;
  return change(unit, value, digits) + unitSuffix(unitOfChange(unit));
}

export function confidenceText({ confidence }: Pick<Estimate, "confidence">): string {
  return `${Number((100 * confidence).toFixed(1))} %`;
}

/** Formats an interval, such as "95 % interval −3.6 … −0.6 points". */
export function intervalText(unit: Unit, estimate: Omit<Estimate, "value" | "count">): string {
  if (!Number.isFinite(estimate.low) && !Number.isFinite(estimate.high)) return "too few samples for an interval";
  const cause = estimate.confidence === earlyConfidence ? "the evaluation ended early" : "several results are compared";
  const reason = estimate.confidence > 0.95 ? `, wider because ${cause}:` : "";
  return `${confidenceText(estimate)} interval${reason} ${changeInterval(unit, estimate)}${unitSuffix(unitOfChange(unit))}`;
}

export const intervalNote = (unit: Unit, estimate: Estimate): string =>
  `(${intervalText(unit, estimate)}, ${counted(estimate.count, "sample")})`;

/** Formats an allowed drop, which is a difference without the plus sign. It has up to three decimals if they state the value exactly. */
export function allowance(unit: Unit, value: number): string {
  const texts = [0, 1, 2].map((extraDigits) => difference(unit, value, extraDigits).replace("+", ""));
  const stated = Number((unit === "share" ? 100 * value : value).toPrecision(9));
  return texts.find((text) => numberIn(text) === stated) ?? texts[0] ?? "";
}

/** Returns "1.5 points lost, 1.0 points allowed". */
export function excessText(unit: Unit, loss: number, allowedLoss: number): string {
  const allowedText = allowance(unit, allowedLoss);
  const texts = [0, 1, 2].map((extra) => difference(unit, loss, extra).replace("+", ""));
  const isMore = (text: string): boolean => numberIn(text) > numberIn(allowedText);
  return `${texts.find(isMore) ?? texts[0]} lost, ${allowedText} allowed`;
}

export function unitOfChange(unit: Unit): string {
  return unit === "share" ? "points" : unit;
}

function unitSuffix(unit: string): string {
  return unit === "" ? "" : ` ${unit}`;
}

export function withMinusSign(text: string): string {
  return text.replace(/^-/, "−");
}

function scaledText(value: number, units: readonly string[]): string {
  let unit = 0;
  let scaledValue = value;
  // Values from 999.5 on would round to 1000, so they use the next unit.
  while (scaledValue >= 999.5 && unit < units.length - 1) {
    scaledValue /= 1000;
    unit++;
  }
  const digits = unit === 0 || scaledValue >= 99.95 ? 0 : scaledValue >= 9.995 ? 1 : 2;
  return `${scaledValue.toFixed(digits)} ${units[unit]}`.trim();
}

/** Formats a waiting time; undefined if it is too short to be announced. */
export function waitingText(seconds: number): string | undefined {
  if (seconds < 20) return undefined;
  if (seconds < 90) return `about ${integer(10 * Math.round(seconds / 10))} seconds`;
  if (seconds < 5400) return `about ${integer(seconds / 60)} minutes`;
  return `about ${(seconds / 3600).toFixed(seconds < 36_000 ? 1 : 0)} hours`;
}

export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return clock(seconds);
}

export function runTime(milliseconds = Number.NaN): string {
  return milliseconds >= 100 ? duration(milliseconds) : `${milliseconds.toPrecision(3)} ms`;
}

/** Formats a time as on a clock, such as "0:04", "12:30" or "1:02:05". */
export function clock(seconds: number): string {
  const totalSeconds = Math.round(seconds);
  const padTwo = (value: number): string => String(value).padStart(2, "0");
  const [hours, minutes, rest] = [
    Math.floor(totalSeconds / 3600),
    Math.floor(totalSeconds / 60) % 60,
    totalSeconds % 60,
  ];
  return hours > 0 ? `${hours}:${padTwo(minutes)}:${padTwo(rest)}` : `${minutes}:${padTwo(rest)}`;
}
