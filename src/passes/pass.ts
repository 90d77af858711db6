/** What a pass is: callable, with its metadata, so that library, command line and recipe share one thing. */
import * as v from "valibot";
import type { Engine } from "../engine/engine.ts";
import { Miss, PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";

export interface Context {
  readonly engine: Engine;
  readonly seed: number;
  readonly signal: AbortSignal;
  log(event: { readonly id: string; readonly text: string }): void;
  progress(done: number, total?: number): void;
  /** Resolves a reference (a path, a name) to a model. */
  open(reference: string): Promise<Model>;
}

export interface Change {
  /** The layer, value or node that changed. */
  readonly at: string;
  readonly what: string;
  /** Which setting decided: the pass's own, one for the operator type, or one for this layer. */
  readonly decidedBy: "global" | "op" | "layer";
}

export interface Outcome {
  readonly changes: readonly Change[];
  readonly misses: readonly Miss[];
}

export type OptionsSchema = v.GenericSchema<unknown, object> | v.GenericSchemaAsync<unknown, object>;

export interface PassDefinition<S extends v.GenericSchema> {
  /** The command's and recipe step's name. */
  readonly id: string;
  readonly summary: string;
  /** Declared once: command-line flags, JSON Schema and docs come from it. */
  readonly options: S;
  run(model: Model, options: v.InferOutput<S>, context: Context): Promise<Outcome>;
}

type Arguments<I> = Record<never, never> extends I
  ? [options?: I, context?: Partial<Context>]
  : [options: I, context?: Partial<Context>];

export interface Pass<S extends v.GenericSchema = v.GenericSchema> {
  (model: Model, ...rest: Arguments<v.InferInput<S>>): Promise<Outcome>;
  readonly id: string;
  readonly summary: string;
  readonly options: S;
}

/** Makes a pass from its definition. Calling it checks the options first: E_OPTION names the option and what it accepts. */
export function definePass<S extends v.GenericSchema>(definition: PassDefinition<S>): Pass<S> {
  const call = async (model: Model, ...rest: Arguments<v.InferInput<S>>): Promise<Outcome> => {
    const options = parseOptions(definition.id, definition.options, rest[0] ?? {});
    return definition.run(model, options, completeContext(rest[1]));
  };
  return Object.assign(call, { id: definition.id, summary: definition.summary, options: definition.options });
}

/** @throws PithError E_OPTION with the path of the first option that does not fit. */
export function parseOptions<S extends v.GenericSchema>(owner: string, schema: S, options: unknown): v.InferOutput<S> {
  const result = v.safeParse(schema, options);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = v.getDotPath(issue as v.BaseIssue<unknown>) ?? "options";
  throw new PithError("E_OPTION", `${owner}: "${path}": ${issue?.message ?? "does not fit"}.`);
}

/** Fills in what the caller left out. The engine is created on first use, so that passes which run nothing need no runtime. */
export function completeContext(context: Partial<Context> = {}): Context {
  const missing = (): never => {
    throw new PithError("E_ENGINE_MISSING", "This step runs the model, and no engine was given.", {
      hint: 'Pass one: { engine: await createEngine() } from "pith/engine".',
    });
  };
  return {
    engine: context.engine ?? { load: missing },
    seed: context.seed ?? 0,
    signal: context.signal ?? new AbortController().signal,
    log: context.log ?? (() => {}),
    progress: context.progress ?? (() => {}),
    open:
      context.open ??
      ((reference) => {
        throw new PithError("E_USAGE", `"${reference}" cannot be opened here: pass a model, or a context with "open".`);
      }),
  };
}

export { Miss };
