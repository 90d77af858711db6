/** Checks that a result loads in ONNX Runtime with graph optimizations, as its users load it. */

import { type Model, PithError, storedBytes } from "#ir";
import type { Engine, Session } from "../../core/engine/index.ts";
import { findUnknownOperator } from "../../core/engine/runtime-messages.ts";
import { hasLargeWeights } from "./size-limits.ts";

export class ResultError extends PithError {
  readonly loading: boolean;

  constructor(error: PithError, text: string, loading: boolean) {
    super(error.code, text, { hint: error.advice, cause: error });
    this.loading = loading;
  }
}

/** An engine that remembers which models were loaded with graph optimizations. */
export interface WatchedEngine extends Engine {
  hasLoaded(model: Model): boolean;
}

/** Number of sessions that are kept, and the maximum bytes of weights of their models. */
const [keptSessions, maxKeptBytes] = [2, 2 ** 25];

/** Remembers loads, and keeps the sessions that were released last for loads of unchanged models with the same options. */
export function watchLoads(engine: Engine): WatchedEngine {
  const loadedRevisions = new WeakMap<Model, number>();
  const idle: { readonly model: Model; readonly key: string; readonly session: Session; readonly isReused: boolean }[] =
    [];
  return {
    async load(model, options = {}) {
      const { revision } = model.graph;
      const { optimize = true, threads = 0, lean = false, inPlace = false, ...others } = options;
      const key = JSON.stringify([revision, optimize, threads, lean, inPlace, others]);
      const index = idle.findIndex((kept) => kept.model === model && kept.key === key);
      const [kept] = idle.splice(index, index < 0 ? 0 : 1);
      const session = kept?.session ?? (await engine.load(model, options));
      if (optimize) loadedRevisions.set(model, revision);
      if (storedBytes(model.graph) > maxKeptBytes) return session;
      let isReleased = false;
      return {
        run: (feeds, fetch) => session.run(feeds, fetch),
        async release() {
          if (isReleased) return;
          isReleased = true;
          idle.push({ model, key, session, isReused: kept !== undefined });
          if (idle.length <= keptSessions) return;
          const index = idle.slice(0, -1).findIndex(({ isReused }) => !isReused);
          // The session leaves the list before it is released, so that no concurrent load takes it.
          await idle.splice(Math.max(0, index), 1)[0]?.session.release();
        },
      };
    },
    hasLoaded: (model) => loadedRevisions.get(model) === model.graph.revision,
  };
}

/** Loads a model, if it was not loaded before. @throws ResultError E_ENGINE; the message says whether only optimization fails. */
export async function requireLoads(engine: WatchedEngine, model: Model, original: Model): Promise<void> {
  if (engine.hasLoaded(model)) return;
  try {
    const session = await engine.load(model, { lean: hasLargeWeights(model) });
    await session.release();
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    if (error.code === "E_UNSUPPORTED" || error.code === "E_ENGINE_MISSING" || findUnknownOperator(error) !== undefined)
      return;
    const loadError = await explainFailedLoad(engine, model, error);
    if (await loads(engine, original)) throw loadError;
    throw new ResultError(error, `This runtime loads neither the original nor the result: ${error.message}`, true);
  }
}

export async function explainFailedLoad(engine: Engine, model: Model, error: PithError): Promise<ResultError> {
  const text = (await loads(engine, model))
    ? "The result loads without graph optimizations, but not with those of ONNX Runtime"
    : "The result does not load";
  return new ResultError(error, `${text}: ${error.message}`, true);
}

async function loads(engine: Engine, model: Model): Promise<boolean> {
  const session = await engine.load(model, { optimize: false }).catch(() => undefined);
  await session?.release();
  return session !== undefined;
}
