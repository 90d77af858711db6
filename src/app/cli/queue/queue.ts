/** Queues jobs for workers on other machines, through BullMQ on a Valkey or Redis server. */
import { once } from "node:events";
import type { Queue, Worker } from "bullmq";
import type { Redis, RedisOptions } from "ioredis";
import { errorMessage, fileError, PithError, stripPeriod, usageError } from "#ir";
import { textHash } from "../../../core/files/hash.ts";
import { keyVersions } from "../../../judge/steps/keys.ts";
import type { PoolJob } from "../../../judge/steps/pool.ts";
import type { JobRequest } from "./job-inputs.ts";

interface QueuedJob extends JobRequest {
  readonly version: string;
}

const queueName = "pith";
/** Milliseconds after which the job of an unresponsive process is reassigned (`lockDuration`), and between checks for such jobs. */
const [lockDuration, stalledInterval] = [30_000, 10_000];
/** Number of processes that can die during one job, because it is then probably the cause. */
const maxDeaths = 5;
const pollInterval = 500;
/** Milliseconds without any worker after which a command no longer waits for a job. */
const maxWait = 60_000;
/** Number of reconnections after which commands to a lost server fail. */
const maxReconnections = 60;

/** Connects to the server. @throws PithError E_USAGE, E_FILE, or E_ENGINE_MISSING if BullMQ is not installed. */
async function openConnection(
  url: string,
  maxRetriesPerRequest: number | null,
): Promise<{ readonly bull: typeof import("bullmq"); readonly redis: Redis }> {
  const { name, options } = parseServer(url);
  const [bull, ioredis] = await Promise.all([import("bullmq"), import("ioredis")]).catch((cause) => {
    const hint = "npm install bullmq ioredis";
    throw new PithError("E_ENGINE_MISSING", "A queue needs BullMQ, which is not installed.", { hint, cause });
  });
  const redis = new ioredis.Redis({ ...options, maxRetriesPerRequest, retryStrategy: () => 1000, lazyConnect: true });
  return { bull, redis: await connect(redis, name) };
}

export interface OpenedQueue {
  /** Number of jobs that the workers together can run at a time, at the last check; 0 if the server is lost. */
  readonly room: number;
  /** Whether the server does not respond. */
  readonly isLost: boolean;
  countWorkers(): Promise<void>;
  /** Queues a job and waits for it. Returns false if it was no longer wanted and was removed before its start. */
  doOne(work: JobRequest, job: PoolJob): Promise<boolean>;
  close(): Promise<void>;
}

export async function openQueue(url: string, reconnections = maxReconnections): Promise<OpenedQueue> {
  const { bull, redis } = await openConnection(url, reconnections);
  const queue: Queue<QueuedJob, void, string> = new bull.Queue(queueName, { connection: redis });
  queue.on("error", () => {});
  const hasEnded = async (id: string): Promise<boolean> => {
    const state = await queue.getJobState(id);
    return state === "completed" || state === "failed" || state === "unknown";
  };
  let room = 0;
  let isLost = false;
  redis.on("ready", () => {
    isLost = false;
  });
  let noWorkersSince = performance.now();
  let lastCountTime = Number.NEGATIVE_INFINITY;
  const countWorkers = async (): Promise<void> => {
    if (performance.now() - lastCountTime < pollInterval) return;
    lastCountTime = performance.now();
    const workers = await queue.getWorkers();
    room = workers.reduce((sum, { rawname }) => sum + (Number(rawname?.split(":w:")[1]) || 1), 0);
    if (room > 0) noWorkersSince = performance.now();
  };
  const queueOne = async (work: JobRequest, { stopSignal, isWanted }: PoolJob): Promise<boolean> => {
    const queuedJob: QueuedJob = { version: ownVersion, ...work };
    const jobId = await textHash(JSON.stringify(queuedJob));
    // The store can lack the result of an earlier equal job, so that job is removed and runs again.
    if (await hasEnded(jobId)) await queue.remove(jobId);
    // The latest job runs first, because it is the most urgent.
    const seconds = { age: 86_400 };
    await queue.add(work.kind, queuedJob, { jobId, lifo: true, removeOnFail: seconds, removeOnComplete: seconds });
    // A job that a worker has started is locked and cannot be removed.
    const remove = async (): Promise<boolean> => (await queue.remove(jobId).catch(() => 0)) === 1;
    while (!(await hasEnded(jobId))) {
      await countWorkers();
      if (stopSignal.aborted || performance.now() - noWorkersSince > maxWait) {
        await remove();
        break;
      }
      if (!isWanted() && (await remove())) return false;
      await new Promise((resolve) => setTimeout(resolve, pollInterval));
    }
    return true;
  };
  // A command to a lost server never settles, so an aborted signal ends the wait. The jobs have the same signal, so one listener suffices.
  let stopPromise: Promise<true> | undefined;
  const stoppedWithoutServer = (stop: AbortSignal): Promise<true> => {
    stopPromise ??= once(stop, "abort").then(() => (redis.status === "ready" ? new Promise<true>(() => {}) : true));
    return stopPromise;
  };
  return {
    get room() {
      return isLost ? 0 : room;
    },
    get isLost() {
      return isLost;
    },
    countWorkers,
    async doOne(work, job) {
      if (isLost) return true;
      try {
        return await Promise.race([queueOne(work, job), stoppedWithoutServer(job.stopSignal)]);
      } catch (error) {
        if (redis.status === "ready") throw error;
        isLost = true;
        return true;
      }
    },
    async close() {
      // Without a server, closing the queue would wait forever for a reply.
      if (redis.status === "ready") await queue.close();
      redis.disconnect();
    },
  };
}

