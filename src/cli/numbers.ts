/** Numbers as people read them: three significant digits, units that say what they count. */

/** Behind a comparison in which the original said nothing. */
export const constantNote = "; all outputs are constant there: this is weak evidence";

/** Behind a comparison of two models without the operators that this runtime lacks. */
export function withoutNote(operators: readonly string[]): string {
  return operators.length === 0 ? "" : `; without ${operators.join(", ")}, which this runtime does not have`;
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
