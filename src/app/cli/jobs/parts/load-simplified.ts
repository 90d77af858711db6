/** Loads models that ONNX Runtime accepts only after `pith simplify`, and rejects results that it does not load. */
import { asPithError, type Model, PithError } from "#ir";
import type { Engine } from "../../../../core/engine/index.ts";
import { findUnknownOperator } from "../../../../core/engine/runtime-messages.ts";
import { simplify } from "../../../../rewrite/clean-up/simplify.ts";
import type { JobContext } from "../../../../runtime/job/job.ts";
import { ResultError } from "../../../../runtime/run/load-check.ts";
import { hasLargeWeights } from "../../../../runtime/run/size-limits.ts";

/** Returns the simplified model if only that one loads. @param threads with which the model is loaded next, because the engine keeps sessions. */
export async function simplifyToLoad(
  model: Model,
  engine: Engine,
  { signal }: Pick<JobContext, "signal">,
  threads?: number,
): Promise<Model | undefined> {
  if (!(await failsToLoad(model, engine, threads))) return undefined;
  const simplifiedModel = model.clone();
  try {
    await simplify(simplifiedModel, {}, { engine, signal });
  } catch (error) {
    asPithError(error);
    return undefined;
  }
  return (await failsToLoad(simplifiedModel, engine)) ? undefined : simplifiedModel;
}

async function failsToLoad(model: Model, engine: Engine, threads?: number): Promise<boolean> {
  try {
    await (await engine.load(model, { threads, spinning: false, lean: hasLargeWeights(model) })).release();
    return false;
  } catch (error) {
    const pithError = asPithError(error);
    return pithError.code === "E_ENGINE" && findUnknownOperator(pithError) === undefined;
  }
}

export async function rejectUnloadable<T>(work: () => Promise<T>, outcome = "Nothing was written."): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ResultError) || !error.loading) throw error;
    throw new PithError(error.code, `${error.message} ${outcome}`, {
      hint: "--force does not write it either, because it could not be loaded.",
      cause: error,
    });
  }
}
