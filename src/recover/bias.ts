/**
 * Bias correction (Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction", arXiv 1906.04721, in its
 * empirical form): what a technique did to a layer moved the mean of its outputs, and the bias takes that back,
 *
 *     b_c ← b_c + E[y_c] - E[y'_c]
 *
 * with y of the original and y' of the changed model on the same samples. Layers are taken in order, each behind those that are right already.
Where batch normalization follows, it takes the mean out.
 */

import { biased } from "../analysis/biased.ts";
import { infer } from "../analysis/infer.ts";
import { layers as layersOf } from "../analysis/layers.ts";
import { channelMoments, type Moments } from "../calibrate/moments.ts";
import { observe } from "../calibrate/observe.ts";
import { counted } from "../evaluate/numbers.ts";
import type { LayerMatch } from "./match.ts";
import { shiftOutputs } from "./shift.ts";
import { type Stage, walk } from "./stage.ts";

export const correctBiases: Stage = {
  name: "bias",
  async run(model, scope) {
    const { match, data, context } = scope;
    const layers = match.layers.filter(({ normalized }) => !normalized);
    let changed = 0;
    if (layers.length === 0) return { changed, misses: [], what: "" };
    const answers = layers.map(({ original, axis }) => ({ name: original, axis }));
    const { engine, signal } = context;
    const means = await observe(engine, match.original, data, answers, channelMoments, { signal });
    const way = await walk(model, scope);
    const inference = infer(model);
    const all = layersOf(model, inference);
    for (const [index, matched] of layers.entries()) {
      if (scope.overdue()) break;
      context.progress(index, layers.length);
      const [wanted, layer] = [means.get(matched.original), all[matched.place]];
      const answer = layer === undefined ? undefined : biased(layer, inference);
      if (wanted === undefined || layer === undefined || answer === undefined) continue;
      // One number for a channel of several would be in the way of least squares, which fit them all.
      if (layer.role.outTaps !== undefined) continue;
      await way.reach(layer.node);
      const found = await way.observe({ name: answer.output.name, axis: matched.axis }, channelMoments);
      const shift = shiftBetween(wanted, found, matched);
      if (!isWorthIt(shift, found)) continue;
      await shiftOutputs(model, layer, answer.sum, shift, engine);
      changed++;
    }
    return { changed, misses: match.misses, what: counted(changed, "layer") };
  },
};

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
