/** Runs the studio's session in a child process, because ONNX Runtime can block or crash. A dead process is replaced. */
import type { ChildProcess } from "node:child_process";
import { PithError } from "#ir";
import type { Job } from "../../../runtime/job/job.ts";
import { runJob } from "../../../runtime/job/run.ts";

export interface Answer {
  readonly id: number;
  readonly line: string;
  readonly isLast: boolean;
}

export interface SessionOptions {
  /** Module whose default export is the job that answers calls. */
  readonly module: URL;
  /** Folder of the page's files. */
  readonly folder: string;
  /** Paths of the command line, which the session can read in addition to uploaded files. */
  readonly paths: readonly string[];
}

export interface SessionProcess {
  /** Sends a call and passes on its answers. @throws PithError E_ENGINE if the process crashes. */
  call(name: string, parameters: string, onAnswer: (answer: Answer) => void, signal: AbortSignal): Promise<void>;
  /** Ends the process. Resolves after its temporary folder is removed. */
  end(): Promise<void>;
}

/** Milliseconds from a request to stop a call to the end of the process. */
const stopGrace = 1000;

export function createSessionProcess({ module, folder, paths }: SessionOptions): SessionProcess {
  let running: RunningSession | undefined;
  let lastId = 0;
  const ensureRunning = (): RunningSession => {
    if (running !== undefined) return running;
    const newSession = startSession(module, { folder, paths });
    running = newSession;
    const forget = (): void => {
      if (running === newSession) running = undefined;
    };
    newSession.ended.then(forget, forget);
    return newSession;
  };
  let hasEnded = false;
  async function callOnce(...[name, parameters, onAnswer, signal]: Parameters<SessionProcess["call"]>): Promise<void> {
    const { ready, calls, ended, end } = ensureRunning();
    const id = ++lastId;
    let killer: NodeJS.Timeout | undefined;
    const completion = new Promise<void>((resolve) => {
      calls.set(id, (answer) => {
        onAnswer(answer);
        if (answer.isLast) resolve();
      });
    });
    const send = (message: object): void => void ready.then((child) => child.connected && child.send(message));
    const stop = (): void => {
      send({ id, stop: true });
      killer = setTimeout(end, stopGrace);
    };
    signal.addEventListener("abort", stop, { once: true });
    send({ id, name, parameters });
    try {
      await Promise.race([completion, ended]);
    } finally {
      clearTimeout(killer);
      signal.removeEventListener("abort", stop);
      calls.delete(id);
    }
  }
  return {
    async call(name, parameters, onAnswer, signal) {
      for (;;) {
        signal.throwIfAborted();
        try {
          return await callOnce(name, parameters, onAnswer, signal);
        } catch (error) {
          // The cancellation of another call ended the process, so another process can answer.
          const isOfOther = !signal.aborted && !hasEnded && error instanceof PithError && error.code === "E_STOPPED";
          if (!isOfOther) throw error;
        }
      }
    },
    async end() {
      hasEnded = true;
      running?.end();
      await running?.ended.catch(() => {});
    },
  };
}

interface RunningSession {
  /** Resolves when the session receives calls. */
  readonly ready: Promise<ChildProcess>;
  readonly calls: Map<number, (answer: Answer) => void>;
  /** Rejects with the reason when the process has ended. */
  readonly ended: Promise<unknown>;
  readonly end: () => void;
}

function startSession(module: URL, input: Pick<SessionOptions, "folder" | "paths">): RunningSession {
  const controller = new AbortController();
  const calls = new Map<number, (answer: Answer) => void>();
  let ended: Promise<unknown> = Promise.resolve();
  const ready = new Promise<ChildProcess>((resolve) => {
    const onChild = (child: ChildProcess): void => {
      child.on("message", (message: Answer | { readonly ready?: true }) => {
        if ("id" in message) calls.get(message.id)?.(message);
        else if (message.ready === true) resolve(child);
      });
    };
    const options = { name: "The computation", signal: controller.signal, grace: 0, onChild };
    ended = runJob<Job>(module, input as never, options);
  });
  return { ready, calls, ended, end: () => controller.abort() };
}
