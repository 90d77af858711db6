/** Numbers as people read them: three significant digits, units that say what they count, a real minus sign. */
import type { Spread } from "./latency.ts";
import type { Estimate, Unit } from "./types.ts";

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
  // By hand: the first number that the system's locales format costs 12 ms, a fifth of what Node takes to start.
  return String(Math.round(value)).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** 1 sample, 1,060 samples; 1 class, 10 classes */
export function counted(count: number, noun: string): string {
  const plural = /(s|x|tch)$/.test(noun) ? `${noun}es` : `${noun}s`;
  return `${integer(count)} ${count === 1 ? noun : plural}`;
}

/** 91.5 %; 99.95 % where one digit less would say all. */
export function percent(fraction: number, digits = 1): string {
  const text = (100 * fraction).toFixed(digits);
  const rounded = Number(text) / 100;
  const saysAll = (rounded === 1 || rounded === 0) && rounded !== fraction;
  return saysAll && digits < 4 ? percent(fraction, digits + 1) : `${minus(text)} %`;
}

/** Whether a model is sparse by its share of zero weights, or another is more or less so: only then tables show the shares. */
export function sparsityMatters(share: number | undefined, other: number | undefined): boolean {
  if (share === undefined || other === undefined) return false;
  return Math.abs(share - other) >= 0.01 || Math.max(share, other) > 0.05;
}

/** 99.89 %, 99.90 %: a figure and what it is held against, in as many digits as it takes to tell them apart; equal ones in as few as usual. */
export function told(unit: Unit, value: number, other: number): readonly [string, string] {
  const texts = (digits: number): readonly [string, string] =>
    unit === "share"
      ? [percent(value, digits), percent(other, digits)]
      : [figure(unit, value, digits + 3), figure(unit, other, digits + 3)];
  for (let digits = 1; digits < 12 && value !== other; digits++) {
    const [one, two] = texts(digits);
    if (one !== two) return [one, two];
  }
  return texts(1);
}

/** 7.9 ×: how many times one number is another. */
export function times(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return `${value.toFixed(value >= 9.95 ? 1 : 2)} ×`;
}

/** Whether a number of times as fast prints as less than 1.00 ×. */
export function isSlower(speedup: number): boolean {
  return speedup < 0.995;
}

/** 2.20 × (1.98–2.34): a ratio, the median over rounds, with the 10th to 90th percentile. */
export function speed(spread: Spread): string {
  return `${times(spread.median)} (${range(spread)})`;
}

/** 1.98–2.34 */
export function range({ low, high }: Pick<Spread, "low" | "high">): string {
  return `${low.toFixed(2)}–${high.toFixed(2)}`;
}

/** 91.5 %, 3.498, 23.10 dB, ∞ dB: a figure in its unit. */
export function figure(unit: Unit, value: number, digits = 4): string {
  const text = Number.isFinite(value) ? value.toPrecision(digits) : String(value).replace("Infinity", "∞");
  return unit === "share" ? percent(value) : `${minus(text)}${spaced(unit)}`;
}

/** 89.6 % … 93.1 %; in words where no bound is finite. */
export function figureInterval(unit: Unit, { low, high }: Pick<Estimate, "low" | "high">, shown = figure): string {
  if (!Number.isFinite(low) && !Number.isFinite(high))
    return low === high ? "the same for all samples" : "too few samples for an interval";
  return `${shown(unit, low)} … ${shown(unit, high)}`;
}

/** +0.3, −1.2: by how much a figure differs, bare. Shares differ in points. */
export function change(unit: Unit, value: number, digits = 1): string {
  const text = (unit === "share" ? (100 * value).toFixed(digits) : value.toPrecision(3)).replace("Infinity", "∞");
  const zero = Number(text) === 0;
  return zero ? text.replace("-", "") : minus(value > 0 ? `+${text}` : text);
}

/** −2.0 … +0.6 */
export function changeInterval(unit: Unit, { low, high }: Pick<Estimate, "low" | "high">): string {
  return `${change(unit, low)} … ${change(unit, high)}`;
}

/** +0.3 points, −1.20 dB; −0.02 points where one digit would say that nothing differs: `change` with what it counts. */
export function difference(unit: Unit, value: number): string {
  const isHidden = (digits: number): boolean => value !== 0 && Number((100 * value).toFixed(digits)) === 0;
  const digits = [1, 2].find((few) => !isHidden(few)) ?? 3;
  return change(unit, value, digits) + spaced(unitOfChange(unit));
}

/** 95 %, 99.7 %: how sure an interval is. */
export function confidenceText({ confidence }: Pick<Estimate, "confidence">): string {
  return `${Number((100 * confidence).toFixed(1))} %`;
}

/** −2.1 points (95 % interval −3.6 … −0.6, 1,000 samples) */
export function differenceWithInterval(unit: Unit, found: Estimate): string {
  const [moved, samples] = [difference(unit, found.value), counted(found.count, "sample")];
  return Number.isFinite(found.low) || Number.isFinite(found.high)
    ? `${moved} (${confidenceText(found)} interval ${changeInterval(unit, found)}, ${samples})`
    : `${moved} (${samples}, too few for an interval)`;
}

/** 1.0 points: how large a loss is, or may be. */
export function allowance(unit: Unit, value: number): string {
  return difference(unit, value).replace("+", "");
}

/** 95 % interval −0.6 … 3.6: that of a loss. */
export function lossInterval(unit: Unit, loss: Estimate): string {
  if (!Number.isFinite(loss.low) && !Number.isFinite(loss.high)) return "too few samples for an interval";
  return `${confidenceText(loss)} interval ${changeInterval(unit, loss).replaceAll("+", "")}`;
}

/** What a difference counts: "points" for shares, else what the figure counts. */
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

/** Seconds; shorter waits are not announced. */
const leastAnnounced = 20;

/** "about 4 minutes"; undefined for what is over at once. */
export function waiting(seconds: number): string | undefined {
  if (seconds < leastAnnounced) return undefined;
  if (seconds < 90) return `about ${integer(10 * Math.round(seconds / 10))} seconds`;
  if (seconds < 5400) return `about ${integer(seconds / 60)} minutes`;
  return `about ${(seconds / 3600).toFixed(seconds < 36_000 ? 1 : 0)} hours`;
}

/** 41 ms, 2.3 s, 4:42, 1:02:05 */
export function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return clock(seconds);
}

/** 0.863 ms, 12.0 ms, 2.3 s: of one run, where short ones need digits. */
export function runTime(milliseconds = Number.NaN): string {
  return milliseconds >= 100 ? duration(milliseconds) : `${milliseconds.toPrecision(3)} ms`;
}

/** 0:04, 12:30, 1:02:05 */
export function clock(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (value: number): string => String(value).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}
