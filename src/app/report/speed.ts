/** Reports the speed of a result relative to another model. */
import { blockWidth, type UnevenChannels } from "#analysis";
import { integer, percent, runTime, speedText, truncateList } from "#ir";
import type { SizeAndCost } from "../../judge/measure/measured-pair.ts";
import type { MeasuredSpeed } from "../../judge/measure/speed.ts";
import { comparableCounts } from "../../judge/record/operation-count.ts";
import { benchCommand } from "../../judge/record/shell-command.ts";
import type { Spread } from "../../runtime/run/latency.ts";

/** Minimum share of the expected speedup at which a result counts as faster. */
const minGain = 0.25;
/** Maximum share of the multiply-accumulates at which a speedup is expected. */
const maxMacs = 0.9;

interface Computed {
  readonly before: Pick<SizeAndCost, "macs">;
  readonly uneven?: UnevenChannels | undefined;
}

/** Explains, as far as known, why fewer operations are not faster. */
export function notFasterText(
  speed: Spread,
  { before, uneven }: Computed,
  after: Computed["before"],
): string | undefined {
  const [originalMacs, resultMacs] = comparableCounts(before.macs, after.macs) ?? [1, 1];
  if (
    originalMacs === 0 ||
    resultMacs > maxMacs * originalMacs ||
    speed.median - 1 >= minGain * (originalMacs / resultMacs - 1)
  )
    return undefined;
  const cause =
    uneven === undefined || uneven.layers === 0 ? "its time does not depend on MACs alone" : unevenText(uneven);
  return `${percent(resultMacs / originalMacs, 0)} of the MACs, but ${speedText(speed)}: ${cause}`;
}

function unevenText({ layers, convolutions, counts }: UnevenChannels): string {
  const shown = truncateList(counts.map(String), 2);
  return `${integer(layers)} of ${integer(convolutions)} convolutions have a number of channels that is not a multiple of ${blockWidth} (${shown}). Each takes as long as with the next multiple. Choose multiples with --round-to ${blockWidth} (prune) or --rank (factorize)`;
}

/** Returns a warning if the result is clearly slower. */
export function slowerText(speed: MeasuredSpeed | undefined): string | undefined {
  if (speed === undefined || "unmeasured" in speed || speed.high >= 1) return undefined;
  return `the result is slower than ${speed.against} on one thread: ${speedText(speed)}`;
}

export function timeRow(model: string, speed: MeasuredSpeed | undefined): string[][] {
  if (speed === undefined || speed.against !== model || "unmeasured" in speed) return [];
  return [["time, 1 thread", runTime(speed.before), runTime(speed.milliseconds), speedText(speed)]];
}

export function speedLines(model: string, writtenPath: string, speed: MeasuredSpeed | undefined): string[] {
  if (speed === undefined) return [];
  const { against } = speed;
  if ("unmeasured" in speed)
    return [`speed: not measured, ${speed.unmeasured}; ${benchCommand([against, writtenPath])} measures it`];
  return against === model ? [] : [`speed, compared with ${against} on one thread: ${speedText(speed)}`];
}
