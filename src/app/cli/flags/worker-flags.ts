/** Flags of `pith compress` for other processes or machines (docs/scaling.md). */
import * as v from "valibot";
import { usageError } from "#ir";
import { countOption, option } from "#pass";
import type { WorkerOptions } from "../jobs/parts/job-pool.ts";

const group = "Parallel work (docs/scaling.md):";

export const workerFlags = {
  jobs: option(countOption, "candidates, or models of a recipe, in parallel, each in its own process (default: 1)", {
    value: "n",
    group,
  }),
  queue: option(v.string(), "run the work on other machines (`pith worker`)", { value: "redis://host", group }),
  store: option(v.string(), "folder shared by these machines, for models, data and results", {
    value: "folder/",
    group,
  }),
};

interface WorkerFlags {
  readonly jobs?: number | undefined;
  readonly queue?: string | undefined;
  readonly store?: string | undefined;
  readonly fresh?: boolean | undefined;
}

export function workerOptionsOf({ jobs = 1, queue, store, fresh }: WorkerFlags): WorkerOptions {
  if ((queue === undefined) !== (store === undefined))
    throw usageError("--queue needs --store, and --store is for --queue: a folder that all workers reach.");
  if (queue !== undefined && fresh === true)
    throw usageError("--fresh is for work without --queue: other commands may use what is in --store.", {
      hint: "To start again, remove its folder runs/ while no command runs.",
    });
  return { jobs, queue: queue === undefined || store === undefined ? undefined : { url: queue, store } };
}
