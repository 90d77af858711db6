/** Runs Pith in a worker of the page. If the worker ends, another one receives the same files before the next call. */
import { type Backend, type Calls, type ChosenFiles, Failure, type Progress } from "./backend.ts";
import type { Reply, Request } from "./messages.ts";

interface Pending {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
  readonly onProgress: ((progress: Progress) => void) | undefined;
}

const lostWorker = (): Failure =>
  new Failure(
    "The computation ended unexpectedly, probably because memory ran out.",
    "E_ENGINE",
    "Finished candidates are kept. Try fewer samples, or a smaller model; `npx --no-install pith studio` has more memory.",
    true,
  );

export function createBackend(): Backend {
  const pending = new Map<number, Pending>();
  /** The files of each choice, in the order of the choices. */
  let choices: readonly ChosenFiles[] = [];
  let worker: Worker | undefined;
  let last = 0;

  function start(): Worker {
    // The worker holds a lock with its name, so that the browser reports its end, whatever the reason.
    const name = `pith-studio worker ${Math.random()}`;
    const started = new Worker(new URL("../session/worker.ts", import.meta.url), { type: "module", name });
    const lose = (): void => {
      started.terminate();
      if (worker !== started) return;
      worker = undefined;
      for (const call of pending.values()) call.reject(lostWorker());
      pending.clear();
    };
    started.onmessage = ({ data }: MessageEvent<Reply>) => {
      if ("holdsLock" in data) return void navigator.locks.request(name, lose);
      const call = pending.get(data.id);
      if (call === undefined) return;
      if ("progress" in data) return call.onProgress?.(data.progress);
      pending.delete(data.id);
      if ("failure" in data) {
        const { message, code, hint } = data.failure;
        call.reject(new Failure(message, code, hint));
      } else call.resolve(data.value as never);
    };
    started.onerror = (event) => {
      event.preventDefault();
      lose();
    };
    for (const files of choices)
      started.postMessage({ id: 0, name: "addFiles", parameters: [files] } satisfies Request);
    return started;
  }

  return {
    call(name, parameters, { signal, onProgress } = {}) {
      worker ??= start();
      const receiver = worker;
      if (name === "addFiles") choices = [...choices, (parameters as Parameters<Calls["addFiles"]>)[0]];
      const id = ++last;
      return new Promise((resolve, reject) => {
        if (signal?.aborted === true) return reject(new Failure("Canceled.", "E_STOPPED", undefined));
        pending.set(id, { resolve, reject, onProgress });
        signal?.addEventListener("abort", () => receiver.postMessage({ id, stop: true } satisfies Request));
        receiver.postMessage({ id, name, parameters } satisfies Request);
      });
    },
  };
}
