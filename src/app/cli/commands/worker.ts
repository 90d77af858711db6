/** The command `pith worker`: runs jobs that other machines put into a queue. */
import { basename } from "node:path";
import * as v from "valibot";
import { dataError, duration, errorMessage, unsupportedError } from "#ir";
import { countOption, option, problemOf, withHelp, wording } from "#pass";
import type { Job } from "../../../runtime/job/job.ts";
import { defineCommand } from "../command.ts";
import { publicAddress } from "../print/addresses.ts";
import { inputSchemas, type JobRequest } from "../queue/job-inputs.ts";
import { createModuleFinder } from "../queue/module-names.ts";
import { ownVersion, serveQueue } from "../queue/queue.ts";
import { openSharedStore, receiveInput } from "../queue/shared-store.ts";

export default defineCommand({
  name: "worker",
  summary: "run the jobs that other commands put into a queue (--queue), until stopped",
  arguments: [
    { name: "redis://host", description: "the queue: Valkey or Redis; rediss://user:password@host with TLS" },
  ],
  options: v.object({
    store: withHelp(v.string(), "folder shared by all machines, for models, data and results", { value: "folder/" }),
    modules: option(
      v.array(v.string()),
      "modules that jobs may run: data sets, custom criteria, rounding methods, curves",
      { value: "rows.mjs" },
    ),
    jobs: option(countOption, "parallel jobs, each in its own process (default: 1)", { value: "n" }),
  }),
  isDeterministic: true,
  examples: [
    "worker redis://queue.local --store /mnt/shared/pith",
    "worker redis://queue.local --store /mnt/shared/pith --modules rows.mjs,rounder.mjs",
  ],
  async run([url = ""], { store, modules = [], jobs = 1 }, session) {
    const { terminal, signal } = session;
    const rename = await createModuleFinder(modules);
    const sharedStore = await openSharedStore(store);
    let finishedJobs = 0;
    const onReady = (): void => terminal.note("worker", `takes work from ${publicAddress(url)} until it is stopped`);
    await serveQueue(
      url,
      async (data) => {
        let name = "a job";
        const startTime = performance.now();
        try {
          const work = readJob(data);
          name = `${work.name} of ${basename(work.input.model)}`;
          const localInput = await receiveInput(sharedStore, work.input, rename);
          await session.runJob<Job>(work.kind, localInput as never, name, { keeps: true });
          finishedJobs++;
          terminal.note("done", `${name}: ${duration(performance.now() - startTime)}`);
        } catch (error) {
          if (!signal.aborted) terminal.note("failed", `${name}: ${errorMessage(error)}`, "warning");
          throw error;
        }
      },
      { signal, jobs, onReady },
    );
    return { json: { done: finishedJobs }, print: (to) => to.line(`${finishedJobs} done`) };
  },
});

const jobSchema = v.object({
  job: v.object({
    // The length of texts is limited, because they are printed.
    version: v.pipe(v.string(), v.maxLength(200)),
    kind: v.pipe(v.string(), v.maxLength(200)),
    name: v.pipe(v.string(), v.maxLength(10_000)),
    input: v.unknown(),
  }),
});

/** Checks a job's data. @throws PithError E_UNSUPPORTED for another version or kind, E_DATA for invalid data. */
export function readJob(data: unknown): JobRequest {
  const { job } = validate(jobSchema, { job: data });
  const { version, kind, name } = job;
  if (version !== ownVersion) throw unsupportedError(`The job is of Pith ${version}, this is ${ownVersion}.`);
  if (!isKind(kind)) throw unsupportedError(`The queue asks for "${kind}", which is not a supported job.`);
  const { input } = validate(v.object({ input: inputSchemas[kind] }), { input: job.input });
  return { kind, name, input };
}

const isKind = (kind: string): kind is keyof typeof inputSchemas => Object.hasOwn(inputSchemas, kind);

function validate<S extends v.GenericSchema>(schema: S, data: unknown): v.InferOutput<S> {
  const { success, output, issues } = v.safeParse(schema, data, wording);
  if (success) return output;
  const { path, sentence } = problemOf(schema, issues, "a job");
  const place = path.length === 0 ? "" : `${path.join(".")}: `;
  throw dataError(`The queue has a job that Pith did not put there: ${place}${sentence}.`);
}
