/** Work for other processes: BullMQ on Valkey or Redis, which are loaded only here. */
import type { Queue, Worker } from "bullmq";
import type { Redis } from "ioredis";
import { textHash } from "../../data/file-hash.ts";
import { PithError } from "../../errors.ts";
import type { PoolWork } from "../../search/index.ts";
import { version } from "../../version.ts";

/** The input of a job for a worker, as plain data. Its paths are relative to the store. */
export interface QueuedJob<I> {
  readonly version: string;
  readonly input: I;
}

const queueName = "pith";
/** Milliseconds after which work of a process that does not answer goes to another, and between two looks for such work. */
const [lockDuration, stalledInterval] = [30_000, 10_000];
/** Processes that may die at one piece of work: it may be what kills them. */
const mostDeaths = 5;
const lookEvery = 500;
/** Milliseconds without a worker after which what is not begun is given up. */
const mostAlone = 60_000;

interface Driver {
  readonly bull: typeof import("bullmq");
  connect(): Redis;
}

/** @throws PithError E_USAGE where BullMQ is not installed, or the address is none of a server. */
async function driverFor(url: string): Promise<Driver> {
  if (!/^rediss?:\/\//.test(url))
    throw new PithError("E_USAGE", `"${url}" is no address of a queue.`, {
      hint: "redis://host:6379, or rediss://user:password@host with TLS.",
    });
  try {
    const [bull, { Redis }] = [await import("bullmq"), await import("ioredis")];
    return { bull, connect: () => new Redis(url, { maxRetriesPerRequest: null, lazyConnect: true }) };
  } catch (cause) {
    throw new PithError("E_ENGINE_MISSING", "A queue needs BullMQ, which is not installed.", {
      hint: "npm install bullmq ioredis",
      cause,
    });
  }
}

/** @throws PithError E_FILE where no server answers. */
async function connected(redis: Redis, url: string): Promise<Redis> {
  // It reconnects by itself, and would print each failure.
  redis.on("error", () => {});
  const [first] = await Promise.allSettled([redis.connect()]);
  if (first.status === "fulfilled") return redis;
  redis.disconnect();
  throw new PithError("E_FILE", `No server answers at ${withoutPassword(url)}.`, { cause: first.reason });
}

export const withoutPassword = (url: string): string => url.replace(/\/\/[^@/]*@/, "//");

export interface OpenedQueue<I> {
  /** Jobs that the workers take at a time, as of the last look. */
  readonly room: number;
  look(): Promise<void>;
  /** Waits until a job has completed or failed, it is stopped, or there has been no worker for a minute. @returns false where it was dropped, as it was not wanted and nobody had begun it. */
  doOne(job: QueuedJob<I>, work: PoolWork): Promise<boolean>;
  close(): Promise<void>;
}

/** @throws PithError E_USAGE, E_ENGINE_MISSING, E_FILE. */
export async function openQueue<I>(url: string): Promise<OpenedQueue<I>> {
  const { bull, connect } = await driverFor(url);
  const redis = await connected(connect(), url);
  const queue: Queue<QueuedJob<I>, void, string> = new bull.Queue(queueName, { connection: redis });
  queue.on("error", () => {});
  const isOver = async (id: string): Promise<boolean> => {
    const state = await queue.getJobState(id);
    return state === "completed" || state === "failed" || state === "unknown";
  };
  let room = 0;
  let aloneSince = performance.now();
  let looked = Number.NEGATIVE_INFINITY;
  const look = async (): Promise<void> => {
    if (performance.now() - looked < lookEvery) return;
    looked = performance.now();
    const workers = await queue.getWorkers();
    room = workers.reduce((sum, { rawname }) => sum + (Number(rawname?.split(":w:")[1]) || 1), 0);
    if (room > 0) aloneSince = performance.now();
  };
  return {
    get room() {
      return room;
    },
    look,
    async doOne(work, { stop, isWanted }) {
      const jobId = await textHash(JSON.stringify(work));
      // What an earlier search has asked for is in the store; it may have been removed there.
      if (await isOver(jobId)) await queue.remove(jobId);
      // What is asked for last is most urgent.
      const kept = { removeOnFail: { age: 86_400 }, removeOnComplete: { age: 86_400 } };
      await queue.add("combination", work, { jobId, lifo: true, ...kept });
      // What somebody works at stays: it has a lock.
      const remove = async (): Promise<boolean> => (await queue.remove(jobId).catch(() => 0)) === 1;
      while (!(await isOver(jobId))) {
        await look();
        if (stop.aborted || performance.now() - aloneSince > mostAlone) {
          await remove();
          break;
        }
        if (!isWanted() && (await remove())) return false;
        await new Promise((resolve) => setTimeout(resolve, lookEvery));
      }
      return true;
    },
    async close() {
      await queue.close();
      redis.disconnect();
    },
  };
}

/**
 * Takes work until the signal comes; what is in hand then goes back to the queue.
 * @param take @throws what the work fails with.
 * @throws PithError E_USAGE, E_ENGINE_MISSING, E_FILE.
 */
export async function serve<I>(
  url: string,
  take: (work: QueuedJob<I>) => Promise<void>,
  { signal, jobs, onReady }: { readonly signal: AbortSignal; readonly jobs: number; readonly onReady: () => void },
): Promise<void> {
  const { bull, connect } = await driverFor(url);
  const redis = await connected(connect(), url);
  const worker: Worker<QueuedJob<I>> = new bull.Worker<QueuedJob<I>>(
    queueName,
    async (job, token) => {
      try {
        requireSameVersion(job.data);
        await take(job.data);
      } catch (error) {
        if (!signal.aborted) throw error;
        await job.moveToWait(token);
        throw new bull.WaitingError();
      }
    },
    {
      name: String(jobs),
      connection: redis,
      concurrency: jobs,
      lockDuration,
      stalledInterval,
      maxStalledCount: mostDeaths,
    },
  );
  worker.on("error", () => {});
  onReady();
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  await worker.close();
  redis.disconnect();
}

/** Other versions come to other results. */
function requireSameVersion(work: QueuedJob<unknown>): void {
  if (work.version === version) return;
  throw new PithError("E_UNSUPPORTED", `The work is of Pith ${work.version}, this is ${version}.`);
}
