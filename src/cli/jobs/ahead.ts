/** Jobs that are done ahead of a command: in several processes here, or by the workers of a queue. */
import { basename } from "node:path";
import { availableMemory } from "#platform";
import { moduleOf } from "#root";
import { PithError } from "../../errors.ts";
import { counted } from "../../evaluate/numbers.ts";
import { storedBytes } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import type { Job, JobContext } from "../../job/job.ts";
import { runJob } from "../../job/run.ts";
import type { Bucket } from "../../run/bucket-store.ts";
import { type Ahead, Pool } from "../../run/pool.ts";
import type { StoreOptions } from "../../run/store.ts";
import { openBucket } from "../queue/bucket.ts";
import { type OpenedQueue, openQueue, withoutPassword } from "../queue/queue.ts";
import { inputIn, openSharedStore, type SharedStore, shareInput } from "../queue/shared-store.ts";
import { mostKept } from "../steps-folder.ts";
import { modulesOf, type SharedInput, type Work } from "./kinds.ts";

/** Where jobs are done. */
export interface Elsewhere {
  /** In so many processes at a time here, where there is no queue. */
  readonly jobs: number;
  /** By the workers of this queue, which reach this folder or bucket. */
  readonly queue: { readonly url: string; readonly store: string } | undefined;
}

/**
 * Opens the processes or the queue for the time of some work on one model.
 * @param workOf the job of each name, given what all of them have: the input, or what stands for it in the store of the queue.
 * @param work is given the pool, none where there is nothing beside this process, and the options of the store in which the jobs leave their results.
 */
export async function withAhead<I extends SharedInput, T>(
  { kind, input }: Pick<Work<I>, "kind" | "input">,
  { jobs, queue: named }: Elsewhere,
  model: Model,
  workOf: (name: string, shared: I) => Work,
  context: JobContext,
  work: (ahead: Ahead | undefined, store: StoreOptions & { readonly resumeFolder: string }) => Promise<T>,
): Promise<T> {
  if (named === undefined) {
    const bytes = storedBytes(model.graph);
    const ahead = jobs > 1 ? inProcesses(jobs, bytes, (one) => workOf(one, input)) : undefined;
    return work(ahead, { resumeFolder: input.resumeFolder, resumeBytes: mostKept(model) });
  }
  return withQueue(named, async (queue, store) => {
    context.stage("store");
    const shared = await shareInput(store, model, { kind, input });
    const here = inputIn(store, shared);
    const ahead = await onQueue(
      queue,
      named.url,
      (one) => workOf(one, shared),
      await modulesOf({ kind, input }),
      context,
    );
    return work(ahead, { resumeFolder: here.resumeFolder, bucket: await bucketOf(here) });
  });
}

export async function withQueue<T>(
  { url, store: place }: NonNullable<Elsewhere["queue"]>,
  work: (queue: OpenedQueue, store: SharedStore) => Promise<T>,
): Promise<T> {
  const store = await openSharedStore(place);
  const queue = await openQueue(url);
  try {
    return await work(queue, store);
  } finally {
    await queue.close();
  }
}

export const bucketOf = async ({ bucket }: Pick<SharedInput, "bucket">): Promise<Bucket | undefined> =>
  bucket === undefined ? undefined : openBucket(bucket);

/** Bytes that a process takes beside its model, about, and how many times its model. */
const [ofProcess, ofModel] = [400e6, 20];

/** A process of its own for each job, as many at a time as there is memory for. @param bytes of the weights of the largest model. */
export function inProcesses(jobs: number, bytes: number, workOf: (name: string) => Work): Ahead {
  const most = Math.max(1, Math.min(jobs, Math.floor(availableMemory() / (ofProcess + ofModel * bytes))));
  return new Pool({
    jobs: most,
    room: () => most,
    async doOne(place, { stop: signal }) {
      const { kind, name, input } = workOf(place);
      const options = { name, signal, keeps: true, isBackground: true };
      try {
        await runJob<Job>(moduleOf(`cli/jobs/${kind}`), input as never, options);
      } catch (error) {
        // The command does the same work itself, and says what is wrong with it.
        if (!(error instanceof PithError)) throw error;
      }
      return true;
    },
  });
}

/** Jobs for the workers of a queue. @param modules that the jobs name. */
export async function onQueue(
  queue: OpenedQueue,
  url: string,
  workOf: (name: string) => Work,
  modules: readonly string[],
  context: Pick<JobContext, "log">,
): Promise<Ahead> {
  await queue.look();
  const server = withoutPassword(url);
  const flag = modules.length === 0 ? "" : ` --modules ${modules.map((path) => basename(path)).join()}`;
  const none = `no worker yet: pith worker ${server} --store …${flag}`;
  context.log({
    id: "queue",
    text: `${server}: ${queue.room === 0 ? none : `${counted(queue.room, "job")} at a time`}`,
  });
  if (modules.length > 0)
    context.log({
      id: "modules",
      text: `only workers that were started with${flag} do this; what others refuse is done here`,
    });
  const pool = new Pool({
    jobs: Math.max(1, queue.room),
    // All jobs of a round are queued at once, as more workers may come.
    room: (isOfRound) => (isOfRound ? Number.POSITIVE_INFINITY : queue.room),
    doOne: (name, job) => queue.doOne(workOf(name), job),
  });
  return {
    jobs: pool.jobs,
    // A worker takes the job first that was queued last.
    doRound: (round, others, signal) => pool.doRound(round.toReversed(), others, signal),
    close: () => pool.close(),
  };
}
