/** Runs passes: checks their options, restores the model after a failure, and completes the changed graph. */
import type * as v from "valibot";
import type { Graph, GraphSnapshot, Model } from "#graph";
import {
  asPithError,
  graphSnapshot,
  makeNamesDistinct,
  optionError,
  passKey,
  removeUnused,
  snapshot,
  structureHash,
  verify,
} from "#graph";
import { infer } from "../analysis/infer.ts";
import { updateStatedTypes } from "../analysis/stale-types.ts";
import { createEngine } from "../engine/index.ts";
import { open } from "../onnx/index.ts";
import { removeExporterMetadata } from "./exporter-metadata.ts";
import { parseOptions } from "./option-errors.ts";
import type { Context, OptionValues, Outcome, PassDefinition } from "./pass.ts";
import { openModules, openOptionModels } from "./path-options.ts";

/** Whether passes check their contract (see `definePass`). The check is slow, so only tests enable it. */
export const contract = { checked: false };

export async function runPass<S extends v.GenericSchema, R extends Outcome>(
  definition: PassDefinition<S, R>,
  model: Model,
  values: OptionValues,
  outer: NestedContext,
): Promise<R> {
  const { id, options, reference, run } = definition;
  if (typeof (model as Partial<Model> | undefined)?.graph !== "object")
    throw optionError(`${id} takes a model, as open() gives it, got ${typeof model}.`);
  const parsedOptions = parseOptions(id, options, await openModules(id, options, values));
  const context = completeContext(outer);
  const openedOptions = await openOptionModels(options, parsedOptions as OptionValues, context.open);
  // In a recipe, the name "original" stands for the recipe's input model.
  if (reference === "original" && openedOptions.original === undefined)
    openedOptions.original = await context.open("original").catch((error: unknown) => void asPithError(error));
  if (snapshots.has(model.graph) && outer[changing] !== model.graph)
    throw optionError(`${id}: another pass is changing this model.`, {
      hint: "Await the first pass. A pass that calls another passes its own context.",
    });
  const inside: Context & NestedContext = { ...context, [changing]: model.graph };
  const before = new Set(model.graph.nodes());
  const hash = contract.checked ? structureHash(model) : "";
  const faulty = contract.checked && verify(model).length > 0;
  const outcome = await atomically(model, () => run(model, openedOptions as v.InferOutput<S>, inside));
  for (const node of model.graph.nodes()) {
    if (!before.has(node) && !node.metadata.has(passKey)) node.metadata = new Map([...node.metadata, [passKey, id]]);
  }
  if (outcome.changes.length > 0) {
    if (definition.removesNotes) removeExporterMetadata(model);
    removeDefaultInputs(model);
    makeNamesDistinct(model);
    infer(model);
    updateStatedTypes(model);
  }
  if (contract.checked) checkContract(id, model, outcome, hash, faulty);
  return outcome;
}

/** The context key for the graph that an outer pass is changing. */
const changing = Symbol("changing");
type NestedContext = Partial<Context> & { readonly [changing]?: Graph };

/** The graph state before the running pass. */
const snapshots = new WeakMap<Graph, GraphSnapshot>();

/** Runs work on a model. Restores the model if the work throws, is aborted, or reports no change. */
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

/** Removes stored tensors from the inputs. Up to IR version 3 they are weights; later, overridable defaults, which passes treat as constants. */
function removeDefaultInputs(model: Model): void {
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

export function completeContext(context: Partial<Context> = {}): Context {
  return {
    engine: context.engine ?? createEngine(),
    seed: context.seed ?? 0,
    signal: context.signal ?? new AbortController().signal,
    dryRun: context.dryRun,
    log: context.log ?? (() => {}),
    progress: context.progress ?? (() => {}),
    open: context.open ?? open,
    intermediates: context.intermediates,
    renderTemplate: context.renderTemplate,
    ...(context.phase && { phase: context.phase }),
    ...(context.beforeTraining && { beforeTraining: context.beforeTraining }),
  };
}
