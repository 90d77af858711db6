/**
 * Bias correction (Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction", arXiv 1906.04721, in its
 * empirical form): what a technique did to a layer moved the mean of its outputs, and the bias takes that back,
 *
 *     b_c ← b_c + E[y_c] - E[y'_c]                 full: y of the original, y' of the changed model
 *     b_c ← b_c + Σ_i (w_ci - w'_ci) · E[x_i]      fast: both weights on what comes into the original's layer
 *
 * on the same samples. In full layers are taken in order, each behind those that are right already, which takes back what rounded activations moved, too.
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
import type { LayerMatch, Match } from "./match.ts";
import { channelMoments, type Moments } from "./moments.ts";
import { observe } from "./observe.ts";
import { shiftOutputs } from "./shift.ts";

export interface BiasCorrection {
  readonly match: Match;
  readonly context: Pick<Context, "engine" | "signal" | "progress">;
  /** Those before a batch normalization, too: with statistics that stay it hands means on (false). */
  readonly normalized?: boolean;
  readonly except?: (layer: Layer) => boolean;
  /** Whether the time that was given is over. */
  readonly overdue?: () => boolean;
}

type Correct = (matched: LayerMatch, layer: Layer) => Promise<Float64Array | undefined>;

/** Corrects by the means of outputs. @param walk begins a walk through the model. @returns how many layers changed. */
export async function correctBiases(
  model: Model,
  data: Dataset,
  walk: () => Promise<Calibration>,
  correction: BiasCorrection,
): Promise<number> {
  const { match, context } = correction;
  const { engine, signal } = context;
  const matches = correctable(correction);
  if (matches.length === 0) return 0;
  const answers = matches.map(({ original, axis }) => ({ name: original, axis }));
  const means = await observe(engine, match.original, data, answers, channelMoments, { signal });
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

/** Corrects by the means of what comes into the original's layers. @param walk begins a walk through the original. @returns how many layers changed. */
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
    // One number for a channel of several would be in the way of least squares, which fit them all.
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

/** Shifts below the last digits of float32 are none. */
function isWorthIt(shift: Float64Array, { mean, variance }: Moments): boolean {
  return shift.some((own, channel) => {
    const size = Math.hypot(mean[channel] ?? 0, Math.sqrt(variance[channel] ?? 0));
    return Math.abs(own) > 1e-6 * size;
  });
}
