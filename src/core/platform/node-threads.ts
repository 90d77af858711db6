/** Worker threads in Node. Memory can be transferred to them for free, and they end with the process. A blocked event loop does not stop them. */

import { Worker } from "node:worker_threads";
import { moduleOf } from "#root";
import { fromFault } from "./serialized-error.ts";
import { loaderOfSources, sourceCondition } from "./source-modules.ts";
import type { FromThread } from "./thread-entry.ts";
import type { Answer, Thread } from "./threads.ts";

interface ThreadRequest {
  resolve(answered: Answer | undefined): void;
  reject(error: unknown): void;
}

/** Starts a thread for a module (`Answering`), which keeps the process alive only while a question is open. Undefined if threads are unavailable. */
export function startThread(module: URL): Thread | undefined {
  const asked = new Map<number, ThreadRequest>();
  let [ended, questions] = [false, 0];
  let worker: Worker;
  try {
    worker = start(module);
  } catch {
    return undefined;
  }
  worker.unref();
  const close = (): void => {
    ended = true;
    for (const { resolve } of asked.values()) resolve(undefined);
    asked.clear();
  };
  // The reason is irrelevant: the caller does the work itself and meets errors of the work.
  worker.on("error", close);
  worker.on("exit", close);
  worker.on("message", (message: FromThread) => {
    const question = asked.get(message.question);
    asked.delete(message.question);
    if (asked.size === 0) worker.unref();
    if (message.kind === "fault") question?.reject(fromFault(message.fault));
    else question?.resolve({ answer: message.answer });
  });
  return {
    get ended() {
      return ended;
    },
    get busy() {
      return asked.size;
    },
    ask(content, transfer = []) {
      if (ended) return Promise.resolve(undefined);
      const question = questions++;
      return new Promise((resolve, reject) => {
        worker.postMessage({ question, content }, [...transfer]);
        asked.set(question, { resolve, reject });
        worker.ref();
      });
    },
    end() {
      void worker.terminate();
    },
  };
}

function start(module: URL): Worker {
  const entry = moduleOf("core/platform/thread-entry");
  const options = { name: "pith", workerData: module.href };
  // The program's own flags concern its first module only.
  if (!entry.pathname.endsWith(".ts")) return new Worker(entry, { ...options, execArgv: [] });
  // Node 20 does not let loaders read the first module of a thread.
  const loader = JSON.stringify(loaderOfSources("esm/api/index.mjs"));
  const code = `import { register } from ${loader}; register(); await import(${JSON.stringify(entry.href)});`;
  const first = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
  return new Worker(first, { ...options, execArgv: [sourceCondition] });
}
