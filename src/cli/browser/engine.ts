/** An engine in a page of a headless browser. Models are timed in the page, so the transfer does not count. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { delivered, type Engine, wantedNames } from "../../engine/engine.ts";
import { PithError } from "../../errors.ts";
import type { LatencyReport } from "../../evaluate/latency.ts";
import type { Model } from "../../graph/model.ts";
import type { JobContext } from "../../job/job.ts";
import { save } from "../../onnx/index.ts";
import { fromFault } from "../../platform/serialized-error.ts";
import type { Batch } from "../../tensor/types.ts";
import { findChromium, openPage } from "./chromium.ts";
import {
  type Answers,
  type Order,
  type PageFacts,
  type PageMessage,
  type PageTiming,
  pack,
  unpack,
} from "./messages.ts";
import { servePage } from "./server.ts";

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

/** Milliseconds of silence after which the page counts as lost; loading a large model is slow. */
const patience = 300_000;
/** Weights of larger models are split into several files, because a page cannot hold them in one buffer. */
const fileBytes = 2 ** 30;

export interface BrowserOptions extends Pick<JobContext, "temporary" | "signal"> {
  readonly runtimes?: string;
}

/**
 * Opens a page. `temporary` stores the files of models and of the browser.
 * @throws PithError as `findChromium` does, E_ENGINE_MISSING without onnxruntime-web, E_ENGINE if the browser ends, E_STOPPED on the signal.
 */
export async function openBrowser(
  runtime: "wasm" | "webgpu",
  { temporary, signal, runtimes }: BrowserOptions,
): Promise<BrowserEngine> {
  const program = await findChromium();
  const files = new Map<string, string>();
  let heard = Date.now();
  let progressed: (done: number, total?: number) => void = () => {};
  let lost: (error: PithError) => void = () => {};
  const end = new Promise<never>((_, reject) => {
    lost = reject;
  });
  // Prevents an unhandled rejection if nobody waits.
  end.catch(() => {});
  let answered: (told: PageMessage) => void = () => {};
  let begin: ((order: Uint8Array) => void) | undefined;
  let answer = new Promise<PageMessage>((resolve) => {
    answered = resolve;
  });
  const server = await servePage({
    runtime,
    runtimes,
    files,
    next(message) {
      heard = Date.now();
      answered(unpack<PageMessage>(message));
      return new Promise((resolve) => {
        begin = resolve;
      });
    },
    onProgress(done, total) {
      heard = Date.now();
      progressed(done, total);
    },
    onFailure: (text) => lost(new PithError("E_ENGINE", `In the browser: ${withoutToken(text)}`)),
  });
  const page = await openPage(program, server.address, temporary);
  const stop = (): void => lost(new PithError("E_STOPPED", "Stopped on request."));
  signal.addEventListener("abort", stop, { once: true });
  page.ended.then((how) => lost(new PithError("E_ENGINE", `The browser exited (${how}).`)));
  let waiting = true;
  const watch = setInterval(() => {
    if (!waiting || Date.now() - heard <= patience) return;
    const text = `The page did not respond for ${patience / 1000} s: it crashed, or the model is too large for it.`;
    lost(new PithError("E_ENGINE", text));
  }, 1000);
  const close = async (): Promise<void> => {
    clearInterval(watch);
    signal.removeEventListener("abort", stop);
    await page.close();
    await server.close();
  };

  /** The page handles one order at a time and requests the next one with its response. */
  let before: Promise<unknown> = Promise.resolve();
  const ask = <K extends Order["kind"]>(order: Extract<Order, { readonly kind: K }>): Promise<Answers[K]> => {
    const asked = before.then(async () => {
      heard = Date.now();
      waiting = true;
      answer = new Promise((resolve) => {
        answered = resolve;
      });
      begin?.(pack(order));
      const told = await Promise.race([answer, end]);
      waiting = false;
      if (told.kind === "fault") throw failure(told);
      if (told.kind === "answer") return told.answer as Answers[K];
      throw new Error(`The page answered with "${told.kind}".`);
    });
    before = asked.catch(() => {});
    return asked;
  };

  try {
    const first = await Promise.race([answer, end]);
    waiting = false;
    if (first.kind === "fault") throw failure(first);
    if (first.kind !== "ready") throw new Error(`The page began with "${first.kind}".`);
    let models = 0;
    const served = async <T>(all: readonly Model[], work: (addresses: readonly string[]) => Promise<T>): Promise<T> => {
      const folder = await mkdtemp(join(temporary, "models-"));
      try {
        const addresses: string[] = [];
        for (const model of all) {
          const name = `${models++}.onnx`;
          await save(model, join(folder, name), { fileBytes });
          addresses.push(`model/${name}`);
        }
        for (const name of await readdir(folder)) files.set(`model/${name}`, join(folder, name));
        return await work(addresses);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    };
    return {
      facts: first.facts,
      load: (model, options = {}) =>
        served([model], async ([address = ""]) => {
          const session = await ask({ kind: "load", model: address, options });
          return {
            run: async (feeds, fetch) =>
              delivered(await ask({ kind: "run", session, feeds, names: wantedNames(fetch) }), fetch),
            release: async () => void (await ask({ kind: "release", session })),
          };
        }),
      time: (all, feeds, timing, progress) =>
        served(all, (addresses) => {
          progressed = progress;
          return ask({ kind: "time", models: addresses, feeds, ...timing });
        }),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Removes the token from module addresses in messages, because it gives access to the models. */
const withoutToken = (text: string): string => text.replace(/http:\/\/127\.0\.0\.1:\d+\/[0-9a-f]{32}\//g, "");

function failure({ fault, cause }: Extract<PageMessage, { readonly kind: "fault" }>): Error {
  const [message, stack] = [withoutToken(fault.message), fault.stack && withoutToken(fault.stack)];
  const error = fromFault({ ...fault, message, stack });
  if (!(error instanceof PithError)) return error;
  const options = { hint: error.advice, ...(cause === undefined ? {} : { cause: new Error(withoutToken(cause)) }) };
  return new PithError(error.code, `In the browser: ${error.message}`, options);
}
