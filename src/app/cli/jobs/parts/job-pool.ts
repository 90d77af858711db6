/** Runs jobs of a command in parallel, in local processes or by the workers of a queue. */
import { basename } from "node:path";
import { counted, joinList, type Model, PithError, storedBytes } from "#ir";
import { availableMemory } from "#platform";
import { moduleOf } from "#root";
import { type JobPool, Pool } from "../../../../judge/steps/pool.ts";
import type { Job, JobContext } from "../../../../runtime/job/job.ts";
import { runJob } from "../../../../runtime/job/run.ts";
import { publicAddress } from "../../print/addresses.ts";
import type { JobRequest, SharedInput } from "../../queue/job-inputs.ts";
import { modulesOf } from "../../queue/module-names.ts";
import { type OpenedQueue, openQueue } from "../../queue/queue.ts";
import { openSharedStore, requireStored, resolveInput, shareInput } from "../../queue/shared-store.ts";

export interface WorkerOptions {
  readonly jobs: number;
  /** Address of the queue, and folder that its workers share. */
  readonly queue: { readonly url: string; readonly store: string } | undefined;
}

/**
 * Opens a pool of processes or a queue, and runs `work` with it.
 * @param requestOf returns the job with this name. `toStored` replaces the paths of an input by paths in the queue's store.
 * @param work receives the pool, and `toLocal`, which replaces the paths of an input by local paths.
 */
export async function withJobPool<I extends SharedInput, T>(
  models: readonly { readonly input: I; readonly model: Model }[],
  { jobs, queue: address }: WorkerOptions,
  requestOf: (name: string, toStored: (input: I) => I) => JobRequest,
  context: JobContext,
  work: (pool: JobPool | undefined, toLocal: (input: I) => I) => Promise<T>,
): Promise<T> {
  if (address === undefined) {
    const bytes = Math.max(0, ...models.map(({ model }) => storedBytes(model.graph)));
    const identity = (input: I): I => input;
    return work(jobs > 1 ? createProcessPool(jobs, bytes, (name) => requestOf(name, identity)) : undefined, identity);
  }
  const store = await openSharedStore(address.store);
  const queue = await openQueue(address.url);
  try {
    context.stage("store");
    const storedInputs = new Map<I, I>();
    const onFiles = (names: readonly string[]): void =>
      context.log({ id: "store", text: `${counted(names.length, "file")} for the workers: ${joinList(names, 6)}` });
    for (const { input } of models) {
      const storedInput = await shareInput(store, input, onFiles);
      await requireStored(resolveInput(store, storedInput));
      storedInputs.set(input, storedInput);
    }
    const [first] = models;
    const modules = first === undefined ? [] : await modulesOf(first.input);
    const toStored = (input: I): I => storedInputs.get(input) ?? input;
    const pool = await createQueuePool(queue, address.url, (name) => requestOf(name, toStored), modules, context);
    return await work(pool, (input) => (storedInputs.has(input) ? resolveInput(store, toStored(input)) : input));
  } finally {
    await queue.close();
  }
}

/** Estimated memory of a process: bytes without a model, and number of copies of the model's weights. */
const [processBytes, modelCopies] = [400e6, 20];

/** Returns a pool of local processes, at most as many as fit into the free memory. @param bytes bytes of the largest model's weights. */
export function createProcessPool(jobs: number, bytes: number, requestOf: (name: string) => JobRequest): JobPool {
  const maxJobs = Math.max(1, Math.min(jobs, Math.floor(availableMemory() / (processBytes + modelCopies * bytes))));
  return new Pool({
    maxRunning: () => maxJobs,
    async runOne(jobName, { stopSignal: signal }) {
      const { kind, name, input } = requestOf(jobName);
      const options = { name, signal, keeps: true, isBackground: true };
      try {
        await runJob<Job>(moduleOf(`app/cli/jobs/${kind}`), input as never, options);
      } catch (error) {
        // The command then does the work itself, and reports the error.
        if (!(error instanceof PithError)) throw error;
      }
      return true;
    },
  });
}

async function createQueuePool(
  queue: OpenedQueue,
  url: string,
  requestOf: (name: string) => JobRequest,
  modules: readonly string[],
  { log }: Pick<JobContext, "log">,
): Promise<JobPool> {
  await queue.countWorkers();
  const server = publicAddress(url);
  const flag = modules.length === 0 ? "" : ` --modules ${modules.map((path) => basename(path)).join()}`;
  const noWorkerText = `no worker yet: pith worker ${server} --store …${flag}`;
  log({
    id: "queue",
    text: `${server}: ${queue.room === 0 ? noWorkerText : `${counted(queue.room, "job")} at a time`}`,
  });
  if (modules.length > 0)
    log({ id: "modules", text: `only workers started with${flag} run these jobs; the rest runs here` });
  let isLossLogged = false;
  const pool = new Pool({
    // All jobs of a round are queued at once, because more workers can join.
    maxRunning: (isOfRound) => (isOfRound ? Number.POSITIVE_INFINITY : queue.room),
    async runOne(name, job) {
      const hasEnded = await queue.doOne(requestOf(name), job);
      if (queue.isLost && !isLossLogged) {
        isLossLogged = true;
        log({ id: "queue", text: `${server} has not responded for a minute: the rest runs here` });
      }
      return hasEnded;
    },
  });
  return {
    get jobs() {
      return pool.jobs;
    },
    // The order is reversed, because a worker takes the job that was queued last.
    runRound: (round, others, roundContext) => pool.runRound(round.toReversed(), others, roundContext),
    close: () => pool.close(),
  };
}
