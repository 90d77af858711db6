/** Times a candidate on WebGPU, with a runtime of its own that is loaded for this. */
import { type Model, PithError } from "pith";
import type { Dataset } from "pith/data";
import { createEngine } from "pith/engine";
import { checkTargets, latency } from "pith/evaluate";
import { speedText } from "../../../src/core/numbers.ts";
import { timingRounds } from "./candidates.ts";
import type { CallContext } from "./session.ts";

/** Part of the WebGPU API, which TypeScript's library does not declare. */
interface Gpu {
  requestAdapter(): Promise<{ readonly info: { readonly vendor: string; readonly architecture: string } } | null>;
}

/** Returns the speed as text, or why it was not measured. @param samples on which the outputs are checked first (default: random inputs). */
export async function timeOnGpu(
  original: Model,
  candidate: Model,
  samples: Dataset | undefined,
  { signal, report }: CallContext,
): Promise<string> {
  report({ stage: "check the outputs on WebGPU" });
  const adapter = await (globalThis.navigator as { gpu?: Gpu } | undefined)?.gpu?.requestAdapter();
  if (adapter === undefined || adapter === null) return "not measured, because this browser finds no device for it.";
  const [gpu, wasm] = await Promise.all([import("onnxruntime-web/webgpu"), import("onnxruntime-web/wasm")]);
  gpu.env.wasm.wasmPaths = wasm.env.wasm.wasmPaths ?? "";
  const engine = createEngine({ runtime: "webgpu" });
  const where = `${adapter.info.vendor} ${adapter.info.architecture}`.trim();
  const target = { name: "webgpu", where, engine } as const;
  const [check] = await checkTargets(createEngine(), [target], original, candidate, { samples, seed: 0, signal });
  if (check?.right === false)
    return `not measured. The candidate ${check.likeness === undefined ? "does not run" : "is wrong"} on this device (${where}): ${check.found}.`;
  const stage = "measure the speed on WebGPU";
  const progress = (done: number, total?: number): void => report({ stage, done, total });
  try {
    const options = { rounds: timingRounds, signal, progress };
    const { models, unsteady } = await latency(engine, [original, candidate], undefined, options);
    const [, timed] = models;
    const busyText = unsteady ? " The machine was busy." : "";
    return `${timed && speedText(timed.speedup, " as fast as the original")} on ${where}. Outputs there: ${check?.found}.${busyText}`;
  } catch (error) {
    if (!(error instanceof PithError) || error.code === "E_STOPPED") throw error;
    return `not measured. The models do not run on this device (${where}): ${error.message}`;
  }
}
