/**
 * Runs worker threads in Node. Memory can be transferred to them without copying. They end with the process,
 * and work even while the event loop is blocked.
 */

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

/**
 * Starts a thread that runs a module of type `Answering`. The thread keeps the process alive only while a
 * question is unanswered. Returns undefined if threads are unavailable.
 */
export function startThread(module: URL): Thread | undefined {
  const openQuestions = new Map<number, ThreadRequest>();
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
    for (const { resolve } of openQuestions.values()) resolve(undefined);
    openQuestions.clear();
  };
  // The reason is irrelevant. The caller then does the work itself and meets the errors of the work.
  worker.on("error", close);
  worker.on("exit", close);
  worker.on("message", (message: FromThread) => {
    const question = openQuestions.get(message.question);
    openQuestions.delete(message.question);
    if (openQuestions.size === 0) worker.unref();
    if (message.kind === "fault") question?.reject(fromFault(message.fault));
    else question?.resolve({ answer: message.answer });
  });
  return {
    get ended() {
      return ended;
    },
    get busy() {
      return openQuestions.size;
    },
    ask(content, transfer = []) {
      if (ended) return Promise.resolve(undefined);
      const question = questions++;
      return new Promise((resolve, reject) => {
        worker.postMessage({ question, content }, [...transfer]);
        openQuestions.set(question, { resolve, reject });
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
  // The program's flags concern only its first module, so the thread gets none.
  if (!entry.pathname.endsWith(".ts")) return new Worker(entry, { ...options, execArgv: [] });
  // In Node 20, loaders cannot load the first module of a thread, so a data URL registers the loader.
  const loader = JSON.stringify(loaderOfSources("esm/api/index.mjs"));
  const code = `import { register } from ${loader}; register(); await import(${JSON.stringify(entry.href)});`;
  const first = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
  return new Worker(first, { ...options, execArgv: [sourceCondition] });
}
