/** What a pass is: callable, with its metadata, so that library, command line and recipe share one thing. */
import * as v from "valibot";
import { createEngine, type Engine } from "../engine/index.ts";
import { type Miss, PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { open } from "../onnx/index.ts";

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

export interface PassDefinition<S extends v.GenericSchema, R extends Outcome> {
  /** The command's and recipe step's name. */
  readonly id: string;
  readonly summary: string;
  /** Declared once: command-line flags, JSON Schema and docs come from it. */
  readonly options: S;
  run(model: Model, options: v.InferOutput<S>, context: Context): Promise<R>;
}

type Arguments<I> =
  Record<never, never> extends I ? [options?: I, context?: Partial<Context>] : [options: I, context?: Partial<Context>];

export interface Pass<S extends v.GenericSchema = v.GenericSchema, R extends Outcome = Outcome> {
  (model: Model, ...rest: Arguments<v.InferInput<S>>): Promise<R>;
  readonly id: string;
  readonly summary: string;
  readonly options: S;
}

/** Makes a pass from its definition. Calling it checks the options first: E_OPTION names the option and what it accepts. */
export function definePass<S extends v.GenericSchema, R extends Outcome>(definition: PassDefinition<S, R>): Pass<S, R> {
  const call = async (model: Model, ...rest: Arguments<v.InferInput<S>>): Promise<R> => {
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

/** Fills in what the caller left out: the installed ONNX Runtime, models opened from files, seed 0, silence. */
export function completeContext(context: Partial<Context> = {}): Context {
  return {
    engine: context.engine ?? createEngine(),
    seed: context.seed ?? 0,
    signal: context.signal ?? new AbortController().signal,
    log: context.log ?? (() => {}),
    progress: context.progress ?? (() => {}),
    open: context.open ?? open,
  };
}
