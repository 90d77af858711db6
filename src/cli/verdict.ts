/** A goal's verdict as a sentence. */
import type { Verdict } from "../evaluate/index.ts";
import { figure, isShare } from "./metrics.ts";
import { integer } from "./numbers.ts";

/** `kept: accuracy falls by 0.2 points (95 %: −0.4 … 0.8), 1.0 are allowed`. */
export function verdictText(verdict: Verdict, metric: string, allowed: number): string {
  const { drop, samples } = verdict;
  const size = (value: number): string => (isShare(metric) ? (100 * value).toFixed(1) : figure(metric, value));
  const unit = isShare(metric) ? " points" : "";
  const change = `${metric} ${drop.value > 0 ? "is worse" : "is better"} by ${size(Math.abs(drop.value))}${unit}`;
  const interval = `drop ${size(drop.low)} … ${size(drop.high)} with 95 %, n = ${integer(drop.count)}`;
  const more = samples === undefined ? "" : `; about ${integer(samples)} samples would show it (--strict insists)`;
  const word =
    verdict.verdict === "not shown" ? `not shown, ${verdict.met ? "kept" : "lost"} by the estimate` : verdict.verdict;
  return `${word}: ${change} (${interval}), ${size(allowed)} allowed${more}`;
}
