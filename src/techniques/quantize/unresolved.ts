/** Warns about activations that stay in float because 8 bits do not resolve their range (`resolution.ts`). */

import type { Value } from "../../core/graph/graph.ts";
import { counted, integer } from "../../core/numbers.ts";
import type { Context } from "../../core/pass/pass.ts";
import type { ValueRange } from "../calibrate/observe.ts";
import type { MeasureOptions } from "./measure.ts";
import { short } from "./resolution.ts";

export function reportUnresolved(
  unresolved: ReadonlyMap<Value, ValueRange>,
  { equalize, ranges = "min-max" }: Pick<MeasureOptions, "equalize" | "ranges">,
  { log }: Pick<Context, "log">,
): void {
  if (unresolved.size === 0) return;
  const [[first, { min, max }] = [undefined, { min: 0, max: 0 }]] = unresolved;
  const example = `"${first?.name}" from ${short(min)} to ${short(max)}`;
  const others = unresolved.size > 1 ? `, and ${integer(unresolved.size - 1)} more` : "";
  const advice = [
    ...(equalize === false ? ["omit `equalize: false`, because equalization makes channel ranges similar"] : []),
    ...(ranges === "min-max" ? ['`ranges: "percentile"` clips rare outliers (compare the accuracy)'] : []),
  ];
  const remedy = advice.length === 0 ? "" : ` To change that: ${advice.join("; ")}.`;
  const text = `${counted(unresolved.size, "activation")} in float: their range is too wide for 8 bits to resolve most values (${example}${others}). This costs speed, not accuracy.${remedy}`;
  log({ id: "unresolved", text });
}
