import { Miss } from "../../core/errors.ts";
import type { Settings } from "../../judge/task/contents.ts";
import type { Spread } from "../../runtime/run/latency.ts";
import { isUnsteady, workOf } from "../../runtime/run/latency.ts";
import type { TargetName } from "../../runtime/run/run-target.ts";
import type { Session } from "./command.ts";
import type benchJob from "./jobs/bench.ts";

interface Speed extends Spread {
  /** Milliseconds per run. */
  readonly milliseconds: number;
  /** The name of the runtime. */
  readonly where: string;
}

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
  return { speed: { ...own.speedup, milliseconds, where }, work };
}
