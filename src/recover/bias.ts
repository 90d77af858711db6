/**
 * Bias correction (Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction", arXiv 1906.04721, in its
 * empirical form): what a technique did to a layer moved the mean of its outputs, and the bias takes that back,
 *
 *     b_c ← b_c + E[y_c] - E[y'_c]
 *
 * with y of the original and y' of the changed model on the same samples. Layers are taken in order, each behind those that are right already.
Where batch normalization follows, it takes the mean out.
 */

import { infer } from "../analysis/infer.ts";
import { counted } from "../evaluate/numbers.ts";
import { observe } from "../evaluate/observe.ts";
import { biased } from "./biased.ts";
import { layerIn, type Matched } from "./match.ts";
import { type Moments, momentsOf } from "./moments.ts";
import { shiftOutputs } from "./shift.ts";
import { type Edit, type Stage, statisticAt, walk } from "./stage.ts";
import type { Walk } from "./walk.ts";

export const correctBiases: Stage = {
  name: "bias",
  async run(trial, scope) {
    const { match, data, context } = scope;
    const layers = match.layers.filter(({ normalized }) => !normalized);
    const edits: Edit[] = [];
    if (layers.length === 0) return { edits, misses: [], what: "" };
    const axes = new Map(layers.map(({ original, axis }) => [original, axis]));
    const statistic = (name: string) => momentsOf(axes.get(name) ?? 1);
    const options = { signal: context.signal };
    const means = await observe(context.engine, match.original, data, [...axes.keys()], statistic, options);
    const way = await walk(trial, scope);
    for (const [index, matched] of layers.entries()) {
      if (scope.overdue()) break;
      context.progress(index, layers.length);
      const [wanted, found] = [means.get(matched.original), await momentsAt(way, matched)];
      if (wanted === undefined || found === undefined) continue;
      const shift = shiftBetween(wanted, found, matched);
      if (!isWorthIt(shift, found)) continue;
      const edit = shiftOutputs(matched, shift, context.engine);
      await edit(trial);
      edits.push(edit);
    }
    return { edits, misses: match.misses, what: counted(edits.length, "layer") };
  },
};

async function momentsAt(way: Walk, matched: Matched): Promise<Moments | undefined> {
  const inference = infer(way.model);
  const layer = layerIn(way.model, inference, matched);
  const output = layer === undefined ? undefined : biased(layer, inference)?.output;
  if (layer === undefined || output === undefined) return undefined;
  await way.reach(layer.node);
  return statisticAt(way, output.name, momentsOf(matched.axis));
}

function shiftBetween(wanted: Moments, found: Moments, { kept }: Matched): Float64Array {
  return found.mean.map((mean, channel) => (wanted.mean[kept?.[channel] ?? channel] ?? 0) - mean);
}

/** Shifts below the last digits of float32 are none. */
function isWorthIt(shift: Float64Array, { mean, variance }: Moments): boolean {
  return shift.some((own, channel) => {
    const size = Math.hypot(mean[channel] ?? 0, Math.sqrt(variance[channel] ?? 0));
    return Math.abs(own) > 1e-6 * size;
  });
}
