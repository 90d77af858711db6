/** What a pass is: callable, with its metadata, so that library, command line and recipe share one thing. */
import * as v from "valibot";
import { infer } from "../analysis/infer.ts";
import { restate } from "../analysis/stale-types.ts";
import { createEngine, type Engine } from "../engine/index.ts";
import { type Miss, PithError, refusalIn } from "../errors.ts";
import { passKey } from "../graph/emit.ts";
import type { Graph } from "../graph/graph.ts";
import { structureHash } from "../graph/hash.ts";
import type { Model } from "../graph/model.ts";
import { nameApart } from "../graph/names.ts";
import { type GraphSnapshot, graphSnapshot, snapshot } from "../graph/snapshot.ts";
import { verify } from "../graph/verify.ts";
import { open } from "../onnx/index.ts";
import { openModels, openModules } from "./modules.ts";
import type { Moves } from "./moves.ts";
import { clearNotes } from "./notes.ts";
import { inWords, misfitOf } from "./option-errors.ts";
import { removeUnused } from "./remove-unused.ts";

export interface Context {
  readonly engine: Engine;
  readonly seed: number;
  readonly signal: AbortSignal;
  /** Training stops before its first step: what it would change is reported, and nothing is learnt. */
  readonly dryRun?: boolean | undefined;
  /** Ids are stable: "epoch", "chance". A warning goes into reports; a note only says how far the work is. */
  log(event: { readonly id: string; readonly text: string; readonly level?: "note" | "warning" }): void;
  /** `figures` is what the work has come to: "loss 0.2134". */
  progress(done: number, total?: number, figures?: string): void;
  /** Resolves a reference (a path, a name) to a model. */
  open(reference: string): Promise<Model>;
}

export interface Change {
  /** The layer, value or node that changed. */
  readonly at: string;
  readonly what: string;
  /** What was done, without what differs from place to place: as changes are told apart and counted (`what`). */
  readonly kind?: string;
  /** Of a weight that was "quantized" or "rounded": bits of a number. */
  readonly bits?: number;
  /** How many times as fast as before, timed by itself. */
  readonly speed?: number;
  /** Which setting decided: the pass's own, one for the operator type, or one for this layer. */
  readonly decidedBy: "global" | "op" | "layer";
}

/** "72 of 216 pruned (per-layer override)": what changed, and that an override of the layer or its operator decided, where one did. */
export const changeText = ({ what, decidedBy }: Change): string =>
  decidedBy === "global" ? what : `${what} (per-${decidedBy === "op" ? "operator" : "layer"} override)`;

/** The `kind` of a change that names an input or output which the model no longer has. */
export const noLongerThere = "no longer there";
/** The `kind` of a change by which layers compute other values than the original's, and the model the same. */
export const movedFactors = "scaled";

export interface Outcome {
  readonly changes: readonly Change[];
  readonly misses: readonly Miss[];
  /** Of a pass that is given samples to learn from. */
  readonly learnt?: Learnt | undefined;
}

/** How many of the samples that it was given a pass learnt from, where their number is known; `checked`: others, which decided what was kept. */
export interface Learnt {
  readonly fitted: number | undefined;
  readonly checked: number | undefined;
}

/** Options of a pass, as they were given or completed. */
export type OptionValues = Readonly<Record<string, unknown>>;

export interface CalibrationData {
  /** Why options need them. */
  when(options: OptionValues): string | undefined;
  /** Whether it takes some where there are any, and does without where there are none (no). */
  helps?(options: OptionValues): boolean;
  /** Whether they need labels as well, with these options (no). */
  labelled?(options: OptionValues): boolean;
}

