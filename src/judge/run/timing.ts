/** Times the files of a run relative to the original. */
import { PithError } from "#ir";
import type { Context } from "#pass";
import type { RunTarget } from "../../runtime/run/run-target.ts";
import type { Evaluation, Evaluator } from "../measure/evaluator.ts";
import type { Timing } from "../record/run-record.ts";
import { relativeWorkOf } from "../record/verdict.ts";
import type { Attempt } from "./attempt.ts";
import type { RunOptions } from "./run-options.ts";

export const defaultRounds = 30;

/** Returns undefined if no attempt changed the model or `rounds` is 0. */
export async function timeIfChanged(
  evaluator: Evaluator,
  attempts: readonly Attempt[],
  { rounds = defaultRounds, targets, onStage }: RunOptions,
  context: Pick<Context, "log">,
): Promise<Timing | undefined> {
  const isChanged = attempts.some(({ evaluation }) => evaluation !== undefined && evaluator.isChanged(evaluation));
  if (rounds === 0 || !isChanged) return undefined;
  onStage?.("timing the finalists");
  return timeFiles(evaluator, attempts, { rounds, targets }, context);
}

/** Times each distinct file once, interleaved with the original. */
export async function timeFiles(
  evaluator: Evaluator,
  attempts: readonly Attempt[],
  { rounds, targets: [target] = [] }: { readonly rounds: number; readonly targets?: readonly RunTarget[] | undefined },
  context: Pick<Context, "log">,
): Promise<Timing | undefined> {
  const { sha256 } = evaluator.original.measured;
  const files = new Map(
    attempts.flatMap(({ evaluation }) => (evaluation === undefined ? [] : [[hashOf(evaluation), evaluation]])),
  );
  files.delete(sha256);
  const measurement = await evaluator.time([...files.values()], { rounds, target }).catch((error: unknown) => {
    if (!(error instanceof PithError) || error.code !== "E_UNSUPPORTED") throw error;
    context.log({ id: "untimed", text: error.message, level: "warning" });
    return undefined;
  });
  if (measurement === undefined) return undefined;
  const { models, ...report } = measurement;
  const times = new Map([sha256, ...files.keys()].map((hash, place) => [hash, models[place]]));
  return {
    ...report,
    models: [
      models[0],
      ...attempts.map(({ evaluation }) => (evaluation === undefined ? undefined : times.get(hashOf(evaluation)))),
    ],
  };
}

/** On a busy machine, the speed is computed from processor time, which other processes affect less. */
export function speedOfAttempt(timing: Timing | undefined, place: number): number | undefined {
  if (timing?.unsteady === true) return 1 / (relativeWorkOf({ latency: timing }, place) ?? Number.NaN) || undefined;
  return timing?.models[place + 1]?.speedup.median;
}

function hashOf({ measured }: Evaluation): string {
  return measured.sha256;
}
