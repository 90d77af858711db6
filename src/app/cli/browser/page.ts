/** Runs in a browser: loads, runs and times models. */
import { blobSource, threadCount } from "#platform";
import { createEngine, type Engine, type Session } from "../../../core/engine/index.ts";
import { findRuntime, type RuntimeName } from "../../../core/engine/runtime.ts";
import { PithError } from "../../../core/errors.ts";
import type { Model } from "../../../core/graph/model.ts";
import { encode } from "../../../core/onnx/encode.ts";
import { open } from "../../../core/onnx/index.ts";
import { toFault } from "../../../core/platform/serialized-error.ts";
import type { Batch } from "../../../core/tensor/types.ts";
import { latency } from "../../../runtime/run/latency.ts";
import { startRuntime, warmUp } from "../jobs/runtime.ts";
import { type Adapter, type Answers, batchOf, modelOf, type Order, type PageFacts, type Reply } from "./messages.ts";

declare global {
  /** Provided by the driver. */
  function progressed(done: number, total: number | undefined): Promise<void>;
}

let engine: Engine;
const sessions = new Map<number, Session>();
/** Milliseconds between reports of progress. */
const progressInterval = 1000;

export async function perform(order: Order): Promise<Reply> {
  try {
    return { answer: await answer(order) };
  } catch (error) {
    const cause = error instanceof PithError && error.cause instanceof Error ? error.cause.message : undefined;
    return { fault: toFault(error), cause };
  }
}

async function answer(order: Order): Promise<Answers[Order["kind"]]> {
  switch (order.kind) {
    case "start":
      engine = createEngine({ runtime: order.runtime });
      return facts(order.runtime);
    case "load": {
      const session = await engine.load(await openFile(order.model), order.options);
      const number = sessions.size;
      sessions.set(number, session);
      return number;
    }
    case "run":
      await download(await sessionAt(order.session).run(await batchOf(await openFile(order.feeds)), order.names));
      return null;
    case "release":
      await sessionAt(order.session).release();
      return null;
    case "time": {
      const models = await Promise.all(order.models.map(openFile));
      const feeds = await Promise.all(order.feeds.map(async (name) => batchOf(await openFile(name))));
      const threads = order.threads === undefined ? threadCount() : Math.min(order.threads, threadCount());
      await startRuntime(engine, threads);
      let reported = performance.now();
      return latency(engine, models, feeds, {
        rounds: order.rounds,
        warmUp: warmUp.web,
        threads,
        progress: (done, total) => {
          if (performance.now() - reported < progressInterval) return;
          reported = performance.now();
          void progressed(done, total);
        },
      });
    }
  }
}

/** Opens a file of the page's input. */
function openFile(name: string): Promise<Model> {
  const files = [...(document.querySelector("input")?.files ?? [])];
  const fileOf = (fileName: string): File => {
    const file = files.find((candidate) => candidate.name === fileName);
    if (file === undefined) throw new Error(`The page has no file "${fileName}".`);
    return file;
  };
  return open(fileOf(name), { external: async (location) => blobSource(fileOf(location)) });
}

async function download(outputs: Batch): Promise<void> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const part of encode(modelOf(outputs))) parts.push(Uint8Array.from(part));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts));
  link.download = "outputs.onnx";
  link.click();
  // The browser reads the file after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function sessionAt(number: number): Session {
  const session = sessions.get(number);
  if (session === undefined) throw new Error(`There is no session ${number}.`);
  return session;
}

async function facts(runtime: RuntimeName): Promise<PageFacts> {
  const adapter = runtime === "webgpu" ? await findAdapter() : undefined;
  const { web, common } = (await findRuntime(runtime)).ort.env.versions;
  return { browser: navigator.userAgent, version: web ?? common, threads: threadCount(), ...(adapter && { adapter }) };
}

async function findAdapter(): Promise<Adapter | undefined> {
  const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<GpuAdapter | null> } };
  const adapter = await gpu?.requestAdapter();
  if (adapter === undefined || adapter === null) return undefined;
  const { info, features } = adapter;
  const name = [info.vendor, info.architecture, info.device, info.description].filter((text) => text !== "").join(" ");
  const isSoftware = info.isFallbackAdapter ?? info.architecture === "swiftshader";
  return { name, isSoftware, float16: features.has("shader-f16") };
}

/** The parts of WebGPU in use, which TypeScript's library does not declare. */
interface GpuAdapter {
  readonly features: ReadonlySet<string>;
  readonly info: Readonly<Record<"vendor" | "architecture" | "device" | "description", string>> & {
    readonly isFallbackAdapter?: boolean;
  };
}
