import type { Engine } from "../../../core/engine/index.ts";
import { parseModel } from "../../../core/graph/text.ts";

/** Loads an empty graph, because a process's first session includes the start of the runtime and its threads. */
export async function startRuntime(engine: Engine, threads: number | undefined): Promise<void> {
  const nothing = parseModel("opset 21\ngraph (x: float32[1]) -> (y: float32[1]) {\n  y = Identity(x)\n}\n");
  await (await engine.load(nothing, { threads })).release();
}

/** Warm-up runs: browsers and Node compile WebAssembly quickly first, then optimize it in the background. */
export const warmUp = { native: 5, web: 30 } as const;
