/** A pass is a function with metadata that the library, the command line and recipes share. */
import * as v from "valibot";
import { infer } from "../analysis/infer.ts";
import { restate } from "../analysis/stale-types.ts";
import { createEngine, type Engine } from "../engine/index.ts";
import { asPithError, type Miss, PithError } from "../errors.ts";
import { passKey } from "../graph/emit.ts";
import type { Graph } from "../graph/graph.ts";
import { structureHash } from "../graph/hash.ts";
import type { Model } from "../graph/model.ts";
import { nameApart } from "../graph/names.ts";
import { removeUnused } from "../graph/remove-unused.ts";
import { type GraphSnapshot, graphSnapshot, snapshot } from "../graph/snapshot.ts";
import { verify } from "../graph/verify.ts";
import { open } from "../onnx/index.ts";
import { openModels, openModules } from "./modules.ts";
import type { Moves } from "./moves.ts";
import { clearNotes } from "./notes.ts";
import { inWords, misfitOf } from "./option-errors.ts";

export interface Context {
  readonly engine: Engine;
  readonly seed: number;
  readonly signal: AbortSignal;
  /** Training stops before its first step and only reports what it would change. */
  readonly dryRun?: boolean | undefined;
  /** Ids are stable: "epoch", "chance". Warnings go into reports; notes only show progress. */
  log(event: { readonly id: string; readonly text: string; readonly level?: "note" | "warning" }): void;
  /** `figures` is the current result: "loss 0.2134". */
  progress(done: number, total?: number, figures?: string): void;
  open(reference: string): Promise<Model>;
}

export interface Change {
  readonly at: string;
  readonly what: string;
  /** The change without details that differ by place, for grouping and counting (default: `what`). */
  readonly kind?: string;
  /** For `simplify`: the rule that changed the model, a name for its options `only` and `skip`. */
  readonly rule?: string;
  /** For a "quantized" or "rounded" weight: bits per element. */
  readonly bits?: number;
  /** The speedup, timed in isolation. */
  readonly speed?: number;
  /** The scope of the option that decided: the pass, the operator type, or the layer. */
  readonly decidedBy: "global" | "op" | "layer";
}

/** Formats "72 of 216 pruned (per-layer override)". */
export const changeText = ({ what, decidedBy }: Change): string =>
  decidedBy === "global" ? what : `${what} (per-${decidedBy === "op" ? "operator" : "layer"} override)`;

/** The `kind` of a change that removes an input or output of the model. */
export const noLongerThere = "no longer there";
/** The `kind` of a change that alters the values of layers, but not the outputs of the model. */
export const movedFactors = "scaled";

export interface Outcome {
  readonly changes: readonly Change[];
  readonly misses: readonly Miss[];
  /** Set by a pass that learns from samples. */
  readonly learnt?: Learnt | undefined;
}

/** The number of samples that a pass learned from, if known. `checked` counts other samples, which decided whether changes were kept. */
export interface Learnt {
  readonly fitted: number | undefined;
  readonly checked: number | undefined;
}

/** The options of a pass, as given or completed. */
export type OptionValues = Readonly<Record<string, unknown>>;

export interface CalibrationData {
  /** Returns why these options need samples. */
  when(options: OptionValues): string | undefined;
  /** Returns whether samples are optional but help (default: no). */
  helps?(options: OptionValues): boolean;
  /** Returns whether these options train on the outputs of the model, with the training samples (default: no). */
  trains?(options: OptionValues): boolean;
  /** Returns whether labels are needed, too (default: no). */
  labelled?(options: OptionValues): boolean;
}

