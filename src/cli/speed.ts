/** How fast a file is beside another, as `bench` times them: in turns, in a process of their own. */
import { channelBlock, type UnevenChannels } from "../analysis/uneven-channels.ts";
import { Miss, PithError } from "../errors.ts";
import type { Spread } from "../evaluate/index.ts";
import { isUnsteady, workOf } from "../evaluate/latency.ts";
import { bytes, integer, isSlower, percent, speed, times } from "../evaluate/numbers.ts";
import type { TargetName } from "../evaluate/run-target.ts";
import { benchCommand } from "../report/sections.ts";
import type { Settings } from "../task/index.ts";
import type { Session } from "./command.ts";
import type benchJob from "./jobs/bench.ts";
import type { PassOutput, Weight } from "./jobs/pass.ts";
import { runTime } from "./numbers.ts";

export interface Speed extends Spread {
  /** Of one run of the original and of the file. */
  readonly before: number;
  readonly milliseconds: number;
  /** In words: which runtime. */
  readonly where: string;
}

export interface Beside {
  /** A Miss where the machine is too busy to tell. */
  readonly speed: Speed | Miss;
  /** Processor time of a run, as a share of the original's; undefined where it cannot be read. */
  readonly work: number | undefined;
}

/** Both files are loaded to be timed: of more bytes that takes too much memory. */
export const largestTimed = 2 ** 29;
const rounds = 15;
const longest = 20;

/**
 * How fast `file` is beside `original`.
 * @throws PithError E_UNSUPPORTED where nothing can be timed on the target, or as loading and running do.
 */
export async function speedBeside(
  original: string,
  file: string,
  { target, set }: { readonly target: TargetName; readonly set: Settings },
  session: Session,
): Promise<Beside> {
  const { seed } = session;
  const models = [original, file];
  const input = { models, target, dims: [], set, rounds, seconds: longest, threads: undefined, seed, inOrder: true };
  const { latency, where } = await session.job<typeof benchJob>("bench", input, `time ${file}`);
  const [first, own] = latency.models;
  const work = workOf(latency.models, own);
  if (first === undefined || own === undefined || isUnsteady(latency.models))
    return { speed: new Miss("the machine was too busy"), work };
  const milliseconds = own.milliseconds.median;
  return { speed: { ...own.speedup, before: first.milliseconds.median, milliseconds, where }, work };
}

/** How fast a result is beside the file `against`; a Miss where it could not be timed. */
export interface Timed {
  readonly against: string;
  readonly found: Speed | Miss;
}

/** Times the result of a command, which is written by now. Undefined where it computes as much as the model that came in, and has no reference. */
export async function timedBeside(
  model: string,
  against: string,
  result: PassOutput,
  session: Session,
): Promise<Timed | undefined> {
  const { before, after, written } = result;
  if (written === undefined || after === undefined) return undefined;
  const computesOther = before.macs === undefined ? before.parameters !== after.parameters : before.macs !== after.macs;
  if (against === model && !computesOther) return undefined;
  const found = await timed(against, written, before, session);
  const why = found instanceof Miss || against !== model ? undefined : noFasterText(found, result, after);
  if (why !== undefined) session.terminal.note("speed", why, "warning");
  return { against, found };
}

/** A result that cannot be timed is a result. */
async function timed(against: string, file: string, { bytes: size }: Weight, session: Session): Promise<Speed | Miss> {
  if (size > largestTimed) return new Miss(`the model has more than ${bytes(largestTimed)}`);
  try {
    return (await speedBeside(against, file, { target: "node", set: {} }, session)).speed;
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    return new Miss(error.message.replace(/\.$/, ""));
  }
}

/** The share of the speed that fewer operations promise of which less is said to be none. */
const leastGain = 0.25;
/** A network of nearly as many operations promises nothing. */
const mostMacs = 0.9;

/** Why fewer operations are no faster, as far as it is known; undefined where they are, or are not fewer. */
export function noFasterText(
  { median }: Pick<Speed, "median">,
  { before, changes, uneven }: Pick<PassOutput, "before" | "changes" | "uneven">,
  after: Weight,
): string | undefined {
  const [all, left] = comparableMacs(before, after) ?? [1, 1];
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
  const shown = counts.slice(0, 5).join(", ");
  const more = counts.length > 5 ? ", …" : "";
  return `${integer(layers)} of ${integer(convolutions)} convolutions have a number of channels (${shown}${more}) that is no multiple of ${channelBlock}; the runtime computes them in blocks of ${channelBlock} (8 without AVX-512), and a part of a block takes as long as a whole one`;
}

/** One number of operations for each symbolic factor ("4*batch") is compared; sums of several are not. */
export function comparableMacs(before: Weight, after: Weight): readonly [number, number] | undefined {
  const [a, b] = [before.macs, after.macs].map((text) => /^(\d+)(.*)$/.exec(text ?? ""));
  if (a === null || b === null || a === undefined || b === undefined || a[2] !== b[2] || /[ +]/.test(a[2] ?? ""))
    return undefined;
  return [Number(a[1]), Number(b[1])];
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
