/** Finds models that load only after `pith simplify`, because ONNX Runtime's graph optimizations fail on them. */

import { type Model, open, PithError } from "#ir";
import { createEngine } from "../../../core/engine/index.ts";
import { simplify } from "../../../rewrite/clean-up/simplify.ts";
import type { JobContext } from "../../../runtime/job/job.ts";
import { loads, ResultFails } from "../../../runtime/run/load-check.ts";

/** Job: returns the path of the first model that loads only after `pith simplify`. */
export default async function loadableJob({ models }: { readonly models: readonly string[] }, context: JobContext) {
  for (const path of models) if ((await simplifyToLoad(await open(path), context)) !== undefined) return path;
  return undefined;
}

export async function simplifyToLoad(model: Model, { signal }: Pick<JobContext, "signal">): Promise<Model | undefined> {
  const engine = createEngine();
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

export async function rejectUnloadable<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ResultFails) || !error.loading) throw error;
    throw new PithError(error.code, `${error.message} Nothing was written.`, {
      hint: "--force does not write it either, because it could not be loaded.",
      cause: error,
    });
  }
}
