/** Defines passes: functions with metadata that the library, the command line and recipes share. */
import * as v from "valibot";
import type { Miss, Model } from "#graph";
import type { Engine } from "../engine/index.ts";
import type { PlainObject } from "../plain.ts";
import type { Moves } from "./moves.ts";

export interface Context {
  readonly engine: Engine;
  readonly seed: number;
  readonly signal: AbortSignal;
  /** Whether training stops before its first step and reports only what it would change. */
  readonly dryRun?: boolean | undefined;
  /** Reports an event. Ids are stable, such as "epoch". Warnings appear in reports; notes only show progress. */
  log(event: { readonly id: string; readonly text: string; readonly level?: "note" | "warning" }): void;
  /** Reports progress. `figures` describes the current result, such as "loss 0.2134". `loss` is the training loss of the step. */
  progress(done: number, total?: number, figures?: string, loss?: number): void;
  /** Names the part of the work that begins. Later progress refers to it. */
  phase?(name: string): void;
  /** Opens the model at a path or under another name. */
  open(reference: string): Promise<Model>;
  /** Intermediate results that repeated runs of a pass on one model share, by key: weights that were rounded before. */
  readonly intermediates?: Map<string, Promise<unknown>> | undefined;
  /** Renders the Jinja template of a chat, so that a language model without data also runs on chats. Returns a Miss if it cannot render any. */
  readonly renderTemplate?: ((template: string, values: PlainObject) => Promise<string | Miss>) | undefined;
  /** Measures the model before the pass trains it, if the pass has made it smaller. */
  beforeTraining?(model: Model): Promise<void>;
}

export interface Change {
  readonly at: string;
  readonly what: string;
  /** The change without details that differ between places, for grouping and counting; `what` by default. */
  readonly kind?: string;
  /** For `simplify`: the rule that changed the model, a name for its options `only` and `skip`. */
  readonly rule?: string;
  /** Bits per element, for a "quantized" or "rounded" weight. */
  readonly bits?: number;
  /** Which setting decided: that of the pass ("global"), of the operator type, or of the layer. */
  readonly decidedBy: "global" | "op" | "layer";
}

/** Formats a change, such as "72 of 216 pruned (per-layer override)". */
export const changeText = ({ what, decidedBy }: Change): string =>
  decidedBy === "global" ? what : `${what} (per-${decidedBy === "op" ? "operator" : "layer"} override)`;

/** The `kind` of changes that remove an input or output of the model. */
export const removedPortKind = "no longer there";
/** The `kind` of changes that store a weight in fewer bits. */
export const quantizedKind = "quantized";
/** The `kind` of changes that alter the values of layers without altering the outputs of the model. */
export const scaledKind = "scaled";

export interface Outcome {
  readonly changes: readonly Change[];
  readonly misses: readonly Miss[];
  /** Sample counts, set by a pass that learns from samples. */
  readonly learnt?: Learnt | undefined;
}

/** The number of samples that a pass learned from (`fitted`), and of others that decided whether changes were kept (`checked`). */
export interface Learnt {
  readonly fitted: number | undefined;
  readonly checked: number | undefined;
}

/** The options of a pass, with or without defaults. */
export type OptionValues = Readonly<Record<string, unknown>>;

export interface CalibrationData {
  /** Returns why these options need samples; undefined if they do not. */
  when(options: OptionValues): string | undefined;
  /** Returns whether samples are optional but improve the result. The default is no. */
  helps?(options: OptionValues): boolean;
  /** Returns whether text that a language model generates improves its result. The default is no. */
  textHelps?(options: OptionValues): boolean;
  /** Returns whether these options also need labels. The default is no. */
  labelled?(options: OptionValues): boolean;
}

