/** Jobs for workers on other machines, through BullMQ on a Valkey or Redis server. Only this file loads BullMQ and its client. */
import type { Queue, Worker } from "bullmq";
import type { Redis } from "ioredis";
import { textHash } from "../../data/file-hash.ts";
import { PithError } from "../../errors.ts";
import { computedBy } from "../../run/keys.ts";
import type { PoolJob } from "../../run/pool.ts";
import type { Work } from "./inputs.ts";
import { connect, serverAt } from "./server.ts";

/** A job in the queue, as plain data. The paths in its input are relative to the store. */
interface QueuedJob extends Work {
  readonly version: string;
}

const queueName = "pith";
/** Milliseconds after which the job of a process that does not answer goes to another process, and between two looks for such jobs. */
const [lockDuration, stalledInterval] = [30_000, 10_000];
/** So many processes may die at one job before it fails: the job may be what kills them. */
const mostDeaths = 5;
const lookEvery = 500;
/** Milliseconds without a worker after which a job that nobody has begun is given up. */
const mostAlone = 60_000;

interface Connection {
  readonly bull: typeof import("bullmq");
  readonly redis: Redis;
}

/** @throws PithError E_USAGE, E_FILE as `serverAt` and `connect`, E_ENGINE_MISSING if BullMQ is not installed. */
async function openConnection(url: string): Promise<Connection> {
  const { name, options } = serverAt(url);
  const { bull, ioredis } = await drivers();
  const redis = new ioredis.Redis({ ...options, maxRetriesPerRequest: null, lazyConnect: true });
  return { bull, redis: await connect(redis, name) };
}

async function drivers() {
  try {
    const [bull, ioredis] = [await import("bullmq"), await import("ioredis")];
    return { bull, ioredis };
  } catch (cause) {
    throw new PithError("E_ENGINE_MISSING", "A queue needs BullMQ, which is not installed.", {
      hint: "npm install bullmq ioredis",
      cause,
    });
  }
}

export interface OpenedQueue {
  /** Jobs that all workers together do at a time, as of the last look. */
  readonly room: number;
  /** Counts the workers. */
  look(): Promise<void>;
  /**
   * Puts a job into the queue, and waits until it has completed or failed. The wait ends early where `job` says to stop, or where there has been no worker for a minute.
   * @returns false where the job was not wanted any more, and was removed before a worker began it.
   */
  doOne(work: Work, job: PoolJob): Promise<boolean>;
  close(): Promise<void>;
}

/** @throws PithError E_USAGE, E_ENGINE_MISSING, E_FILE. */
export async function openQueue(url: string): Promise<OpenedQueue> {
  const { bull, redis } = await openConnection(url);
  const queue: Queue<QueuedJob, void, string> = new bull.Queue(queueName, { connection: redis });
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
      const queued: QueuedJob = { version: ownVersion, ...work };
      const jobId = await textHash(JSON.stringify(queued));
      // An earlier command may have had the same job done, and its result may have been removed from the store since.
      if (await isOver(jobId)) await queue.remove(jobId);
      // The job that was asked for last is the most urgent.
      const kept = { removeOnFail: { age: 86_400 }, removeOnComplete: { age: 86_400 } };
      await queue.add(work.kind, queued, { jobId, lifo: true, ...kept });
      // A job that a worker has begun has a lock, and stays.
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
 * Does jobs of the queue until the signal comes. Jobs that are not finished then go back to the queue.
 * @param take does the job of some data, which any program may have put there. The job fails with what it throws.
 * @throws PithError E_USAGE, E_ENGINE_MISSING, E_FILE.
 */
export async function serve(
  url: string,
  take: (data: unknown) => Promise<void>,
  { signal, jobs, onReady }: { readonly signal: AbortSignal; readonly jobs: number; readonly onReady: () => void },
): Promise<void> {
  const { bull, redis } = await openConnection(url);
  const worker: Worker<unknown> = new bull.Worker<unknown>(
    queueName,
    async (job, token) => {
      try {
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

/** "0.1.0 with onnxruntime-node 1.27.0" */
export const ownVersion = `${computedBy.pith} with onnxruntime-node ${computedBy.runtime}`;
