/** Runs Pith in a worker of the page. */
import { type Backend, type Calls, type ChosenFiles, Failure, type Progress } from "./backend.ts";
import type { Reply, Request } from "./messages.ts";

interface Pending {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
  readonly onProgress: ((progress: Progress) => void) | undefined;
}

/** @param onLost called if the worker ends, for example because memory ran out. The next call starts another worker with the same files. */
export function createTab(onLost: () => void): Backend {
  const pending = new Map<number, Pending>();
  let files: ChosenFiles = [];
  let worker: Worker | undefined;
  let last = 0;

  function start(): Worker {
    const started = new Worker(new URL("../session/worker.ts", import.meta.url), { type: "module" });
    started.onmessage = ({ data }: MessageEvent<Reply>) => {
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
      started.terminate();
      if (worker !== started) return;
      worker = undefined;
      const lost = new Failure(
        "The computation ended unexpectedly, probably because memory ran out.",
        "E_ENGINE",
        "Finished candidates are kept. Try fewer samples, or a smaller model; `npx pith studio` has more memory.",
        true,
      );
      for (const call of pending.values()) call.reject(lost);
      pending.clear();
      onLost();
    };
    if (files.length > 0) started.postMessage({ id: 0, name: "addFiles", parameters: [files] } satisfies Request);
    return started;
  }

  return {
    kind: "tab",
    call(name, parameters, { signal, onProgress } = {}) {
      worker ??= start();
      const receiver = worker;
      const id = ++last;
      if (name === "addFiles") files = [...files, ...(parameters[0] as ChosenFiles)];
      return new Promise<ReturnType<Calls[typeof name]>>((resolve, reject) => {
        pending.set(id, { resolve, reject, onProgress });
        signal?.addEventListener("abort", () => receiver.postMessage({ id, stop: true } satisfies Request));
        receiver.postMessage({ id, name, parameters } satisfies Request);
      });
    },
  };
}
