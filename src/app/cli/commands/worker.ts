/** The command `pith worker`: runs jobs that other machines put into a queue. */
import { basename } from "node:path";
import * as v from "valibot";
import { errorMessage } from "../../../core/errors.ts";
import { duration } from "../../../core/numbers.ts";
import { countOption, described, option } from "../../../core/pass/options.ts";
import type { Job } from "../../../runtime/job/job.ts";
import { defineCommand } from "../command.ts";
import { publicAddress } from "../print/addresses.ts";
import { moduleFinder } from "../queue/modules.ts";
import { serve } from "../queue/queue.ts";
import { readJob } from "../queue/read-job.ts";
import { openSharedStore, receiveInput } from "../queue/shared-store.ts";

export default defineCommand({
  name: "worker",
  summary: "run jobs of commands that use `--queue`, until stopped",
  arguments: [
    { name: "redis://host", description: "the queue: Valkey or Redis; rediss://user:password@host with TLS" },
  ],
  options: v.object({
    store: described(v.string(), "folder or bucket shared by all machines, for models, data and results", {
      value: "folder/",
    }),
    modules: option(
      v.array(v.string()),
      "modules that jobs may run: data sets, custom criteria, rounding methods, curves",
      { value: "rows.mjs" },
    ),
    jobs: option(countOption, "parallel jobs, each in its own process (default: 1)", { value: "n" }),
  }),
  deterministic: true,
  examples: [
    "worker redis://queue.local --store /mnt/shared/pith",
    "worker redis://queue.local --store s3://bucket/pith",
    "worker redis://queue.local --store /mnt/shared/pith --modules rows.mjs,rounder.mjs",
  ],
  async run([url = ""], { store, modules = [], jobs = 1 }, session) {
    const { terminal, signal } = session;
    const rename = await moduleFinder(modules);
    const shared = await openSharedStore(store);
    let finishedJobs = 0;
    const onReady = (): void => terminal.note("worker", `takes work from ${publicAddress(url)} until it is stopped`);
    await serve(
      url,
      async (data) => {
        let name = "a job";
        const startTime = performance.now();
        try {
          const work = readJob(data);
          name = `${work.name} of ${basename(work.input.model)}`;
          const localInput = await receiveInput(shared, work.input, rename);
          await session.job<Job>(work.kind, localInput as never, name, { keeps: true });
          finishedJobs++;
          terminal.note("done", `${name}: ${duration(performance.now() - startTime)}`);
        } catch (error) {
          if (!signal.aborted) terminal.note("failed", `${name}: ${errorMessage(error)}`, "warning");
          throw error;
        }
      },
      { signal, jobs, onReady },
    );
    return { data: { done: finishedJobs }, print: (to) => to.line(`${finishedJobs} done`) };
  },
});
