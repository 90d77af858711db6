/** Defines clean-up passes, and creates the changes that they report. */
import type { Model } from "#ir";
import { type Change, type Context, definePass, noOptions, type Pass } from "#pass";

type Run = (model: Model, context: Context) => readonly Change[] | Promise<readonly Change[]>;

export function defineCleanUp(id: string, summary: string, run: Run): Pass<typeof noOptions> {
  return definePass({
    id,
    summary,
    options: noOptions,
    run: async (model, _, context) => ({ changes: await run(model, context), misses: [] }),
  });
}

/** Describes the pass in `drop-dead-channels.ts`, which `simplify` loads only when it runs. */
export const dropDeadChannelsDescription = {
  id: "drop-dead-channels",
  summary: "Remove constant channels; fold them into the next biases",
} as const;

/** Creates a change that options of individual layers cannot influence. */
export function cleanUpChange(at: string, description: string, kind?: string): Change {
  return { at, what: description, ...(kind === undefined ? {} : { kind }), decidedBy: "global" };
}
