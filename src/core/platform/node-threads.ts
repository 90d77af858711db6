/** Runs threads that answer questions (`threads.ts`). They end with the process. */

import { Worker } from "node:worker_threads";
import { moduleOf } from "#root";
import { fromFault } from "./serialized-error.ts";
import { loaderOfSources, sourceCondition } from "./source-modules.ts";
import type { FromThread } from "./thread-entry.ts";
import type { Answer, Thread } from "./threads.ts";

interface OpenQuestion {
  resolve(answered: Answer | undefined): void;
  reject(error: unknown): void;
}

/** Starts a thread for a module of type `AnswerFunction`; undefined if it cannot. Only unanswered questions keep the process alive. */
export function startThread(module: URL): Thread | undefined {
  const openQuestions = new Map<number, OpenQuestion>();
  let [hasEnded, questionCount] = [false, 0];
  let worker: Worker;
  try {
    worker = startWorker(module);
  } catch {
    return undefined;
  }
  worker.unref();
  const close = (): void => {
    hasEnded = true;
    for (const { resolve } of openQuestions.values()) resolve(undefined);
    openQuestions.clear();
  };
  // Ignores the reason: the caller then does the work in its own thread, where the error can occur again.
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
    get hasEnded() {
      return hasEnded;
    },
    get busy() {
      return openQuestions.size;
    },
    ask(content, transfer = []) {
      if (hasEnded) return Promise.resolve(undefined);
      const question = questionCount++;
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

function startWorker(module: URL): Worker {
  const entry = moduleOf("core/platform/thread-entry");
  const options = { name: "pith", workerData: module.href };
  // The thread gets no flags of Node, because the program's flags (`--import`, …) apply only to the program's first module.
  if (!entry.pathname.endsWith(".ts")) return new Worker(entry, { ...options, execArgv: [] });
  // In Node 20, loaders cannot load the first module of a thread, so a data URL registers the loader.
  const loader = JSON.stringify(loaderOfSources("esm/api/index.mjs"));
  const code = `import { register } from ${loader}; register(); await import(${JSON.stringify(entry.href)});`;
  const first = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
  return new Worker(first, { ...options, execArgv: [sourceCondition] });
}
