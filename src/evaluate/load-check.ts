/** Whether a model that is about to be written loads in ONNX Runtime, optimized, as its users load it. */
import type { Engine } from "../engine/index.ts";
import { unknownIn } from "../engine/unknown-operator.ts";
import { PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";

/** A result does not load, or fails on inputs that its original runs on. */
export class ResultFails extends PithError {
  readonly loading: boolean;

  constructor(error: PithError, text: string, loading: boolean) {
    super(error.code, text, { hint: error.advice, cause: error });
    this.loading = loading;
  }
}

/** An engine that knows which models it has loaded, with all optimizations. */
export interface WatchedEngine extends Engine {
  hasLoaded(model: Model): boolean;
  /** To be called when models that were loaded have changed since. */
  forget(): void;
}

export function watchLoads(engine: Engine): WatchedEngine {
  let loaded = new WeakSet<Model>();
  return {
    async load(model, options) {
      const session = await engine.load(model, options);
      if (options?.optimize !== false) loaded.add(model);
      return session;
    },
    hasLoaded: (model) => loaded.has(model),
    forget() {
      loaded = new WeakSet();
    },
  };
}

/**
 * Loads a model, unless it was. One with operators that this runtime does not have, or with inputs that JavaScript cannot carry, cannot be tried
 * here.
 * @throws ResultFails E_ENGINE with what the runtime says, and whether it is its own optimization that fails, or the original does not load either.
 */
export async function requireLoads(engine: WatchedEngine, model: Model, original: Model): Promise<void> {
  if (engine.hasLoaded(model)) return;
  try {
    const session = await engine.load(model);
    await session.release();
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    if (error.code === "E_UNSUPPORTED" || error.code === "E_ENGINE_MISSING" || unknownIn(error) !== undefined) return;
    const failed = await notLoaded(engine, model, error);
    if (await loads(engine, original)) throw failed;
    throw new ResultFails(error, `This runtime loads neither the original nor the result: ${error.message}`, true);
  }
}

/** Why a model does not load: because of what it is, or of what the runtime makes of it. */
export async function notLoaded(engine: Engine, model: Model, error: PithError): Promise<ResultFails> {
  const text = (await loads(engine, model))
    ? "The result loads without graph optimizations, but not with those of ONNX Runtime"
    : "The result does not load";
  return new ResultFails(error, `${text}: ${error.message}`, true);
}

/** Whether a model loads, by default without optimizations of its graph. */
export async function loads(engine: Engine, model: Model, optimize = false): Promise<boolean> {
  const session = await engine.load(model, { optimize }).catch(() => undefined);
  await session?.release();
  return session !== undefined;
}
