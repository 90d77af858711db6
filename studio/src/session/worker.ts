/** Answers the page's calls in a worker. Computations run one after the other. */
import { env } from "onnxruntime-web/wasm";
import { PithError } from "pith";
import type { Calls, Progress } from "../backend/backend.ts";
import type { Reply, Request } from "../backend/messages.ts";
import { createSession } from "./session.ts";

env.wasm.wasmPaths = new URL(import.meta.env.DEV ? "/ort/" : "../ort/", import.meta.url).href;

const session = createSession();
/** Calls that read finished results only, so that they need not wait for a running computation. */
const independent: readonly (keyof Calls)[] = ["brotli", "report"];
const stops = new Map<number, AbortController>();
let previous: Promise<unknown> = Promise.resolve();

// Pages from another machine have no locks without HTTPS.
if ("locks" in navigator)
  navigator.locks.request(self.name, () => {
    self.postMessage({ holdsLock: true } satisfies Reply);
    return new Promise(() => {});
  });

self.onmessage = ({ data }: MessageEvent<Request>) => {
  if ("stop" in data) return stops.get(data.id)?.abort();
  const controller = new AbortController();
  stops.set(data.id, controller);
  if (independent.includes(data.name)) return void answer(data, controller.signal).finally(() => stops.delete(data.id));
  previous = previous.then(() => answer(data, controller.signal)).finally(() => stops.delete(data.id));
};

async function answer({ id, name, parameters }: Exclude<Request, { stop: true }>, signal: AbortSignal): Promise<void> {
  const reply = (message: Reply): void => self.postMessage(message);
  const report = (progress: Progress): void => reply({ id, progress });
  try {
    signal.throwIfAborted();
    const call = session[name] as (...values: readonly unknown[]) => unknown;
    reply({ id, value: await call(...parameters, { signal, report }) });
  } catch (error) {
    reply({ id, failure: failureOf(error, signal) });
  }
}

function failureOf(error: unknown, signal: AbortSignal): Extract<Reply, { failure: unknown }>["failure"] {
  if (signal.aborted) return { message: "Canceled.", code: "E_STOPPED", hint: undefined };
  if (error instanceof PithError) return { message: error.message, code: error.code, hint: error.hint };
  const message = error instanceof Error ? error.message : String(error);
  // WebAssembly throws a RangeError if memory cannot grow.
  if (error instanceof RangeError)
    return {
      message: `Memory ran out: ${message}`,
      code: "E_ENGINE",
      hint: "Use `npx pith studio`, which has more memory.",
    };
  return { message: `internal: ${message}`, code: "internal", hint: "Please report this error with the model." };
}
