import { infer } from "../../core/analysis/infer.ts";
import { allLayers, type Layer } from "../../core/analysis/layers.ts";
import { type Selection, selectLayers } from "../../core/analysis/selection.ts";
import { brokenNumbers } from "../../core/analysis/weight.ts";
import { Miss, PithError, throwIfAborted } from "../../core/errors.ts";
import type { Value } from "../../core/graph/graph.ts";
import type { Model } from "../../core/graph/model.ts";
import { channelRanges, sliceSteps, smallestScale } from "../../core/math/index.ts";
import type { Context, Outcome } from "../../core/pass/pass.ts";
import { toFloat32 } from "../../core/tensor/convert.ts";
import type { Dense } from "../../core/tensor/types.ts";
import { readStoredValue } from "../../rewrite/edit/stored.ts";
import { withEvidence } from "../calibrate/evidence.ts";
import { featuresOf } from "../calibrate/features.ts";
import type { Statistic } from "../calibrate/statistic.ts";
import { blocksKey, isNearest, scalesOf } from "./blocks.ts";
import { type BlockSettings, mostSteps } from "./grid.ts";
import { rounders } from "./rounders/index.ts";
import { inputsInRows } from "./sliced-weight.ts";
import { type RounderOptions, type RoundingSource, scaleAxis, weightMiss } from "./weight.ts";

/**
 * Runs a scheme without the layers in `known`, those whose inputs the rounding method cannot observe, and those whose values are
 * not finite or too small for any scale. Layers are checked before the model changes.
 * @param blocksOf the blocks of a layer's weight, if any; their scales are computed in the same reading.
 */
export async function roundLayers<O extends Selection & RounderOptions>(
  model: Model,
  options: O,
  context: Context,
  scheme: (options: O, evidence: RoundingSource) => Promise<Outcome>,
  known: ReadonlyMap<string, string> = new Map(),
  blocksOf: (layer: Layer) => BlockSettings | undefined = () => undefined,
): Promise<Outcome> {
  const { engine, signal } = context;
  const rounder = rounders.of(options.rounder);
  const reasons = new Map<Value, string | undefined>();
  const [ranges, blockScales]: [RoundingSource["ranges"], RoundingSource["blockScales"]] = [
    new WeakMap(),
    new WeakMap(),
  ];
  const misses: Miss[] = [];
  const chosen = selectLayers(allLayers(model, infer(model)), options);
  const unseen = new Set<string>();
  for (const layer of chosen) {
    if (weightMiss(layer) !== undefined) continue;
    const { effective, name } = layer;
    throwIfAborted(signal);
    if (!known.has(name) && !reasons.has(effective)) {
      const dense = await readStoredValue(model, effective, engine);
      const { tensor } = effective;
      const blocks = isNearest(rounder) ? blocksOf(layer) : undefined;
      if (blocks === undefined) {
        const axis = scaleAxis(layer);
        const found = channelRanges(dense, axis);
        reasons.set(effective, whyUnfit(dense, largestIn(found)));
        if (tensor !== undefined) ranges.set(tensor, { ...found, axis, ...stepsIn(dense, axis, found) });
      } else {
        const found = scalesOf(layer, dense, blocks);
        reasons.set(effective, whyUnfit(dense, found.largest));
        if (tensor !== undefined) blockScales.set(tensor, { ...found, of: blocksKey(layer, blocks) });
      }
    }
    const seen = rounder.evidence === undefined ? undefined : whyUnseen(layer, rounder.evidence, blocksOf(layer));
    if (seen !== undefined) unseen.add(name);
    const reason = known.get(name) ?? reasons.get(effective) ?? (rounder.blind === true ? undefined : seen);
    if (reason !== undefined) misses.push(new Miss(reason, name));
  }
  const unfit = new Set(misses.flatMap(({ at }) => at ?? []));
  const rounded = new Set(chosen.flatMap(({ name }) => (unfit.has(name) ? [] : name)));
  const fit = misses.length === 0 ? options : { ...options, unfit };
  const outcome = await withEvidence(model, "rounder", rounder, options, context, (knownOf) =>
    scheme(fit, {
      rounder,
      ranges,
      blockScales,
      async knownOf(layer) {
        const { name } = layer;
        const isObserved = ({ name: own }: Layer): boolean => (own === name || rounded.has(own)) && !unseen.has(own);
        let known = await knownOf(layer, isObserved);
        if (known instanceof Miss && rounder.blind === true && !unseen.has(name)) {
          unseen.add(name);
          const text = `layer "${name}" is rounded without samples: ${known.reason}`;
          context.log({ id: "samples", text, level: "warning" });
          known = await knownOf(layer, isObserved);
        }
        if (known instanceof Miss) throw new PithError("E_UNSUPPORTED", `Layer "${name}": ${known.reason}.`);
        return known;
      },
    }),
  );
  return misses.length === 0 ? outcome : { ...outcome, misses: [...misses, ...outcome.misses] };
}

function whyUnseen(layer: Layer, evidence: Statistic<unknown>, blocks: BlockSettings | undefined): string | undefined {
  const seen = featuresOf(layer, evidence);
  if (seen instanceof Miss) return seen.reason;
  return blocks === undefined || inputsInRows(layer) ? undefined : "its blocks would cross its inputs";
}

function stepsIn(dense: Dense, axis: number, found: ReturnType<typeof channelRanges>) {
  const steps = sliceSteps(dense, axis, found, mostSteps);
  const isOnGrid = steps.every((count, slice) => count > 0 || (found.min[slice] === 0 && found.max[slice] === 0));
  const [allSteps = 0] = isOnGrid ? sliceSteps(dense, undefined, channelRanges(dense, undefined), mostSteps) : [];
  return { steps, allSteps };
}

const largestIn = ({ min, max }: ReturnType<typeof channelRanges>): number =>
  Math.max(
    -min.reduce((a, b) => Math.min(a, b), 0),
    max.reduce((a, b) => Math.max(a, b), 0),
  );

function whyUnfit(dense: Dense, largest: number): string | undefined {
  if (!Number.isFinite(largest)) {
    const broken = brokenNumbers(toFloat32(dense));
    return `its weight ${broken}${dense.type === "float64" ? " in float32" : ""}`;
  }
  if (largest === 0 || largest >= 127 * smallestScale) return undefined;
  return `its weight is at most ${largest.toExponential(1)}: too small for a float32 scale`;
}
