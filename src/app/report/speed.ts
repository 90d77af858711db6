/** Reports the speed of a result relative to another model. */
import type { UnevenChannels } from "../../core/analysis/uneven-channels.ts";
import { widestBlock } from "../../core/channel-block.ts";
import { truncateList } from "../../core/errors.ts";
import { integer, isSlower, percent, runTime } from "../../core/numbers.ts";
import type { Change } from "../../core/pass/pass.ts";
import { benchCommand } from "../../judge/record/shell-command.ts";
import { comparableCounts, type OperationCount } from "./operation-count.ts";

/** Speed on one thread. It is measured in one process, and has no interval. */
export interface Speed {
  /** Speed relative to the other model. A factor of 2 means half the time. */
  readonly factor: number;
  /** Processor time per run in milliseconds, of the other model (`before`) and of the result (`milliseconds`). */
  readonly before: number;
  readonly milliseconds: number;
}

/** Speed of a result relative to the file `against`, or the reason why it was not measured. */
export interface Timed {
  readonly against: string;
  readonly found: Speed | { readonly unmeasured: string };
}

/** Minimum share of the expected speedup at which a result counts as faster. */
const minGain = 0.25;
/** Maximum share of the multiply-accumulates at which a speedup is expected. */
const maxMacs = 0.9;

interface Macs {
  /** Multiply-accumulates; undefined if the cost of an operator is not known. */
  readonly macs: OperationCount | undefined;
}

interface Computed {
  readonly before: Macs;
  readonly changes: readonly Pick<Change, "speed">[];
  readonly uneven?: UnevenChannels | undefined;
}

/**
 * Explains why fewer operations do not make the result faster, as far as known. Returns undefined if it is faster, or if the operations are not
 * fewer.
 */
export function notFasterText(factor: number, { before, changes, uneven }: Computed, after: Macs): string | undefined {
  const [originalMacs, resultMacs] = comparableCounts(before.macs, after.macs) ?? [1, 1];
  if (
    originalMacs === 0 ||
    resultMacs > maxMacs * originalMacs ||
    factor - 1 >= minGain * (originalMacs / resultMacs - 1)
  )
    return undefined;
  const slowerCount = changes.filter((change) => change.speed !== undefined && isSlower(change.speed)).length;
  const reasons = [
    ...(slowerCount === 0
      ? []
      : [`${integer(slowerCount)} of the ${integer(changes.length)} changed layers are slower than before`]),
    ...(uneven === undefined || uneven.layers === 0 ? [] : [unevenText(uneven)]),
  ];
  const cause = reasons.length === 0 ? "its time is spent elsewhere" : reasons.join("; ");
  return `${percent(resultMacs / originalMacs, 0)} of the MACs, but ${factorText(factor)}: ${cause}`;
}

function unevenText({ layers, convolutions, counts }: UnevenChannels): string {
  const shown = truncateList(counts.map(String), 5);
  return `${integer(layers)} of ${integer(convolutions)} convolutions have a number of channels (${shown}) that is no multiple of ${widestBlock}; the runtime computes them in blocks of ${widestBlock} (8 without AVX-512), and a part of a block takes as long as a whole one: prune --structured --round-to ${widestBlock} leaves whole blocks`;
}

/** Relative difference between measurements of one model in several processes on a busy machine. */
const maxNoise = 0.12;

/** Returns "about 1.6 × as fast", or "about as fast" if the difference can be noise. */
export function factorText(factor: number): string {
  return Math.abs(factor - 1) <= maxNoise
    ? "about as fast"
    : `about ${factor < 9.5 ? factor.toPrecision(2) : factor.toFixed(0)} × as fast`;
}

/** Returns a warning if the result is slower by more than the noise; else undefined. */
export function slowerText(timed: Timed | undefined): string | undefined {
  if (timed === undefined || "unmeasured" in timed.found || timed.found.factor >= 1 - maxNoise) return undefined;
  return `the result is slower: ${factorText(timed.found.factor)} as ${timed.against} on one thread`;
}

export function timeRow(model: string, timed: Timed | undefined): string[][] {
  if (timed === undefined || timed.against !== model || "unmeasured" in timed.found) return [];
  const { before, milliseconds, factor } = timed.found;
  return [["time, 1 thread", runTime(before), runTime(milliseconds), factorText(factor)]];
}

export function speedLines(model: string, written: string, timed: Timed | undefined): string[] {
  if (timed === undefined) return [];
  const { against, found } = timed;
  if ("unmeasured" in found)
    return [`speed: not measured, ${found.unmeasured}; ${benchCommand([against, written])} measures it`];
  return against === model ? [] : [`speed: ${factorText(found.factor)} as ${against} on one thread`];
}

export function speedRecord(timed: Timed | undefined): object {
  return timed === undefined ? {} : { speed: { against: timed.against, ...timed.found } };
}
