/** The work of the pass `prune`, which is loaded when it runs. */
import { allLayers, hasFloatWeights, infer, isQuantized, type Layer } from "#analysis";
import { Miss, type Model, optionError } from "#ir";
import type { Context, OptionValues, Outcome } from "#pass";
import type { Pattern } from "../calibrate/solver.ts";
import type { Allocation } from "./allocation.ts";
import { allocations, uniform } from "./allocations.ts";
import { allocateAmounts, warnOfNarrowLayers } from "./amounts.ts";
import { criteria, magnitude } from "./criteria.ts";
import { type Scorer, scorerOf } from "./importance.ts";
import { costBounds, type PruneSettings } from "./options.ts";
import { entriesId, patternOf } from "./pattern.ts";
import { pruneByScores, pruneBySolver } from "./prune-entries.ts";
import { foldMasks, isPruned } from "./remove.ts";
import { solvers } from "./solvers.ts";

export async function runPrune(model: Model, options: PruneSettings, context: Context): Promise<Outcome> {
  const { dropLayers: layersToDrop, data, samples } = options;
  requireMasks(model, options);
  const inference = infer(model);
  const removesLayersOrChannels = layersToDrop !== undefined || options.structured !== false;
  if (removesLayersOrChannels && allLayers(model, inference).some(isQuantized) && !hasFloatWeights(model, inference))
    context.log({ id: "order", text: codesFirst, level: "warning" });
  if (layersToDrop !== undefined) {
    const { dropLayers } = await import("./drop-layers.ts");
    return dropLayers(model, layersToDrop, { data, samples }, context);
  }
  const criterion = options.importance === undefined ? magnitude : criteria.of(options.importance);
  const pattern = patternOf(options.pattern ?? criterion.pattern);
  const share = typeof options.structured === "number" ? options.structured : (options.amount ?? pattern?.share);
  const [kind] = costBounds(options);
  if (share === undefined && kind === undefined)
    throw optionError(`prune: "amount": the pattern "${pattern?.id ?? entriesId}" requires one, for example 0.5.`);
  if (share === 0 && options.overrides === undefined)
    return { changes: [], misses: [new Miss("an amount of 0 prunes nothing")] };
  const scope = options.scope === undefined ? undefined : allocations.of(options.scope);
  const cutChannels = async (): Promise<Outcome> => {
    const { pruneStructured } = await import("./structured.ts");
    const bound = kind && { kind, value: options[kind] ?? 0 };
    return pruneStructured(model, { ...options, scope, amount: share ?? bound ?? 0 }, context);
  };
  const outcome =
    options.structured === false
      ? await pruneUnstructured(model, { ...options, scope: scope ?? uniform, amount: share ?? 0, pattern }, context)
      : await cutChannels();
  if (!options.keepMasks && outcome.changes.length > 0 && isPruned(model)) await foldMasks(model);
  return outcome;
}

/** @throws PithError if the model has no masks to keep, or no layers that can be dropped. */
export async function requirePrunable(model: Model, options: OptionValues): Promise<void> {
  requireMasks(model, options);
  if (typeof options.dropLayers !== "number") return;
  const { removableLayers } = await import("./drop-layers.ts");
  removableLayers(model.clone(), options.dropLayers);
}

const codesFirst =
  "the weights are quantized, so the loss cannot be recovered later. Prune the float model, recover it, and quantize last";

/** Structured pruning adds no masks, so with it, `keepMasks` only keeps those that the model has. @throws PithError E_OPTION if both are set and the model has none. */
function requireMasks(
  model: Model,
  { structured = false, keepMasks = false }: { readonly structured?: unknown; readonly keepMasks?: unknown },
): void {
  if (structured === false || keepMasks === false || isPruned(model)) return;
  throw optionError("prune: `keepMasks` with `structured`: the model has no masks to keep.", {
    hint: "Channels are removed, not masked: omit `keepMasks`.",
  });
}

function pruneUnstructured(
  model: Model,
  {
    amount,
    scope,
    maxLayerAmount,
    layers: layerNames,
    except,
    overrides = {},
    keepMasks,
    pattern,
    solver,
    ...scoring
  }: Omit<PruneSettings, "pattern" | "scope"> & {
    readonly amount: number;
    readonly scope: Allocation;
    readonly pattern: Pattern | undefined;
  },
  context: Context,
): Promise<Outcome> {
  const scorerFor = (layers: readonly Layer[]): Promise<Scorer> => scorerOf(model, layers, scoring, context);
  const choice = { layers: layerNames, except, overrides, keepMasks };
  const amountsFor = allocateAmounts({
    allocation: scope,
    amount,
    overrides,
    maxLayerAmount,
    onSpread: (layers, share) => warnOfNarrowLayers(layers, share, "weights", context),
  });
  const chosenSolver = solver === undefined ? undefined : solvers.of(solver);
  if (chosenSolver === undefined && pattern === undefined) return pruneByScores(model, choice, amountsFor, scorerFor);
  return pruneBySolver(model, { ...choice, ...scoring, solver: chosenSolver, pattern }, amountsFor, scorerFor, context);
}
