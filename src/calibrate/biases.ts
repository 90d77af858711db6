/**
 * Bias correction (Nagel et al. 2019, arXiv 1906.04721, empirical form): compensates the mean shift of a layer's outputs,
 *
 *     b_c ← b_c + E[y_c] - E[y'_c]                 full: y of the original, y' of the changed model
 *     b_c ← b_c + Σ_i (w_ci - w'_ci) · E[x_i]      fast: both weights on the original's layer inputs
 *
 * on the same samples. "Full" corrects layers in order, which also compensates for quantized activations.
 */
import { biased } from "../analysis/biased.ts";
import { infer } from "../analysis/infer.ts";
import { type Layer, layers as layersOf } from "../analysis/layers.ts";
import type { Dataset } from "../data/types.ts";
import { Miss } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/pass.ts";
import { readMatrices } from "../passes/weight-numbers.ts";
import type { Calibration } from "./calibration.ts";
import { type KeptSamples, observeOnce } from "./kept.ts";
import type { LayerMatch, Match } from "./match.ts";
import { channelMoments, type Moments } from "./moments.ts";
import { shiftOutputs } from "./shift.ts";

export interface BiasCorrection {
  readonly match: Match;
  readonly context: Pick<Context, "engine" | "signal" | "progress">;
  /** Include layers before a batch normalization; only with fixed statistics does it pass means on (false). */
  readonly normalized?: boolean;
  readonly except?: (layer: Layer) => boolean;
  readonly overdue?: () => boolean;
  /** Keeps the means of the original for other corrections with the same samples. */
  readonly kept?: KeptSamples;
}

type Correct = (matched: LayerMatch, layer: Layer) => Promise<Float64Array | undefined>;

/** @param walk starts a calibration of the model. @returns the number of changed layers. */
export async function correctBiases(
  model: Model,
  data: Dataset,
  walk: () => Promise<Calibration>,
  correction: BiasCorrection,
): Promise<number> {
  const { match, context, kept = { of: data, setting: "means of the original" } } = correction;
  const { engine, signal } = context;
  const matches = correctable(correction);
  if (matches.length === 0) return 0;
  const answers = matches.map(({ original, axis }) => ({ name: original, axis }));
  const means = await observeOnce(engine, match.original, kept, answers, channelMoments, { signal });
  const way = await walk();
  const inference = infer(model);
  return eachLayer(model, correction, async (matched, layer) => {
    const [wanted, answer] = [means.get(matched.original), biased(layer, inference)];
    if (wanted === undefined || answer === undefined) return undefined;
    await way.reach(layer.node);
    const found = await way.observe({ name: answer.output.name, axis: matched.axis }, channelMoments);
    const shift = shiftBetween(wanted, found, matched);
    return isWorthIt(shift, found) ? shift : undefined;
  });
}

/** @param walk starts a calibration of the original. @returns the number of changed layers. */
export async function correctBiasesFast(
  model: Model,
  walk: (original: Model) => Promise<Calibration>,
  correction: BiasCorrection,
): Promise<number> {
  const { original } = correction.match;
  const { engine } = correction.context;
  const originals = layersOf(original, infer(original));
  const way = await walk(original);
  return eachLayer(model, correction, async ({ counterpart, kept }, layer) => {
    const same = originals[counterpart];
    if (same === undefined || kept !== undefined || same.role.stack !== undefined) return undefined;
    const seen = await way.collect(same, channelMoments);
    const [before, after] = [await readMatrices(original, same, engine), await readMatrices(model, layer, engine)];
    if (seen instanceof Miss || before instanceof Miss || after instanceof Miss) return undefined;
    const shift = before.flatMap(({ rows, columns, data }, group) => {
      const other = after[group]?.data;
      return Array.from({ length: rows }, (_, row) => {
        let sum = 0;
        for (let column = 0, at = row * columns; column < columns; column++, at++)
          sum += ((data[at] ?? 0) - (other?.[at] ?? 0)) * (seen.mean[group * columns + column] ?? 0);
        return sum;
      });
    });
    return shift.every((own) => own === 0) ? undefined : Float64Array.from(shift);
  });
}

async function eachLayer(model: Model, correction: BiasCorrection, correct: Correct): Promise<number> {
  const { context, except, overdue } = correction;
  const matches = correctable(correction);
  const inference = infer(model);
  const all = layersOf(model, inference);
  let changed = 0;
  for (const [index, matched] of matches.entries()) {
    if (overdue?.() === true) break;
    context.progress(index, matches.length);
    const layer = all[matched.place];
    // One bias per channel would interfere with least squares, which fits all taps of such a layer.
    if (layer === undefined || layer.role.outTaps !== undefined || except?.(layer) === true) continue;
    const answer = biased(layer, inference);
    const shift = answer && (await correct(matched, layer));
    if (answer === undefined || shift === undefined) continue;
    await shiftOutputs(model, layer, answer.sum, shift, context.engine);
    changed++;
  }
  return changed;
}

const correctable = ({ match, normalized = false }: BiasCorrection): readonly LayerMatch[] =>
  match.layers.filter((layer) => normalized || !layer.normalized);

function shiftBetween(wanted: Moments, found: Moments, { kept }: LayerMatch): Float64Array {
  return found.mean.map((mean, channel) => (wanted.mean[kept?.[channel] ?? channel] ?? 0) - mean);
}

/** Shifts below float32 resolution are ignored. */
function isWorthIt(shift: Float64Array, { mean, variance }: Moments): boolean {
  return shift.some((own, channel) => {
    const size = Math.hypot(mean[channel] ?? 0, Math.sqrt(variance[channel] ?? 0));
    return Math.abs(own) > 1e-6 * size;
  });
}