export interface PassDescription {
  /** The name of the command and of the recipe step. */
  readonly id: string;
  readonly summary: string;
  /** The use of the option `data`. "train" means training, so that the result can exceed the original. Otherwise, the data calibrates. */
  readonly data?: "train" | CalibrationData;
  /** Whether the pass learns the outputs of another model without labels. */
  readonly learnsAnswers?: true;
  /** The option for the reference model. An `original` can be omitted if the context contains one. */
  readonly reference?: "teacher" | "original";
  readonly furtherReferences?: string;
  /** Checks a reference model before any slow work. @throws PithError if the reference does not fit. */
  checkReference?(model: Model, reference: Model, options: OptionValues): Promise<void>;
  /** Checks that the options fit the model, which is not changed, before any slow work. @throws PithError if they do not fit. */
  checkModel?(model: Model, options: OptionValues): Promise<void>;
  /** Returns whether the pass makes the model smaller before it trains. */
  cutsFirst?(options: OptionValues): boolean;
  readonly makesSmaller?: "file";
  /** Returns advice for a smaller loss, such as "Use a smaller `amount`". `lostBefore`: the input model already had the loss. */
  gentler?(options: OptionValues, lostBefore?: boolean): string;
  /** Returns advice for a result that is slower than the original, such as "Try `scheme: "static"`"; undefined if there is none. */
  faster?(options: OptionValues, original: Model): string | undefined | Promise<string | undefined>;
  /** Returns less lossy overrides for a layer, in descending order of loss. */
  fallbackOverrides?(options: OptionValues, change: Change): readonly OptionValues[];
  /** Returns less lossy settings, in descending order of loss. */
  fallbackSettings?(options: OptionValues): readonly OptionValues[];
  /** Returns the settings whose results compress best, in descending order of loss. @throws PithError if the options exclude the method. */
  downloadSettings?(options: OptionValues): readonly OptionValues[];
  /** The pass that, with the same options, makes a reference model whose layers are comparable. It is used for changes of kind `scaledKind`. */
  readonly unrounded?: AnyPass;
  /** Estimates the work on a sample, in runs of the model on one sample. */
  runsPerSample?(options: OptionValues): number;
  readonly moves?: Moves;
  /** Options that name files which the pass reads, so that the result must not overwrite them. */
  readonly reads?: readonly string[];
  /** Options that name files which the pass writes, except in a dry run. */
  readonly writes?: readonly string[];
  /** Whether exporter metadata is removed from a changed model, because it describes the original. */
  readonly removesNotes?: true;
}

/** Returns the reference model whose layers are comparable with a result. `run` runs a pass on the original with the options of the result. */
export async function equalizedReference(
  { unrounded }: AnyPass,
  original: Model,
  changes: readonly Change[],
  run: (pass: AnyPass) => Promise<Model>,
): Promise<Model> {
  return unrounded !== undefined && changes.some(({ kind }) => kind === scaledKind) ? run(unrounded) : original;
}

export interface PassDefinition<S extends v.GenericSchema, R extends Outcome> extends PassDescription {
  /** The schema of the options, from which command-line flags, JSON Schema and docs are derived. */
  readonly options: S;
  run(model: Model, options: v.InferOutput<S>, context: Context): Promise<R>;
}

export const noOptions = v.strictObject({});

type Arguments<I> =
  Record<never, never> extends I ? [options?: I, context?: Partial<Context>] : [options: I, context?: Partial<Context>];

export interface Pass<S extends v.GenericSchema = v.GenericSchema, R extends Outcome = Outcome>
  extends PassDescription {
  (model: Model, ...rest: Arguments<v.InferInput<S>>): Promise<R>;
  readonly options: S;
}

/** A pass whose option types are unknown at compile time. It validates its options when called. */
export interface AnyPass extends PassDescription {
  (...rest: never[]): Promise<Outcome>;
  readonly options: v.GenericSchema;
}

/**
 * Makes a pass from its definition. A call of the pass
 * - validates its options; E_OPTION names the invalid option and the accepted values, or a concurrent pass on
 *   the same model;
 * - records the pass in the metadata of new nodes;
 * - with `contract.checked` (`run-pass.ts`), throws an error if the result is not valid, or if the model changed although no
 *   change was reported.
 *
 * Code that changes models is loaded with the first call, because the command line reads definitions to show help and to check options.
 */
export function definePass<S extends v.GenericSchema, R extends Outcome>(definition: PassDefinition<S, R>): Pass<S, R> {
  const { run, ...description } = definition;
  const call = async (model: Model, ...[options, context = {}]: Arguments<v.InferInput<S>>): Promise<R> => {
    const { runPass } = await import("./run-pass.ts");
    return runPass(definition, model, (options ?? {}) as OptionValues, context);
  };
  return Object.assign(call, description);
}
