/** Models that ONNX Runtime's own graph optimizations break: `pith simplify` leaves nothing for them to do there. */
import { createEngine, type Engine } from "../../engine/index.ts";
import { PithError } from "../../errors.ts";
import { loads } from "../../evaluate/load-check.ts";
import type { Model } from "../../graph/model.ts";
import type { JobContext } from "../../job/job.ts";
import { open } from "../../onnx/index.ts";
import { simplify } from "../../passes/index.ts";

export interface LoadableInput {
  /** Paths. */
  readonly models: readonly string[];
}

/** Job: the first of the models that loads once it is simplified, and not before. */
export default async function loadableJob({ models }: LoadableInput, context: JobContext): Promise<string | undefined> {
  for (const path of models) if ((await simplifiedToLoad(await open(path), context)) !== undefined) return path;
  return undefined;
}

/** The model simplified, if it loads then and not before. */
export async function simplifiedToLoad(
  model: Model,
  { signal }: Pick<JobContext, "signal">,
  engine: Engine = createEngine(),
): Promise<Model | undefined> {
  if (await loads(engine, model, true)) return undefined;
  const simplified = model.clone();
  try {
    await simplify(simplified, {}, { engine, signal });
  } catch (error) {
    if (error instanceof PithError && error.code === "E_ENGINE") return undefined;
    throw error;
  }
  return (await loads(engine, simplified, true)) ? simplified : undefined;
}
