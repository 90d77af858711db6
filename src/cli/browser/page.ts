/** Runs in a browser: loads, runs and times models for the server, one order after the other. */
import { threadCount } from "#platform";
import { createEngine, type Session } from "../../engine/index.ts";
import { findRuntime } from "../../engine/runtime.ts";
import { PithError } from "../../errors.ts";
import { latency } from "../../evaluate/latency.ts";
import type { Model } from "../../graph/model.ts";
import { open } from "../../onnx/index.ts";
import { toFault } from "../../platform/serialized-error.ts";
import { startRuntime, warmUp } from "../jobs/runtime.ts";
import { type Adapter, type Answers, type Order, type PageFacts, type PageMessage, pack, unpack } from "./messages.ts";

const runtime = new URL(location.href).searchParams.get("runtime") === "webgpu" ? "webgpu" : "wasm";
const engine = createEngine({ runtime });
const sessions = new Map<number, Session>();
const heartbeat = 1000;

async function perform(order: Order): Promise<Answers[Order["kind"]]> {
  switch (order.kind) {
    case "load": {
      const session = await engine.load(await opened(order.model), order.options);
      const number = sessions.size;
      sessions.set(number, session);
      return number;
    }
    case "run":
      return sessionAt(order.session).run(order.feeds, order.names);
    case "release":
      await sessionAt(order.session).release();
      return null;
    case "time": {
      const models = await Promise.all(order.models.map(opened));
      const threads = order.threads === undefined ? threadCount() : Math.min(order.threads, threadCount());
      await startRuntime(engine, threads);
      let told = performance.now();
      return latency(engine, models, order.feeds, {
        rounds: order.rounds,
        warmUp: warmUp.web,
        threads,
        progress: (done, total) => {
          if (performance.now() - told < heartbeat) return;
          told = performance.now();
          void fetch("progress", { method: "POST", body: JSON.stringify([done, total]) });
        },
      });
    }
  }
}

function opened(address: string): Promise<Model> {
  return open(new URL(address, location.href));
}

function sessionAt(number: number): Session {
  const session = sessions.get(number);
  if (session === undefined) throw new Error(`There is no session ${number}.`);
  return session;
}

async function facts(): Promise<PageFacts> {
  const adapter = runtime === "webgpu" ? await adapterFound() : undefined;
  const found = adapter === undefined ? {} : { adapter };
  const { web, common } = (await findRuntime(runtime)).ort.env.versions;
  return { browser: navigator.userAgent, version: web ?? common, threads: threadCount(), ...found };
}

async function adapterFound(): Promise<Adapter | undefined> {
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

function faultOf(error: unknown): PageMessage {
  const cause = error instanceof PithError && error.cause instanceof Error ? error.cause.message : undefined;
  return { kind: "fault", fault: toFault(error), cause };
}

let told: PageMessage = await facts().then((found) => ({ kind: "ready", facts: found }), faultOf);
for (;;) {
  const response: Response = await fetch("told", { method: "POST", body: pack(told) });
  const order = unpack<Order>(new Uint8Array(await response.arrayBuffer()));
  told = await perform(order).then((answer) => ({ kind: "answer", answer }) as const, faultOf);
}
