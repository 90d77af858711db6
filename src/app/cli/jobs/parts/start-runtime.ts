import { parseModel } from "#ir";
import type { Engine } from "../../../../core/engine/index.ts";

/** Starts the runtime and its threads, so that measurements of later sessions exclude the start. */
export async function startRuntime(engine: Engine, threads: number | undefined): Promise<void> {
  const minimalModel = parseModel("opset 21\ngraph (x: float32[1]) -> (y: float32[1]) {\n  y = Identity(x)\n}\n");
  await (await engine.load(minimalModel, { threads })).release();
}

/** Numbers of warm-up runs. WebAssembly is optimized in the background. */
export const warmUp = { native: 5, web: 30 } as const;