/**
 * Runs jobs of the queue until the signal is aborted. Unfinished jobs then return to the queue. @throws PithError E_USAGE, E_ENGINE_MISSING, E_FILE.
 * @param work runs a job. It must validate the job's data, which any program can write.
 */
export async function serveQueue(
  url: string,
  work: (data: unknown) => Promise<void>,
  { signal, jobs, onReady }: { readonly signal: AbortSignal; readonly jobs: number; readonly onReady: () => void },
): Promise<void> {
  const { bull, redis } = await openConnection(url, null);
  const worker: Worker<unknown> = new bull.Worker<unknown>(
    queueName,
    async (job, token) => {
      try {
        await work(job.data);
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
      maxStalledCount: maxDeaths,
    },
  );
  worker.on("error", () => {});
  onReady();
  if (!signal.aborted) await once(signal, "abort");
  await worker.close(redis.status !== "ready");
  redis.disconnect();
}

/** Versions that a job and its worker must share. */
export const ownVersion = `${keyVersions.pith} with onnxruntime-node ${keyVersions.runtime}`;

interface Server {
  readonly name: string;
  readonly options: RedisOptions;
}

/** Parses a server's address. @throws PithError E_USAGE, without the address, which can include a password. */
function parseServer(url: string): Server {
  const server = URL.canParse(url) ? serverOf(new URL(url)) : undefined;
  if (server !== undefined) return server;
  throw usageError(
    "The address of the queue is not valid: expected redis://host:6379 or rediss://user:password@host:6379.",
    { hint: "Write special characters of a password as in a URL: %2F for /, %40 for @, %23 for #, %3F for ?." },
  );
}

function serverOf(url: URL): Server | undefined {
  const { protocol, host, hostname, port, pathname, search, hash } = url;
  const [, database] = /^\/?(\d*)$/.exec(pathname) ?? [];
  const [username, password] = [url.username, url.password].map(decode);
  const isServer = /^rediss?:$/.test(protocol) && hostname !== "" && database !== undefined && search + hash === "";
  if (!isServer || username === undefined || password === undefined) return undefined;
  return {
    name: `${protocol}//${host}${pathname}`,
    options: {
      host: hostname.replace(/^\[(.*)\]$/, "$1"),
      port: port === "" ? 6379 : Number(port),
      db: Number(database),
      username,
      password: password || process.env.REDISCLI_AUTH || "",
      ...(protocol === "rediss:" ? { tls: {} } : {}),
    },
  };
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** Milliseconds in which a server must respond after it has accepted the connection. */
const responseTimeout = 10_000;

/** Waits until the client is ready. @throws PithError E_FILE with the reason if the server cannot be used. */
async function connect(redis: Redis, name: string): Promise<Redis> {
  let failure: unknown;
  // Without a listener, the client prints each failed reconnection.
  redis.on("error", (error: unknown) => {
    failure ??= error;
  });
  let timer: NodeJS.Timeout | undefined;
  const noResponse = new Promise<never>((_, reject) => {
    redis.once("connect", () => {
      timer = setTimeout(reject, responseTimeout, new Error("no answer"));
    });
  });
  const [outcome] = await Promise.allSettled([Promise.race([redis.connect(), noResponse])]);
  clearTimeout(timer);
  if (outcome.status === "fulfilled" && failure === undefined) return redis;
  redis.disconnect();
  const cause = failure ?? (outcome.status === "rejected" ? outcome.reason : undefined);
  const [sentence, hint] = reasonOf(cause, name);
  throw fileError(`${sentence}.`, { hint, cause });
}

function reasonOf(cause: unknown, name: string): readonly [sentence: string, hint: string] {
  const { code = "" } = (cause ?? {}) as { readonly code?: string };
  const text = errorMessage(cause);
  if (/WRONGPASS|invalid password/.test(text))
    return [`The server at ${name} rejects the password`, "Check the password in the address, or in REDISCLI_AUTH."];
  if (/NOAUTH/.test(text))
    return [`The server at ${name} requires a password`, "Write redis://:password@host, or set REDISCLI_AUTH."];
  if (/^(CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|ERR_TLS_CERT)/.test(code))
    return [
      `The certificate of the server at ${name} is not valid: ${stripPeriod(text)}`,
      "Set NODE_EXTRA_CA_CERTS to a file with your certificate authorities.",
    ];
  if (/^(EPROTO|ERR_SSL)/.test(code))
    return [
      `The server at ${name} does not speak TLS`,
      "Begin the address with redis:// for a connection without TLS.",
    ];
  if (/^E[A-Z_]+$/.test(code) && code !== "ECONNRESET" && code !== "EPIPE") {
    const [kind, other] = name.startsWith("rediss") ? ["with TLS ", "; without TLS it begins with redis://"] : ["", ""];
    return [
      `No server ${kind}answers at ${name} (${code})`,
      `Start redis-server or valkey-server there, or check the address${other}.`,
    ];
  }
  // The message can repeat the arguments of an unknown command, including a password, so they are cut off.
  if (/^(Ready check failed: )?[A-Z]{3,} /.test(text))
    return [
      `The server at ${name} rejects the connection: ${stripPeriod(text.split(", with args")[0] ?? "")}`,
      "Check the settings and the log of the server.",
    ];
  return [
    `The server at ${name} does not answer as Redis or Valkey do`,
    "Check host and port; begin the address with rediss:// for TLS.",
  ];
}
