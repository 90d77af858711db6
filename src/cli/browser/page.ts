/** Runs in a browser: times models as `bench` does in Node, and tells the server that sent it. */
import { createEngine } from "../../engine/index.ts";
import { type LatencyReport, latency } from "../../evaluate/latency.ts";
import { type TimedShapes, timedFeeds } from "../../evaluate/timed-inputs.ts";
import { open } from "../../onnx/index.ts";
import type { Settings } from "../../task/index.ts";
import { startRuntime, warmUp } from "../jobs/runtime.ts";
import { contentsFor } from "../jobs/set.ts";

/** What the page is asked for. */
export interface PageRequest {
  readonly runtime: "wasm" | "webgpu";
  readonly models: readonly string[];
  readonly shapes: readonly TimedShapes[];
  readonly set: Settings;
  readonly rounds: number;
  readonly threads: number | undefined;
  readonly seed: number;
}

/** What it tells. */
export type PageMessage =
  | { readonly kind: "progress"; readonly done: number; readonly total: number | undefined }
  | { readonly kind: "result"; readonly report: LatencyReport; readonly browser: string }
  | { readonly kind: "no-adapter"; readonly lacking: string }
  | { readonly kind: "failed"; readonly code: string | undefined; readonly text: string };

const heartbeat = 1000;

async function measure(request: PageRequest): Promise<void> {
  const lacking = request.runtime === "webgpu" ? await lacksAdapter() : undefined;
  if (lacking !== undefined) return tell({ kind: "no-adapter", lacking });
  const models = await Promise.all(request.models.map((address) => open(new URL(address, location.href))));
  const feeds = models.map((model, index) =>
    timedFeeds(model, request.shapes[index] ?? {}, request.seed, contentsFor(model, request.set)),
  );
  const engine = createEngine({ runtime: request.runtime });
  // A page that is not isolated gets one thread, whatever is asked for.
  const threads = crossOriginIsolated ? (request.threads ?? navigator.hardwareConcurrency) : 1;
  await startRuntime(engine, threads);
  let told = performance.now();
  const report = await latency(engine, models, feeds, {
    rounds: request.rounds,
    warmUp: warmUp.web,
    threads,
    progress: (done, total) => {
      if (performance.now() - told < heartbeat) return;
      told = performance.now();
      void tell({ kind: "progress", done, total });
    },
  });
  await tell({ kind: "result", report, browser: navigator.userAgent });
}

/** What is missing for WebGPU; undefined if nothing is. An adapter that computes on the CPU says nothing of graphics cards. */
async function lacksAdapter(): Promise<string | undefined> {
  const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<Adapter | null> } };
  const adapter = await gpu?.requestAdapter();
  if (adapter === undefined || adapter === null) return "no WebGPU adapter";
  const { info } = adapter;
  const isSoftware = adapter.isFallbackAdapter ?? info?.isFallbackAdapter ?? info?.architecture === "swiftshader";
  return isSoftware ? `only a software WebGPU adapter (${info?.architecture ?? "fallback"})` : undefined;
}

interface Adapter {
  readonly isFallbackAdapter?: boolean;
  readonly info?: { readonly isFallbackAdapter?: boolean; readonly architecture?: string };
}

async function tell(message: PageMessage): Promise<void> {
  await fetch("told", { method: "POST", body: JSON.stringify(message) });
}

try {
  await measure((await (await fetch("request.json")).json()) as PageRequest);
} catch (error) {
  const code = error instanceof Error && "code" in error ? String(error.code) : undefined;
  await tell({ kind: "failed", code, text: error instanceof Error ? error.message : String(error) });
}
