/** What is said of how fast a result is beside another model. */
import { type UnevenChannels, widestBlock } from "../analysis/uneven-channels.ts";
import { Miss, someOf } from "../errors.ts";
import type { Spread } from "../evaluate/index.ts";
import { integer, isSlower, percent, runTime, speed, times } from "../evaluate/numbers.ts";
import type { Change } from "../passes/index.ts";
import { comparableCounts, type OperationCount } from "./operation-count.ts";
import { benchCommand } from "./sections.ts";

export interface Speed extends Spread {
  /** Of one run of the original and of the file. */
  readonly before: number;
  readonly milliseconds: number;
  /** In words: which runtime. */
  readonly where: string;
}

/** How fast a result is beside the file `against`; a Miss where it could not be timed. */
export interface Timed {
  readonly against: string;
  readonly found: Speed | Miss;
}

/** The share of the speed that fewer operations promise of which less is said to be none. */
const leastGain = 0.25;
/** A network of nearly as many operations promises nothing. */
const mostMacs = 0.9;

interface Macs {
  /** Undefined where an operator's cost is not known. */
  readonly macs: OperationCount | undefined;
}

interface Computed {
  readonly before: Macs;
  readonly changes: readonly Pick<Change, "speed">[];
  readonly uneven?: UnevenChannels | undefined;
}

/** Why fewer operations are no faster, as far as it is known; undefined where they are, or are not fewer. */
export function noFasterText(
  { median }: Pick<Speed, "median">,
  { before, changes, uneven }: Computed,
  after: Macs,
): string | undefined {
  const [all, left] = comparableCounts(before.macs, after.macs) ?? [1, 1];
  if (left > mostMacs * all || median - 1 >= leastGain * (all / left - 1)) return undefined;
  const slower = changes.filter((change) => change.speed !== undefined && isSlower(change.speed)).length;
  const reasons = [
    ...(slower === 0
      ? []
      : [`${integer(slower)} of the ${integer(changes.length)} changed layers are slower than before`]),
    ...(uneven === undefined || uneven.layers === 0 ? [] : [unevenText(uneven)]),
  ];
  const why = reasons.length === 0 ? "its time is spent elsewhere" : reasons.join("; ");
  return `${percent(left / all, 0)} of the MACs, but ${times(median)} as fast: ${why}`;
}

function unevenText({ layers, convolutions, counts }: UnevenChannels): string {
  const shown = someOf(counts.map(String), 5);
  return `${integer(layers)} of ${integer(convolutions)} convolutions have a number of channels (${shown}) that is no multiple of ${widestBlock}; the runtime computes them in blocks of ${widestBlock} (8 without AVX-512), and a part of a block takes as long as a whole one: prune --structured --round-to ${widestBlock} leaves whole blocks`;
}

/** For the table of what is before and after. */
export function timeRow(model: string, timed: Timed | undefined): string[][] {
  if (timed === undefined || timed.against !== model || timed.found instanceof Miss) return [];
  const { found } = timed;
  return [["time", runTime(found.before), runTime(found.milliseconds), speed(found)]];
}

/** What the table does not say. */
export function speedLines(model: string, written: string, timed: Timed | undefined): string[] {
  if (timed === undefined) return [];
  const { against, found } = timed;
  if (found instanceof Miss)
    return [`speed: not measured, ${found.reason}; ${benchCommand([against, written])} measures it`];
  return against === model ? [] : [`speed: ${speed(found)} that of ${against}`];
}

/** For `--json`. */
export function speedRecord(timed: Timed | undefined): object {
  if (timed === undefined) return {};
  const { against, found } = timed;
  return { speed: found instanceof Miss ? { against, unmeasured: found.reason } : { against, ...found } };
}
