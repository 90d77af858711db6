/** Checks that a result loads in ONNX Runtime with graph optimizations, as its users load it. */

import { type Model, memoize, PithError, storedBytes } from "#ir";
import type { Engine, Session } from "../../core/engine/index.ts";
import { findUnknownOperator } from "../../core/engine/runtime-messages.ts";
import { hasLargeWeights } from "./large-weights.ts";

/** The result does not load, or does not run. */
export class ResultFails extends PithError {
  readonly loading: boolean;

  constructor(error: PithError, text: string, loading: boolean) {
    super(error.code, text, { hint: error.advice, cause: error });
    this.loading = loading;
  }
}

/** An engine that remembers which models were loaded with graph optimizations and not changed since. */
export interface WatchedEngine extends Engine {
  hasLoaded(model: Model): boolean;
}

/** Maximum bytes of weights of a model whose session is kept. */
const maxKeptBytes = 2 ** 26;

/**
 * Remembers loads. If an unchanged model is loaded again with the same options, its session is kept after its release for the next such load, until
 * another session is kept.
 */
export function watchLoads(engine: Engine): WatchedEngine {
  const loadedRevisions = new WeakMap<Model, number>();
  const keysOf = new WeakMap<Model, Set<string>>();
  let idle: { readonly model: Model; readonly key: string; readonly session: Session } | undefined;
  return {
    async load(model, options) {
      const { revision } = model.graph;
      const key = JSON.stringify([revision, options]);
      const keys = memoize(keysOf, model, () => new Set());
      const isRepeated = keys.has(key);
      keys.add(key);
      const session = idle?.model === model && idle.key === key ? idle.session : await engine.load(model, options);
      if (session === idle?.session) idle = undefined;
      if (options?.optimize !== false) loadedRevisions.set(model, revision);
      if (!isRepeated || storedBytes(model.graph) > maxKeptBytes) return session;
      let isReleased = false;
      return {
        run: (feeds, fetch) => session.run(feeds, fetch),
        async release() {
          if (isReleased) return;
          isReleased = true;
          // The kept session is replaced before it is released, so that no concurrent load takes it and no other release ends it again.
          const replaced = idle;
          idle = { model, key, session };
          await replaced?.session.release();
        },
      };
    },
    hasLoaded: (model) => loadedRevisions.get(model) === model.graph.revision,
  };
}

/**
 * Loads a model, if it was not loaded before. Operators that this runtime lacks and inputs that JavaScript cannot represent are not an error.
 * @throws ResultFails E_ENGINE if the model does not load; the message says whether only the runtime's optimization fails.
 */
export async function requireLoads(engine: WatchedEngine, model: Model, original: Model): Promise<void> {
  if (engine.hasLoaded(model)) return;
  try {
    const session = await engine.load(model, { lean: hasLargeWeights(model) });
    await session.release();
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    if (error.code === "E_UNSUPPORTED" || error.code === "E_ENGINE_MISSING" || findUnknownOperator(error) !== undefined)
      return;
    const failed = await explainFailedLoad(engine, model, error);
    if (await loads(engine, original)) throw failed;
    throw new ResultFails(error, `This runtime loads neither the original nor the result: ${error.message}`, true);
  }
}

export async function explainFailedLoad(engine: Engine, model: Model, error: PithError): Promise<ResultFails> {
  const text = (await loads(engine, model))
    ? "The result loads without graph optimizations, but not with those of ONNX Runtime"
    : "The result does not load";
  return new ResultFails(error, `${text}: ${error.message}`, true);
}

export async function loads(engine: Engine, model: Model, optimize = false): Promise<boolean> {
  const session = await engine.load(model, { optimize }).catch(() => undefined);
  await session?.release();
  return session !== undefined;
}