/** Properties of a pass for recipes, the command line and help. */
export interface PassDescription {
  /** The name of the command and of the recipe step. */
  readonly id: string;
  readonly summary: string;
  /** The use of its option `data`: to train, so that the result can exceed the original; or to calibrate. */
  readonly data?: "train" | CalibrationData;
  /** Learns another model's outputs and needs no labels; unsplit data gives it some samples. */
  readonly learnsAnswers?: true;
  /** The option that names the reference model. An `original` can be omitted if the context knows one. */
  readonly reference?: "teacher" | "original";
  /** The option that names the model that the result is restored to: outputs are compared with that model. */
  readonly restores?: string;
  /** The option that names further reference models. */
  readonly furtherReferences?: string;
  /** Checks a reference before any slow work. @throws PithError if it does not fit */
  checkReference?(model: Model, reference: Model, options: OptionValues): Promise<void>;
  /** Checks a copy of the model before any slow work. @throws PithError if the options do not fit */
  checkModel?(copy: Model, options: OptionValues): Promise<void>;
  /** Returns whether the pass makes the model smaller before training. Its loss is then checked only if a goal is given. */
  cutsFirst?(options: OptionValues): boolean;
  /** The result is untrained, so its loss is not checked. */
  readonly beginsAnew?: true;
  /** The result must have a smaller file. */
  readonly makesSmaller?: "file";
  /**
   * Returns advice for a smaller loss: "Use a smaller `amount`".
   * @param lostBefore The input model already had the loss.
   */
  gentler?(options: OptionValues, lostBefore?: boolean): string;
  /** Advice for a result that is slower than its original, such as "Try `scheme: "static"`"; undefined if there is none. */
  faster?(options: OptionValues): string | undefined;
  /** Returns less lossy overrides for a layer, the least lossy last. */
  milderForms?(options: OptionValues, change: Change): readonly OptionValues[];
  /** Returns less lossy settings, the least lossy last. They are tried before `milderForms`. */
  milderSettings?(options: OptionValues): readonly OptionValues[];
  /** Returns settings of the method whose results compress best, the least lossy last. @throws PithError if the options exclude it. */
  downloadSettings?(options: OptionValues): readonly OptionValues[];
  /** The pass that makes a reference with comparable layers, from the same options, for changes of kind `movedFactors`. */
  readonly unrounded?: AnyPass;
  /** Work on samples, named for a message ("gradients"), and its estimate per sample in runs of the model on one sample. */
  readonly sampleWork?: { readonly name: string; runs(options: OptionValues): number };
  readonly moves?: Moves;
  /** The command of the pass. Changed parts lose exporter metadata. */
  readonly command?: PassCommand;
}

/** Returns the model whose layers compare with those of a result. @param run Runs a pass on the original with the result's options. */
export async function equalizedReference(
  { unrounded }: AnyPass,
  original: Model,
  changes: readonly Change[],
  run: (pass: AnyPass) => Promise<Model>,
): Promise<Model> {
  return unrounded !== undefined && changes.some(({ kind }) => kind === movedFactors) ? run(unrounded) : original;
}

export interface PassCommand {
  /** Returns the default suffix of the result: ".pruned" for model.pruned.onnx. */
  suffix(options: OptionValues): string;
  /** The suffix for the help, if it depends on options. */
  readonly results?: string;
  /** The role of the input model, if it has a special one. */
  readonly takes?: string;
  /** The argument is the student. Without it, the input model is the reference. */
  readonly takesStudent?: true;
  /** Options that name other files: those read, which the result must not overwrite, and those written, except in a dry run. */
  readonly reads?: readonly string[];
  readonly writes?: readonly string[];
  /** Command lines without the leading `pith`. */
  readonly examples: readonly string[];
  /** Returns whether pruned values stay in the file as zeros. */
  storesZeros?(options: OptionValues): boolean;
  /** Returns the next command line without the leading `pith`; a shell comment can follow. */
  next?(options: OptionValues, files: NextFiles): string | undefined;
}

/** Words of a command line, quoted for a shell. */
export interface NextFiles {
  readonly model: string;
  readonly original: string | undefined;
  readonly written: string;
  /** The samples as given, or a placeholder. */
  readonly data: string;
  /** Whether weights of the result are floats, which can be trained. */
  readonly trainable: boolean;
  /** Whether samples showed that the result meets its goal. */
  readonly holds: boolean;
}

