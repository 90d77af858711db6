/** Opens the runtimes of `--target`: the native one, or ONNX Runtime in a browser. */
import { PithError, unsupportedError } from "#ir";
import { createEngine } from "../../../../core/engine/index.ts";
import { findRuntime, type RuntimeName } from "../../../../core/engine/runtime.ts";
import type { JobContext } from "../../../../runtime/job/job.ts";
import { latency } from "../../../../runtime/run/latency.ts";
import type { RunTarget, TargetName } from "../../../../runtime/run/run-target.ts";
import { type BrowserEngine, openBrowserEngine } from "../../browser/engine.ts";
import { startRuntime, warmUp } from "./start-runtime.ts";

export interface OpenedTarget extends RunTarget {
  readonly runtime: RuntimeName;
  readonly isInBrowser: boolean;
  close(): Promise<void>;
}

/** Opens a target. @throws PithError E_ENGINE_MISSING, E_UNSUPPORTED without an adapter, E_FILE for an invalid CHROME_PATH. */
export async function openTarget(name: TargetName, context: JobContext): Promise<OpenedTarget> {
  if (name === "node") return openInNode(name, context);
  let browser: BrowserEngine;
  try {
    browser = await openBrowserEngine(name, context);
  } catch (error) {
    if (name === "webgpu" || !(error instanceof PithError) || !["E_FILE", "E_ENGINE_MISSING"].includes(error.code))
      throw error;
    const target = await openInNode(name, context);
    context.log({ id: "target", text: `wasm: ${error.message} WebAssembly runs in Node instead.`, level: "warning" });
    return target;
  }
  const { adapter, browser: agent, version } = browser.page;
  const product = productOf(agent);
  if (name === "webgpu" && adapter === undefined) {
    await browser.close();
    throw unsupportedError(`WebGPU: ${product} finds no GPU adapter on this machine.`, {
      hint: "A graphics card that the browser can use is needed, or a Chromium with SwiftShader.",
    });
  }
  const place = adapter === undefined ? `WebAssembly in ${product}` : `WebGPU in ${product} (${adapter.name})`;
  return {
    name,
    where: `${place}, onnxruntime-web ${version}`,
    runtime: name,
    isInBrowser: true,
    engine: browser,
    ...(adapter === undefined || adapter.float16
      ? {}
      : { lacks: { type: "float16", why: `${adapter.name} does not compute in float16` } as const }),
    async latency(models, feeds, { rounds = 30, threads, progress = () => {} }) {
      if (adapter?.isSoftware === true)
        throw unsupportedError(`WebGPU computes on the CPU here (${adapter.name}): nothing was timed.`, {
          hint: "A graphics card that the browser can use is needed. --target wasm times WebAssembly.",
        });
      return browser.time(models, feeds, { rounds, threads }, progress);
    },
    close: () => browser.close(),
  };
}

async function openInNode(name: "node" | "wasm", { log }: JobContext): Promise<OpenedTarget> {
  const options = name === "node" ? {} : ({ runtime: name } as const);
  const engine = createEngine(options);
  const { name: runtime } = await findRuntime(options.runtime);
  if (name === "node" && runtime !== "native")
    log({ id: "wasm", text: "onnxruntime-node is not installed: models run in WebAssembly.", level: "warning" });
  return {
    name,
    where: runtime === "native" ? "Node" : "WebAssembly in Node",
    runtime,
    isInBrowser: false,
    engine,
    async latency(models, feeds, timing) {
      await startRuntime(engine, timing.threads);
      return latency(engine, models, feeds, { warmUp: runtime === "native" ? warmUp.native : warmUp.web, ...timing });
    },
    close: () => Promise.resolve(),
  };
}

export async function withTargets<T>(
  names: readonly TargetName[],
  context: JobContext,
  work: (targets: readonly OpenedTarget[]) => Promise<T>,
): Promise<T> {
  const openTargets: OpenedTarget[] = [];
  try {
    for (const name of new Set(names)) openTargets.push(await openTarget(name, context));
    return await work(openTargets);
  } finally {
    for (const target of openTargets) await target.close();
  }
}

/** Returns the product in a user agent, such as `Chrome/156.0.0.0`. */
function productOf(agent: string): string {
  return /(?:Headless)?Chrome\/[\d.]+/.exec(agent)?.[0] ?? agent;
}
