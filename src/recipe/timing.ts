/** The speed of all that candidates have come to, beside the original. */
import { PithError } from "../errors.ts";
import { isUnsteady } from "../evaluate/latency.ts";
import type { RunTarget } from "../evaluate/run-target.ts";
import type { Context } from "../passes/index.ts";
import type { Timing } from "../report/data.ts";
import type { Evaluation, Evaluator } from "./evaluator.ts";
import type { Attempt } from "./variant.ts";

/** The original and whatever has a result of its own, in turns: of files that are the same one is timed. */
export async function time(
  evaluator: Evaluator,
  tried: readonly Attempt[],
  { rounds, targets: [target] = [] }: { readonly rounds: number; readonly targets?: readonly RunTarget[] },
  context: Context,
): Promise<Timing | undefined> {
  const { sha256 } = evaluator.original.measured;
  const files = new Map(
    tried.flatMap(({ evaluation }) => (evaluation === undefined ? [] : [[hashOf(evaluation), evaluation]])),
  );
  files.delete(sha256);
  const found = await evaluator.time([...files.values()], { rounds, target }).catch((error: unknown) => {
    if (!(error instanceof PithError) || error.code !== "E_UNSUPPORTED") throw error;
    context.log({ id: "untimed", text: error.message, level: "warning" });
    return undefined;
  });
  if (found === undefined) return undefined;
  const { models, ...report } = found;
  const times = new Map([sha256, ...files.keys()].map((hash, place) => [hash, models[place]]));
  return {
    ...report,
    unsteady: isUnsteady(models),
    models: [
      models[0],
      ...tried.map(({ evaluation }) => (evaluation === undefined ? undefined : times.get(hashOf(evaluation)))),
    ],
  };
}

function hashOf({ measured }: Evaluation): string {
  return measured.sha256;
}
