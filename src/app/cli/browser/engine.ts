/** Engine that runs models in a page of a headless browser. Models are timed inside the page, so that the transfer of data does not count. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Download, JSHandle } from "playwright-core";
import { deliverOutputs, type Engine, requestedNames } from "../../../core/engine/engine.ts";
import { errorMessage, PithError } from "../../../core/errors.ts";
import type { Model } from "../../../core/graph/model.ts";
import { open, save } from "../../../core/onnx/index.ts";
import { fromFault } from "../../../core/platform/serialized-error.ts";
import type { Batch } from "../../../core/tensor/types.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import type { LatencyReport } from "../../../runtime/run/latency.ts";
import { openPage } from "./chromium.ts";
import { type PageFacts, type PageTiming, type Reply, readBatch, storeBatch } from "./messages.ts";
import { pageModule, provideModules } from "./modules.ts";
import type { Call, PageFunctions } from "./page.ts";

export interface BrowserEngine extends Engine {
  readonly facts: PageFacts;
  time(
    models: readonly Model[],
    feeds: readonly Batch[],
    timing: PageTiming,
    progress: (done: number, total?: number) => void,
  ): Promise<LatencyReport>;
  close(): Promise<void>;
}

/** Maximum bytes of a weight file. Larger models are split, because a page cannot hold them in one buffer. */
const fileBytes = 2 ** 30;

export interface BrowserOptions extends Pick<JobContext, "temporary" | "signal"> {
  readonly runtimes?: string;
}

/**
 * Opens a browser with a page that runs models. @param options `temporary` is the folder for files of models and of the browser.
 * @throws PithError as `openPage` does, E_ENGINE_MISSING without onnxruntime-web, E_ENGINE if the browser ends, E_STOPPED on the signal.
 */
export async function openBrowser(
  runtime: "wasm" | "webgpu",
  { temporary, signal, runtimes }: BrowserOptions,
): Promise<BrowserEngine> {
  const { page, failure: pageFailure, close } = await openPage(temporary);
  let stop = (): void => {};
  const stopRequested = new Promise<never>((_, reject) => {
    stop = () => reject(new PithError("E_STOPPED", "Stopped on request."));
  });
  stopRequested.catch(() => {});
  signal.addEventListener("abort", stop, { once: true });
  const raceWithEnd = <T>(work: Promise<T>): Promise<T> => Promise.race([work, pageFailure, stopRequested]);

  let module: JSHandle<typeof import("./page.ts")> | undefined;
  const call = async <K extends keyof PageFunctions>(
    name: K,
    ...parameters: Parameters<PageFunctions[K]>
  ): Promise<Awaited<ReturnType<PageFunctions[K]>>> => {
    const work = async (): Promise<Reply> => {
      module ??= await page.evaluateHandle<typeof import("./page.ts")>(`import("${pageModule}")`);
      return module.evaluate(({ perform }, call) => perform(call as Call), [name, parameters] as Call);
    };
    const reply = await raceWithEnd(work()).catch((cause) => {
      throw cause instanceof PithError ? cause : new PithError("E_ENGINE", `In the browser: ${errorMessage(cause)}`);
    });
    if ("fault" in reply) throw failure(reply);
    return reply.value as Awaited<ReturnType<PageFunctions[K]>>;
  };

  let previousWork: Promise<unknown> = Promise.resolve();
  /** Passes the files of models to the page and calls `use`. Calls run one after the other, because the page has only one file input. */
  const withFiles = <T>(models: readonly Model[], use: (names: readonly string[]) => Promise<T>): Promise<T> => {
    const work = previousWork.then(async () => {
      const folder = await mkdtemp(join(temporary, "models-"));
      try {
        const names = models.map((_, index) => `${index}.onnx`);
        for (const [index, model] of models.entries()) await save(model, join(folder, `${index}.onnx`), { fileBytes });
        const files = (await readdir(folder)).map((name) => join(folder, name));
        await raceWithEnd(page.setInputFiles("input", files));
        return await use(names);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });
    previousWork = work.catch(() => {});
    return work;
  };
  const run = (session: number, feeds: Batch, names: readonly string[] | undefined): Promise<Batch> =>
    withFiles([storeBatch(feeds)], async ([name = ""]) => {
      const downloadStarted = new Promise<Download>((resolve) => page.once("download", resolve));
      await call("run", session, name, names);
      const download = await raceWithEnd(downloadStarted);
      try {
        return await readBatch(await open(await download.path()));
      } finally {
        await download.delete();
      }
    });
  let reportProgress: (done: number, total?: number) => void = () => {};
  const closeAll = async (): Promise<void> => {
    signal.removeEventListener("abort", stop);
    await close();
  };

  try {
    await raceWithEnd(provideModules(page, { runtime, runtimes }));
    await page.exposeFunction("progressed", (done: number, total?: number) => reportProgress(done, total));
    return {
      facts: await call("start", runtime),
      load: (model, options = {}) =>
        withFiles([model], async ([name = ""]) => {
          const session = await call("load", name, options);
          return {
            run: async (feeds, fetch) => deliverOutputs(await run(session, feeds, requestedNames(fetch)), fetch),
            release: () => call("release", session),
          };
        }),
      time: (models, feeds, timing, progress) =>
        withFiles([...models, ...feeds.map(storeBatch)], (names) => {
          reportProgress = progress;
          const [modelNames, feedNames] = [names.slice(0, models.length), names.slice(models.length)];
          return call("time", modelNames, feedNames, timing);
        }),
      close: closeAll,
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

function failure({ fault, cause }: Extract<Reply, { readonly fault: unknown }>): Error {
  const error = fromFault(fault);
  if (!(error instanceof PithError)) return error;
  const options = { hint: error.advice, ...(cause === undefined ? {} : { cause: new Error(cause) }) };
  return new PithError(error.code, `In the browser: ${error.message}`, options);
}
