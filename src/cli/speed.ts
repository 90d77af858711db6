import { clause, Miss, PithError } from "../errors.ts";
import { isUnsteady, workOf } from "../evaluate/latency.ts";
import { bytes } from "../evaluate/numbers.ts";
import type { TargetName } from "../evaluate/run-target.ts";
import { noFasterText, type Speed, type Timed } from "../report/speed.ts";
import type { Settings } from "../task/index.ts";
import type { Session } from "./command.ts";
import type benchJob from "./jobs/bench.ts";
import type { WrittenOutput } from "./jobs/pass.ts";
import { computesOther, largestTimed, type Weight } from "./weight.ts";

export interface Beside {
  readonly speed: Speed | Miss;
  /** Processor time of a run relative to the original's; undefined if it cannot be read. */
  readonly work: number | undefined;
}

const rounds = 15;
const longest = 20;

/** @throws PithError E_UNSUPPORTED if the target cannot time, or as loading and running do. */
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

/** Returns undefined if the result has the input model's cost and there is no reference. */
export async function timedBeside(
  model: string,
  against: string,
  result: WrittenOutput,
  session: Session,
): Promise<Timed | undefined> {
  const { before, after, written } = result;
  const isOther = before.macs === undefined ? before.parameters !== after.parameters : computesOther(before, after);
  if (against === model && !isOther) return undefined;
  const found = await timed(against, written, before, session);
  const why = found instanceof Miss || against !== model ? undefined : noFasterText(found, result, after);
  if (why !== undefined) session.terminal.note("speed", why, "warning");
  return { against, found };
}

/** A failed timing does not reject the result. */
async function timed(against: string, file: string, { bytes: size }: Weight, session: Session): Promise<Speed | Miss> {
  if (size > largestTimed) return new Miss(`the model has more than ${bytes(largestTimed)}`);
  try {
    return (await speedBeside(against, file, { target: "node", set: {} }, session)).speed;
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    return new Miss(clause(error.message));
  }
}
