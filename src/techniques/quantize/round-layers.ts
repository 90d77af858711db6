/** Selects the layers to round, measures their weights, and collects what their rounding method requires. */
import { allLayers, describeNonFinite, infer, type Layer, type Selection, selectLayers } from "#analysis";
import {
  type Dense,
  getOrAdd,
  inMemory,
  Miss,
  type Model,
  throwIfAborted,
  toFloat32,
  unsupportedError,
  type Value,
} from "#ir";
import type { Context, Outcome } from "#pass";
import { tensorHash } from "../../rewrite/clean-up/merge-initializers.ts";
import { readStoredValue } from "../../rewrite/edit/stored-values.ts";
import { withEvidence } from "../calibrate/layer-evidence.ts";
import { featuresOf } from "../calibrate/layer-features.ts";
import type { LayerContext } from "../calibrate/solver.ts";
import type { Statistic } from "../calibrate/statistic.ts";
import { smallestScale } from "../shared/affine-codes.ts";
import { measureBlocks } from "./formats/weight-blocks.ts";
import { type BlockSettings, inputsInRows } from "./grid.ts";
import { weightMiss } from "./quantizable.ts";
import { rounders } from "./rounders/index.ts";
import type { MeasuredWeight, RounderOptions, RoundingSource } from "./weights/rounding-source.ts";
import { rangesOf } from "./weights/weight-scales.ts";
import { scaleAxis } from "./weights/weight-settings.ts";

/** Runs a scheme on the layers that can be rounded; the others become misses. @param exclusions reasons by layer name. */
export async function roundLayers<O extends Selection & RounderOptions>(
  model: Model,
  options: O,
  context: Context,
  scheme: (options: O, source: RoundingSource) => Promise<Outcome>,
  exclusions: ReadonlyMap<string, string> = new Map(),
  blocksOf: (layer: Layer) => BlockSettings | undefined = () => undefined,
): Promise<Outcome> {
  const rounder = rounders.of(options.rounder);
  const { evidence } = rounder;
  const measured: RoundingSource["measured"] = new WeakMap();
  const reasons = new Map<Value, string | undefined>();
  const misses: Miss[] = [];
  const selectedLayers = selectLayers(allLayers(model, infer(model)), options);
  const unobservedNames = new Set<string>();
  for (const layer of selectedLayers) {
    if (weightMiss(layer) !== undefined) continue;
    const { effective, name } = layer;
    throwIfAborted(context.signal);
    if (!exclusions.has(name) && !reasons.has(effective)) {
      const dense = await readStoredValue(model, effective, context.engine);
      const { largest, ...measurement } = measureWeight(layer, dense, blocksOf(layer));
      reasons.set(effective, explainUnfitWeight(dense, largest));
      if (effective.tensor !== undefined) measured.set(effective.tensor, measurement);
    }
    const unobservedReason = evidence === undefined ? undefined : explainUnobserved(layer, evidence, blocksOf(layer));
    if (unobservedReason !== undefined) unobservedNames.add(name);
    const reason =
      exclusions.get(name) ?? reasons.get(effective) ?? (rounder.blind === true ? undefined : unobservedReason);
    if (reason !== undefined) misses.push(new Miss(reason, name));
  }
  const unfit = new Set(misses.flatMap(({ at }) => at ?? []));
  const roundedNames = new Set(selectedLayers.flatMap(({ name }) => (unfit.has(name) ? [] : name)));
  const fitOptions = misses.length === 0 ? options : { ...options, unfit };
  const { intermediates: keptResults } = context;
  const settings = JSON.stringify({ ...options, data: undefined, overrides: undefined, rounder: rounder.id });
  const outcome = await withEvidence(model, "rounder", rounder, options, context, (observe) => {
    const contextOf = async (layer: Layer): Promise<LayerContext> => {
      const { name } = layer;
      const isObserved = ({ name: other }: Layer): boolean =>
        (other === name || roundedNames.has(other)) && !unobservedNames.has(other);
      let contextOrMiss = await observe(layer, isObserved);
      if (contextOrMiss instanceof Miss && rounder.blind === true && !unobservedNames.has(name)) {
        unobservedNames.add(name);
        const text = `layer "${name}" is rounded without samples: ${contextOrMiss.reason}`;
        context.log({ id: "samples", text, level: "warning" });
        contextOrMiss = await observe(layer, isObserved);
      }
      if (contextOrMiss instanceof Miss) throw unsupportedError(`${contextOrMiss.reason}.`, { at: `Layer "${name}"` });
      return contextOrMiss;
    };
    return scheme(fitOptions, {
      model,
      context,
      rounder,
      measured,
      contextOf,
      async roundOnce<T>(layer: Layer, weight: Dense, form: object, round: (context: LayerContext) => Promise<T>) {
        const work = async (): Promise<T> => round(await contextOf(layer));
        if (keptResults === undefined) return work();
        const key = [settings, layer.name, JSON.stringify(form), await tensorHash(inMemory(weight))].join();
        return getOrAdd(keptResults, key, work) as Promise<T>;
      },
    });
  });
  return misses.length === 0 ? outcome : { ...outcome, misses: [...misses, ...outcome.misses] };
}

function explainUnobserved(
  layer: Layer,
  evidence: Statistic<unknown>,
  blocks: BlockSettings | undefined,
): string | undefined {
  const features = featuresOf(layer, evidence);
  if (features instanceof Miss) return features.reason;
  return blocks === undefined || inputsInRows(layer) ? undefined : "its blocks would cross its inputs";
}

function measureWeight(
  layer: Layer,
  dense: Dense,
  blocks: BlockSettings | undefined,
): MeasuredWeight & { readonly largest: number } {
  if (blocks !== undefined) return measureBlocks(layer, dense, blocks);
  const axis = scaleAxis(layer);
  const all = rangesOf(dense, undefined);
  const largest = all.reduce((maximum, { min, max }) => Math.max(maximum, -min, max), 0);
  return {
    largest,
    ranges: new Map([
      [axis, rangesOf(dense, axis)],
      [undefined, all],
    ]),
  };
}

function explainUnfitWeight(dense: Dense, largest: number): string | undefined {
  if (!Number.isFinite(largest)) {
    const nonFiniteText = describeNonFinite(toFloat32(dense));
    return `its weight ${nonFiniteText}${dense.type === "float64" ? " in float32" : ""}`;
  }
  if (largest === 0 || largest >= 127 * smallestScale) return undefined;
  return `its weight is at most ${largest.toExponential(1)}: too small for a float32 scale`;
}
