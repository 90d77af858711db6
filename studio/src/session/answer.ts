/** Answers the calls of the page. Computations run one after the other. Runs in a worker of the page, and in a process of `pith studio`. */
import { PithError } from "pith";
import type { Progress } from "../backend/backend.ts";
import type { Reply, Request } from "../backend/messages.ts";
import type { Session } from "./session.ts";

/** Calls that read finished results only, so that they need not wait for a running computation. */
const independent: readonly (keyof Session)[] = ["downloadSizes", "brotli", "report"];

/** Calls for which the user does not wait, so that the next computation ends them. */
const interruptible: readonly (keyof Session)[] = ["smallestDownload"];

type Call = Exclude<Request, { stop: true }>;
type CallReply = Extract<Reply, { id: number }>;

/**
 * Returns a function that receives requests.
 * @param memoryHint advice if memory runs out.
 */
export function createAnswerer(
  session: Readonly<Record<keyof Session, unknown>>,
  reply: (message: CallReply) => void,
  memoryHint: string,
): (request: Request) => void {
  const controllers = new Map<number, AbortController>();
  let previous: Promise<unknown> = Promise.resolve();
  let idle = new AbortController();
  let interrupted: AbortController | undefined;

  async function whenIdle(): Promise<AbortSignal> {
    let last: unknown;
    while (last !== previous) {
      last = previous;
      await last;
    }
    return idle.signal;
  }

  async function answer({ id, name, parameters }: Call, signal: AbortSignal): Promise<void> {
    const report = (progress: Progress): void => reply({ id, progress });
    try {
      if (!Object.hasOwn(session, name)) throw new PithError("E_OPTION", `"${name}" is not a call.`);
      const call = session[name] as (...values: readonly unknown[]) => unknown;
      reply({ id, value: await call(...parameters, { signal, report, whenIdle }) });
    } catch (error) {
      reply({ id, failure: failureOf(error, signal, memoryHint) });
    } finally {
      controllers.delete(id);
    }
  }

  return (request) => {
    if ("stop" in request) return controllers.get(request.id)?.abort();
    const controller = new AbortController();
    controllers.set(request.id, controller);
    const { signal } = controller;
    let hasStarted = false;
    const run = async (): Promise<void> => {
      if (signal.aborted) return;
      hasStarted = true;
      await answer(request, signal);
    };
    // A call that waits for a computation is answered at once.
    signal.addEventListener("abort", () => {
      if (hasStarted) return;
      controllers.delete(request.id);
      reply({ id: request.id, failure: failureOf(undefined, signal, memoryHint) });
    });
    if (independent.includes(request.name)) void run();
    else {
      idle.abort();
      idle = new AbortController();
      interrupted?.abort();
      interrupted = interruptible.includes(request.name) ? controller : undefined;
      previous = previous.then(run);
    }
  };
}

function failureOf(
  error: unknown,
  signal: AbortSignal,
  memoryHint: string,
): Extract<CallReply, { failure: unknown }>["failure"] {
  if (signal.aborted) return { message: "Canceled.", code: "E_STOPPED", hint: undefined };
  if (error instanceof PithError) return { message: error.message, code: error.code, hint: error.hint };
  const message = error instanceof Error ? error.message : String(error);
  // Memory that cannot grow is a RangeError, also in WebAssembly.
  if (error instanceof RangeError) return { message: `Memory ran out: ${message}`, code: "E_ENGINE", hint: memoryHint };
  return { message: `internal: ${message}`, code: "internal", hint: "Please report this error with the model." };
}