export interface PassDefinition<S extends v.GenericSchema, R extends Outcome> extends PassDescription {
  /** Declared once: command-line flags, JSON Schema and docs derive from it. */
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

/** A pass of unknown options, which it checks itself. */
export interface AnyPass extends PassDescription {
  (...rest: never[]): Promise<Outcome>;
  readonly options: v.GenericSchema;
}

/** Whether passes check their contract (`definePass`): slow, so only tests enable it. */
export const contract = { checked: false };

/**
 * Makes a pass from its definition.
 * A call first checks its options. E_OPTION names an invalid option and the accepted values, or a concurrent pass on the same model. New nodes
 * record the pass in their metadata. With `contract.checked`, the result must verify, and a pass that reports no change must change nothing.
 */
export function definePass<S extends v.GenericSchema, R extends Outcome>(definition: PassDefinition<S, R>): Pass<S, R> {
  const { run, ...description } = definition;
  const { id, options } = description;
  const call = async (model: Model, ...rest: Arguments<v.InferInput<S>>): Promise<R> => {
    if (typeof (model as Partial<Model> | undefined)?.graph !== "object")
      throw new PithError("E_OPTION", `${id} takes a model, as open() gives it, got ${typeof model}.`);
    const parsed = parseOptions(id, options, await openModules(id, options, rest[0] ?? {}));
    const outer: Inside = rest[1] ?? {};
    const context = completeContext(outer);
    const completed = await openModels(options, parsed as OptionValues, context.open);
    // In a recipe, the name "original" means the recipe's input model.
    if (description.reference === "original" && completed.original === undefined)
      completed.original = await context.open("original").catch((error: unknown) => void asPithError(error));
    if (snapshots.has(model.graph) && outer[changing] !== model.graph)
      throw new PithError("E_OPTION", `${id}: another pass is changing this model.`, {
        hint: "Await the first pass. A pass that calls another passes its own context.",
      });
    const inside: Context & Inside = { ...context, [changing]: model.graph };
    const before = new Set(model.graph.nodes());
    const hash = contract.checked ? structureHash(model) : "";
    const faulty = contract.checked && verify(model).length > 0;
    const outcome = await atomically(model, () => run(model, completed as v.InferOutput<S>, inside));
    for (const node of model.graph.nodes()) {
      if (!before.has(node) && !node.metadata.has(passKey)) node.metadata = new Map([...node.metadata, [passKey, id]]);
    }
    if (outcome.changes.length > 0) {
      if (definition.command !== undefined) clearNotes(model);
      finishPass(model);
    }
    if (contract.checked) checkContract(id, model, outcome, hash, faulty);
    return outcome;
  };
  return Object.assign(call, description);
}

/** The key in the context of nested passes for the graph that the outer pass changes, which they may change, too. */
const changing = Symbol("changing");
type Inside = Partial<Context> & { readonly [changing]?: Graph };

/** Graph states before the running pass: nested passes share them until one changes something. */
const snapshots = new WeakMap<Graph, GraphSnapshot>();

/** Runs work on a model, and restores the model if the work throws, is aborted, or reports no change. */
export async function atomically<R extends Outcome>(model: Model, work: () => Promise<R>): Promise<R> {
  const { graph } = model;
  const outer = snapshots.get(graph);
  const before = outer?.isCurrent() === true ? outer : graphSnapshot(graph);
  const restore = snapshot(model, before);
  snapshots.set(graph, before);
  try {
    const outcome = await work();
    if (outcome.changes.length > 0) graph.touch();
    else restore();
    return outcome;
  } catch (error) {
    restore();
    throw error;
  } finally {
    if (outer === undefined) snapshots.delete(graph);
  }
}

/** Finishes every change of a model: updates the format and the inferred types. */
function finishPass(model: Model): void {
  leaveDefaults(model);
  nameApart(model);
  infer(model);
  restate(model);
}

/**
 * Leaves only real inputs. Stored tensors among the inputs are weights up to IR 3, and later overridable defaults, which passes treat as constants.
 */
function leaveDefaults(model: Model): void {
  const old = model.header.irVersion < 4;
  if (old) model.header.irVersion = 4;
  if (model.graph.inputs.some(({ tensor }) => tensor !== undefined)) model.graph.setInputs(model.graph.feeds);
  if (old) removeUnused(model.graph);
}

function checkContract(id: string, model: Model, { changes }: Outcome, before: string, faulty: boolean): void {
  const [fault] = faulty ? [] : verify(model);
  if (fault !== undefined) throw new Error(`${id} produced an invalid graph: ${fault}`);
  infer(model);
  if (changes.length === 0 && structureHash(model) !== before)
    throw new Error(`${id} changed the model but reported no change.`);
}

/** @throws PithError E_OPTION with the path of the first invalid option, what is accepted, and the nearest name for a mistyped one. */
export function parseOptions<S extends v.GenericSchema>(owner: string, schema: S, options: unknown): v.InferOutput<S> {
  const result = v.safeParse(schema, options, inWords);
  if (result.success) return result.output;
  const { path, part, sentence, hint } = misfitOf(schema, result.issues, { owner });
  // Names the owner if the pass itself lacks an option.
  const at = path.length === 0 ? "" : `"${path.join(".")}": `;
  const place = part === "key" && path.length === 1 ? "" : `${owner}: ${at}`;
  throw new PithError("E_OPTION", `${place}${sentence}.`, { hint });
}

/** Fills in defaults: the installed ONNX Runtime, models opened from files, seed 0, no output. */
export function completeContext(context: Partial<Context> = {}): Context {
  return {
    engine: context.engine ?? createEngine(),
    seed: context.seed ?? 0,
    signal: context.signal ?? new AbortController().signal,
    dryRun: context.dryRun,
    log: context.log ?? (() => {}),
    progress: context.progress ?? (() => {}),
    open: context.open ?? open,
  };
}
