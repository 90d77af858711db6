/** Finds ONNX Runtime: onnxruntime-node, or onnxruntime-web if it is missing or does not load. */

import { PithError } from "#graph";
import { disableTelemetry, threadCount } from "#platform";

export type Runtime = typeof import("onnxruntime-node");

/** `native`: onnxruntime-node on the CPU. `wasm`: onnxruntime-web. `webgpu`: onnxruntime-web in a browser. */
export type RuntimeName = "native" | "wasm" | "webgpu";

export interface FoundRuntime {
  readonly ort: Runtime;
  readonly name: RuntimeName;
}

/** Loads the requested runtime (default: native if installed, otherwise WebAssembly). @throws PithError E_ENGINE_MISSING if it is not installed. */
export async function findRuntime(requestedRuntime?: RuntimeName): Promise<FoundRuntime> {
  const failures: unknown[] = [];
  const attempt = async (load: () => Promise<unknown>): Promise<Runtime | undefined> => {
    try {
      return (await load()) as Runtime;
    } catch (cause) {
      failures.push(cause);
      return undefined;
    }
  };
  if (requestedRuntime === undefined || requestedRuntime === "native") {
    await disableTelemetry();
    const ort = await attempt(() => import("#onnxruntime"));
    if (ort !== undefined && ort.env.versions.web === undefined) return { ort, name: "native" };
    if (ort !== undefined && requestedRuntime === undefined) return { ort, name: "wasm" };
  }
  if (requestedRuntime !== "native") {
    const ort = await attempt(() => import("onnxruntime-web"));
    if (ort !== undefined) return { ort, name: requestedRuntime ?? "wasm" };
  }
  throw missingRuntimeError(requestedRuntime, failures[0]);
}

function missingRuntimeError(requestedRuntime: RuntimeName | undefined, cause: unknown): PithError {
  const nativeMissing = "onnxruntime-node is not installed, or does not load on this machine";
  const [sentence, hint] =
    requestedRuntime === "native"
      ? [`The native runtime was requested: ${nativeMissing}.`, "npm install onnxruntime-node"]
      : requestedRuntime === undefined
        ? [
            `This step runs the model: ${nativeMissing}, and onnxruntime-web is not installed either.`,
            "npm install onnxruntime-node (fast), or npm install onnxruntime-web (everywhere)",
          ]
        : [
            `The runtime "${requestedRuntime}" was requested, and onnxruntime-web is not installed.`,
            "npm install onnxruntime-web",
          ];
  return new PithError("E_ENGINE_MISSING", sentence, { hint, cause });
}

/** Sets the number of WebAssembly threads, which the first session fixes. */
export function setWebThreads({ ort }: FoundRuntime, threads: number | undefined): void {
  ort.env.wasm.numThreads ??= threads === undefined || threads === 0 ? threadCount() : threads;
  ort.env.logLevel = "error";
}