/** What recipes, the command line and help have to know of a pass. */
export interface PassDescription {
  /** The command's name, and that of a recipe's step. */
  readonly id: string;
  readonly summary: string;
  /**
   * The samples that it is given as its option `data`: to train on, so that its result may know what the original does not; or to calibrate
   * with.
   */
  readonly data?: "train" | CalibrationData;
  /** It learns what another model answers, and needs no labels: of data in one part it is given some samples. */
  readonly learnsAnswers?: true;
  /** The option that names the model which the result is to come near to: an `original` need not be given where the context knows one. */
  readonly reference?: "teacher" | "original";
  /** The option that names the model whose answers the result is nearer to than the model that came in: they are compared with its. */
  readonly restores?: string;
  /** The option that names further models beside the reference. */
  readonly furtherReferences?: string;
  /** Checks the reference, or a further one, before any slow work. @throws PithError where it does not fit */
  checkReference?(model: Model, reference: Model, options: OptionValues): Promise<void>;
  /** Checks a copy of the model, before any slow work. @throws PithError where the options do not fit it */
  checkModel?(copy: Model, options: OptionValues): Promise<void>;
  /** With these options it makes the model smaller before it trains: its loss is judged only if a goal is given. */
  cutsFirst?(options: OptionValues): boolean;
  /** The result has learnt nothing yet, so that no loss is judged. */
  readonly beginsAnew?: true;
  /** A result whose file is not smaller is no success. */
  readonly makesSmaller?: "file";
  /**
   * What loses less than these options: "Use a smaller `amount`".
   * @param lostBefore The model that came in is what lost: the result is no worse than it.
   */
  gentler?(options: OptionValues, lostBefore?: boolean): string;
  /** What loses less of one layer than what was done to it, as `overrides` have it, the mildest last. */
  milderForms?(options: OptionValues, change: Change): readonly OptionValues[];
  /** A pass that, with the same options, makes the model whose layers compare with the result's, where some changes are `movedFactors`. */
  readonly unrounded?: AnyPass;
  /** Of a pass that calibrates: its work for each sample, about, as so many runs of the model on one. */
  runsOfSample?(options: OptionValues): number;
  /** What it offers to a search for a smaller model. */
  readonly moves?: Moves;
  /** What the command line says of a pass that is a command. Notes of the exporter go with what it changes. */
  readonly command?: PassCommand;
}

/** The model whose layers compare with those of a result. @param run what a pass makes of the original, with the options that made the result. */
export async function unroundedBy(
  { unrounded }: AnyPass,
  original: Model,
  changes: readonly Change[],
  run: (pass: AnyPass) => Promise<Model>,
): Promise<Model> {
  return unrounded !== undefined && changes.some(({ kind }) => kind === movedFactors) ? run(unrounded) : original;
}

export interface PassCommand {
  /** What the result is called where nothing else is said, with these options: ".pruned" for model.pruned.onnx. */
  suffix(options: OptionValues): string;
  /** The same for the help, where one name does not say it. */
  readonly results?: string;
  /** What the model that it takes is to it, unless just that. */
  readonly takes?: string;
  /** That model may be named by --student as well; where nothing names one, it is the reference. */
  readonly takesStudent?: true;
  /** Options that name further files: those that are read, which the result must not overwrite, and those that are written, but by a dry run. */
  readonly reads?: readonly string[];
  readonly writes?: readonly string[];
  /** Command lines without the leading `pith`. */
  readonly examples: readonly string[];
  /** Whether what is pruned stays in the file as zeros. */
  storesZeros?(options: OptionValues): boolean;
  /** The command line to go on with, without the leading `pith`; a comment of a shell may follow. */
  next?(options: OptionValues, files: NextFiles): string | undefined;
}

/** Words of a command line, quoted for a shell. */
export interface NextFiles {
  readonly model: string;
  /** The original that the command was given beside the model. */
  readonly original: string | undefined;
  readonly written: string;
  /** The samples as they were given, else a word that stands for them. */
  readonly data: string;
  /** Whether weights of the result are floats, which can be trained. */
  readonly trainable: boolean;
  /** Whether samples showed that it keeps its goal. */
  readonly holds: boolean;
}

export interface PassDefinition<S extends v.GenericSchema, R extends Outcome> extends PassDescription {
  /** Declared once: command-line flags, JSON Schema and docs come from it. */
  readonly options: S;
  run(model: Model, options: v.InferOutput<S>, context: Context): Promise<R>;
}

