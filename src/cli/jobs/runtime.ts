/** The runtime, ready before anything is measured. */
import type { Engine } from "../../engine/index.ts";
import { parseModel } from "../../graph/text.ts";

/** Loads a graph that does nothing: the first session of a process pays for the code of the runtime, and for its threads. */
export async function startRuntime(engine: Engine, threads: number | undefined): Promise<void> {
  const nothing = parseModel("opset 21\ngraph (x: float32[1]) -> (y: float32[1]) {\n  y = Identity(x)\n}\n");
  await (await engine.load(nothing, { threads })).release();
}

/** Runs before the clock counts: browsers and Node compile WebAssembly twice, quickly at first and well in the background. */
export const warmUp = { native: 5, web: 30 } as const;
