/** The code inside the browser page: loads, runs and times models for its driver (`engine.ts`). */
import { type Batch, encode, type Model, open, PithError } from "#ir";
import { blobSource, threadCount } from "#platform";
import { createEngine, type Engine, type LoadOptions, type Session } from "../../../core/engine/index.ts";
import { findRuntime, type RuntimeName } from "../../../core/engine/runtime.ts";
import { toFault } from "../../../core/platform/serialized-error.ts";
import { type LatencyReport, timeModels } from "../../../runtime/run/latency.ts";
import { startRuntime, warmUp } from "../jobs/parts/start-runtime.ts";
import { type Adapter, decodeBatch, encodeBatch, type PageFacts, type PageTiming, type Reply } from "./messages.ts";

declare global {
  /** Reports progress to the driver, which provides this function. */
  function progressed(done: number, total: number | undefined): Promise<void>;
}

let engine: Engine;
const sessions: Session[] = [];
const progressInterval = 1000;

/** Functions that the driver calls. Models and feeds are passed as names of files in the page's input element. */
const functions = {
  start(runtime: RuntimeName): Promise<PageFacts> {
    engine = createEngine({ runtime });
    return findPageFacts(runtime);
  },
  async load(model: string, options: LoadOptions): Promise<number> {
    const session = await engine.load(await openFile(model), options);
    return sessions.push(session) - 1;
  },
  async run(session: number, feeds: string, names: readonly string[] | undefined): Promise<void> {
    await download(await sessionAt(session).run(await decodeBatch(await openFile(feeds)), names));
  },
  release: (session: number): Promise<void> => sessionAt(session).release(),
  async time(modelNames: readonly string[], feedNames: readonly string[], timing: PageTiming): Promise<LatencyReport> {
    const models = await Promise.all(modelNames.map(openFile));
    const feeds = await Promise.all(feedNames.map(async (name) => decodeBatch(await openFile(name))));
    const threads = Math.min(timing.threads ?? Number.POSITIVE_INFINITY, threadCount());
    await startRuntime(engine, threads);
    let lastReportTime = performance.now();
    const progress = (done: number, total?: number): void => {
      if (performance.now() - lastReportTime < progressInterval) return;
      lastReportTime = performance.now();
      void progressed(done, total);
    };
    return timeModels(engine, models, feeds, { rounds: timing.rounds, warmUp: warmUp.web, threads, progress });
  },
};

export type PageFunctions = typeof functions;

export type Call = readonly [name: keyof PageFunctions, parameters: readonly unknown[]];

export async function performCall([name, parameters]: Call): Promise<Reply> {
  try {
    return { value: await Reflect.apply(functions[name], undefined, parameters) };
  } catch (error) {
    const cause = error instanceof PithError && error.cause instanceof Error ? error.cause.message : undefined;
    return { fault: toFault(error), cause };
  }
}

/** Opens a model file from the page's input element, with its external data. */
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
  for await (const part of encode(encodeBatch(outputs))) parts.push(Uint8Array.from(part));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts));
  link.download = "outputs.onnx";
  link.click();
  // The browser reads the object URL after the click, so the URL must remain valid for a while.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function sessionAt(number: number): Session {
  const session = sessions[number];
  if (session === undefined) throw new Error(`There is no session ${number}.`);
  return session;
}

async function findPageFacts(runtime: RuntimeName): Promise<PageFacts> {
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

/** Part of the WebGPU API, which TypeScript's library does not declare. */
interface GpuAdapter {
  readonly features: ReadonlySet<string>;
  readonly info: Readonly<Record<"vendor" | "architecture" | "device" | "description", string>> & {
    readonly isFallbackAdapter?: boolean;
  };
}
