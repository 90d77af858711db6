/** Runs jobs of a command in parallel: in several local processes, or by the workers of a queue. */
import { basename } from "node:path";
import { availableMemory } from "#platform";
import { moduleOf } from "#root";
import { joinList, PithError } from "../../../core/errors.ts";
import { storedBytes } from "../../../core/graph/graph.ts";
import type { Model } from "../../../core/graph/model.ts";
import { counted } from "../../../core/numbers.ts";
import { type Ahead, Pool } from "../../../judge/steps/pool.ts";
import type { Job, JobContext } from "../../../runtime/job/job.ts";
import { runJob } from "../../../runtime/job/run.ts";
import { publicAddress } from "../addresses.ts";
import { openBucket } from "../queue/bucket.ts";
import { modulesOf } from "../queue/input-modules.ts";
import type { SharedInput, Work } from "../queue/inputs.ts";
import { type OpenedQueue, openQueue } from "../queue/queue.ts";
import { inputIn, openSharedStore, requireStored, shareInput } from "../queue/shared-store.ts";

export interface Elsewhere {
  readonly jobs: number;
  /** Workers of this queue share this folder or bucket. */
  readonly queue: { readonly url: string; readonly store: string } | undefined;
}

/**
 * Opens the processes or the queue for the time of some work.
 * @param models the models of the jobs, with the common input of each.
 * @param workOf returns the job of a name; `its` maps an input to its representation in the queue's store.
 * @param work receives the pool, if any, and `here`, which maps an input to the one that locates the results locally.
 */
export async function withAhead<I extends SharedInput, T>(
  models: readonly { readonly input: I; readonly model: Model }[],
  { jobs, queue: named }: Elsewhere,
  workOf: (name: string, its: (input: I) => I) => Work,
  context: JobContext,
  work: (ahead: Ahead | undefined, here: (input: I) => I) => Promise<T>,
): Promise<T> {
  if (named === undefined) {
    const bytes = Math.max(0, ...models.map(({ model }) => storedBytes(model.graph)));
    const same = (input: I): I => input;
    return work(jobs > 1 ? inProcesses(jobs, bytes, (name) => workOf(name, same)) : undefined, same);
  }
  const store = await openSharedStore(named.store);
  const queue = await openQueue(named.url);
  try {
    context.stage("store");
    const stored = new Map<I, I>();
    const onFiles = (names: readonly string[]): void =>
      context.log({ id: "store", text: `${counted(names.length, "file")} for the workers: ${joinList(names, 6)}` });
    for (const { input } of models) {
      const shared = await shareInput(store, input, onFiles);
      await requireStored(inputIn(store, shared));
      stored.set(input, shared);
    }
    const [first] = models;
    const modules = first === undefined ? [] : await modulesOf(first.input);
    const its = (input: I): I => stored.get(input) ?? input;
    const ahead = await onQueue(queue, named.url, (name) => workOf(name, its), modules, context);
    return await work(ahead, (input) => (stored.has(input) ? inputIn(store, its(input)) : input));
  } finally {
    await queue.close();
  }
}

export const storeOf = async ({ resumeFolder, bucket }: SharedInput) => ({
  resumeFolder,
  bucket: bucket === undefined ? undefined : await openBucket(bucket),
});

/** Approximate bytes of a process, and its multiple of the model's bytes. */
const [ofProcess, ofModel] = [400e6, 20];

/** Limits the processes by the free memory. @param bytes of the weights of the largest model. */
export function inProcesses(jobs: number, bytes: number, workOf: (name: string) => Work): Ahead {
  const most = Math.max(1, Math.min(jobs, Math.floor(availableMemory() / (ofProcess + ofModel * bytes))));
  return new Pool({
    room: () => most,
    async doOne(place, { stop: signal }) {
      const { kind, name, input } = workOf(place);
      const options = { name, signal, keeps: true, isBackground: true };
      try {
        await runJob<Job>(moduleOf(`app/cli/jobs/${kind}`), input as never, options);
      } catch (error) {
        // The command repeats the work itself and reports the error.
        if (!(error instanceof PithError)) throw error;
      }
      return true;
    },
  });
}

async function onQueue(
  queue: OpenedQueue,
  url: string,
  workOf: (name: string) => Work,
  modules: readonly string[],
  context: Pick<JobContext, "log">,
): Promise<Ahead> {
  await queue.look();
  const server = publicAddress(url);
  const flag = modules.length === 0 ? "" : ` --modules ${modules.map((path) => basename(path)).join()}`;
  const none = `no worker yet: pith worker ${server} --store …${flag}`;
  context.log({
    id: "queue",
    text: `${server}: ${queue.room === 0 ? none : `${counted(queue.room, "job")} at a time`}`,
  });
  if (modules.length > 0)
    context.log({
      id: "modules",
      text: `only workers started with${flag} run these jobs; the rest runs here`,
    });
  let isLossTold = false;
  const pool = new Pool({
    // All jobs of a round are queued at once, because more workers may join.
    room: (isOfRound) => (isOfRound ? Number.POSITIVE_INFINITY : queue.room),
    async doOne(name, job) {
      const isOver = await queue.doOne(workOf(name), job);
      if (queue.isLost && !isLossTold) {
        isLossTold = true;
        context.log({ id: "queue", text: `${server} has not responded for a minute: the rest runs here` });
      }
      return isOver;
    },
  });
  return {
    get jobs() {
      return pool.jobs;
    },
    // A worker takes the job that was queued last.
    doRound: (round, others, within) => pool.doRound(round.toReversed(), others, within),
    close: () => pool.close(),
  };
}