/** The schema of a pass that takes none. */
export const noOptions = v.strictObject({});

type Arguments<I> =
  Record<never, never> extends I ? [options?: I, context?: Partial<Context>] : [options: I, context?: Partial<Context>];

export interface Pass<S extends v.GenericSchema = v.GenericSchema, R extends Outcome = Outcome>
  extends PassDescription {
  (model: Model, ...rest: Arguments<v.InferInput<S>>): Promise<R>;
  readonly options: S;
}

/** Any pass: it checks its options itself. */
export interface AnyPass extends PassDescription {
  (...rest: never[]): Promise<Outcome>;
  readonly options: v.GenericSchema;
}

/** Whether each pass is held to its contract: costly, so the tests switch it on. See `definePass`. */
export const contract = { checked: false };

/**
 * Makes a pass from its definition.
 *
 * Calling it checks the options first: E_OPTION names the option and what it accepts, or says that another pass is at work on the model. Nodes that it made say so in their metadata. Where
 * `contract.checked`, the result must verify, and a pass that reports no change must have changed nothing.
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
    const given = await openModels(options, parsed as OptionValues, context.open);
    // In a recipe the model that it began with is called just "original".
    if (description.reference === "original" && given.original === undefined)
      given.original = await context.open("original").catch((error: unknown) => void refusalIn(error));
    if (snapshots.has(model.graph) && outer[changing] !== model.graph)
      throw new PithError("E_OPTION", `${id}: another pass is changing this model.`, {
        hint: "Await the first pass. A pass that calls another passes its own context.",
      });
    const inside: Context & Inside = { ...context, [changing]: model.graph };
    const before = new Set(model.graph.nodes());
    const hash = contract.checked ? structureHash(model) : "";
    const faulty = contract.checked && verify(model).length > 0;
    const outcome = await atomically(model, () => run(model, given as v.InferOutput<S>, inside));
    for (const node of model.graph.nodes()) {
      if (!before.has(node) && !node.metadata.has(passKey)) node.metadata = new Map([...node.metadata, [passKey, id]]);
    }
    if (outcome.changes.length > 0) {
      if (definition.command !== undefined) clearNotes(model);
      settle(model);
    }
    if (contract.checked) checkContract(id, model, outcome, hash, faulty);
    return outcome;
  };
  return Object.assign(call, description);
}

/** In the context of a pass, which those that it calls are handed: the graph that it changes, so that they may. */
const changing = Symbol("changing");
type Inside = Partial<Context> & { readonly [changing]?: Graph };

/** States of graphs before the pass that is running: nested passes share them until one changes something. */
const snapshots = new WeakMap<Graph, GraphSnapshot>();

/** Runs work on a model, and restores the model if it throws, is stopped, or reports no change. */
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

/** What every function that changed a model ends with: a format that holds what is new, and types that say what is there now. */
export function settle(model: Model): void {
  leaveDefaults(model);
  nameApart(model);
  infer(model);
  restate(model);
}

/**
 * Leaves only what callers must feed among the inputs. Files up to IR 3 must list every stored tensor there; what a pass changes is written in IR 4.
 * In files from IR 4 on a stored tensor among the inputs is a default that callers may override. Passes take it for a constant, so no caller may
 * think that the result reads it.
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

/**
 * @throws PithError E_OPTION with the path of the first option that does not fit, what is accepted there, and for a mistyped name the nearest
 * that exists.
 */
export function parseOptions<S extends v.GenericSchema>(owner: string, schema: S, options: unknown): v.InferOutput<S> {
  const result = v.safeParse(schema, options, inWords);
  if (result.success) return result.output;
  const { path, part, sentence, hint } = misfitOf(schema, result.issues, { owner });
  // What the pass itself lacks says whose it is.
  const at = path.length === 0 ? "" : `"${path.join(".")}": `;
  const place = part === "key" && path.length === 1 ? "" : `${owner}: ${at}`;
  throw new PithError("E_OPTION", `${place}${sentence}.`, { hint });
}

/** Fills in what the caller left out: the installed ONNX Runtime, models opened from files, seed 0, silence. */
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
