/** Formats numbers with three significant digits, units and a real minus sign. */
import type { Estimate, Unit } from "./estimate.ts";

/** Formats 3.46 MB, in decimal units. */
export function bytes(value: number): string {
  return value === 1 ? "1 byte" : scaled(value, ["bytes", "kB", "MB", "GB", "TB"]);
}

export function count(value: number): string {
  return value < 10_000 ? integer(value) : scaled(value, ["", "k", "M", "G", "T"]);
}

export function integer(value: number): string {
  // `toLocaleString` would take 12 ms on its first call, a fifth of Node's start-up time.
  return String(Math.round(value)).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** Formats 1 sample, 1,060 samples; 1 class, 10 classes. */
export function counted(count: number, noun: string): string {
  const plural = /(s|x|tch)$/.test(noun) ? `${noun}es` : `${noun}s`;
  return `${integer(count)} ${count === 1 ? noun : plural}`;
}

/** Formats 91.5 %, with more digits if it would round to 0 or 100 %. */
export function percent(fraction: number, digits = 1): string {
  const text = (100 * fraction).toFixed(digits);
  const rounded = Number(text) / 100;
  const saysAll = (rounded === 1 || rounded === 0) && rounded !== fraction;
  return saysAll && digits < 4 ? percent(fraction, digits + 1) : `${minus(text)} %`;
}

/** Returns whether tables show sparsity: if a model has a relevant share of zeros, or the shares differ. */
export function sparsityMatters(share: number | undefined, other: number | undefined): boolean {
  if (share === undefined || other === undefined) return false;
  return Math.abs(share - other) >= 0.01 || Math.max(share, other) > 0.05;
}

/** Formats two values with as many digits as are needed to distinguish them: 99.89 %, 99.90 %. */
export function formatDistinct(unit: Unit, value: number, other: number): readonly [string, string] {
  const texts = (digits: number): readonly [string, string] =>
    unit === "share"
      ? [percent(value, digits), percent(other, digits)]
      : [figure(unit, value, digits + 3), figure(unit, other, digits + 3)];
  for (let digits = 1; digits < 12 && value !== other; digits++) {
    const [first, second] = texts(digits);
    if (first !== second) return [first, second];
  }
  return texts(1);
}

export function times(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return `${value.toFixed(value >= 9.95 ? 1 : 2)} ×`;
}

export function isSlower(speedup: number): boolean {
  return speedup < 0.995;
}

/** Formats 91.5 %, 3.498, 23.10 dB, ∞ dB. */
export function figure(unit: Unit, value: number, digits = 4): string {
  const text = Number.isFinite(value) ? value.toPrecision(digits) : String(value).replace("Infinity", "∞");
  return unit === "share" ? percent(value) : `${minus(text)}${spaced(unit)}`;
}

export function figureInterval(unit: Unit, { low, high }: Pick<Estimate, "low" | "high">, shown = figure): string {
  if (!Number.isFinite(low) && !Number.isFinite(high))
    return low === high ? "the same for all samples" : "too few samples for an interval";
  return `${shown(unit, low)} … ${shown(unit, high)}`;
}

export function change(unit: Unit, value: number, digits = 1): string {
  const text = (unit === "share" ? (100 * value).toFixed(digits) : value.toPrecision(3)).replace("Infinity", "∞");
  const zero = Number(text) === 0;
  return zero ? text.replace("-", "") : minus(value > 0 ? `+${text}` : text);
}

export function changeInterval(unit: Unit, { low, high }: Pick<Estimate, "low" | "high">): string {
  return `${change(unit, low)} … ${change(unit, high)}`;
}

/** Formats +0.3 points, −1.20 dB, with more digits if it would print as 0. */
export function difference(unit: Unit, value: number): string {
  const isHidden = (digits: number): boolean => value !== 0 && Number((100 * value).toFixed(digits)) === 0;
  const digits = [1, 2].find((few) => !isHidden(few)) ?? 3;
  return change(unit, value, digits) + spaced(unitOfChange(unit));
}

export function confidenceText({ confidence }: Pick<Estimate, "confidence">): string {
  return `${Number((100 * confidence).toFixed(1))} %`;
}

/** Formats −2.1 points (95 % interval −3.6 … −0.6, 1,000 samples). */
export function differenceWithInterval(unit: Unit, estimate: Estimate): string {
  const [value, samples] = [difference(unit, estimate.value), counted(estimate.count, "sample")];
  return Number.isFinite(estimate.low) || Number.isFinite(estimate.high)
    ? `${value} (${confidenceText(estimate)} interval ${changeInterval(unit, estimate)}, ${samples})`
    : `${value} (${samples}, too few for an interval)`;
}

export function allowance(unit: Unit, value: number): string {
  return difference(unit, value).replace("+", "");
}

export function lossInterval(unit: Unit, loss: Estimate): string {
  if (!Number.isFinite(loss.low) && !Number.isFinite(loss.high)) return "too few samples for an interval";
  return `${confidenceText(loss)} interval ${changeInterval(unit, loss).replaceAll("+", "")}`;
}

export function unitOfChange(unit: Unit): string {
  return unit === "share" ? "points" : unit;
}

function spaced(unit: string): string {
  return unit === "" ? "" : ` ${unit}`;
}

export function minus(text: string): string {
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

/** Formats a waiting time of at least 20 seconds; shorter ones are not announced. */
export function waiting(seconds: number): string | undefined {
  if (seconds < 20) return undefined;
  if (seconds < 90) return `about ${integer(10 * Math.round(seconds / 10))} seconds`;
  if (seconds < 5400) return `about ${integer(seconds / 60)} minutes`;
  return `about ${(seconds / 3600).toFixed(seconds < 36_000 ? 1 : 0)} hours`;
}

/** Formats 41 ms, 2.3 s, 4:42, 1:02:05. */
export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return clock(seconds);
}

export function runTime(milliseconds = Number.NaN): string {
  return milliseconds >= 100 ? duration(milliseconds) : `${milliseconds.toPrecision(3)} ms`;
}

/** Formats 0:04, 12:30, 1:02:05. */
export function clock(seconds: number): string {
  const total = Math.round(seconds);
  const two = (value: number): string => String(value).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(total / 3600), Math.floor(total / 60) % 60, total % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}
