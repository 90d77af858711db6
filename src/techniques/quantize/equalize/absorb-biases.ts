/**
 * Bias absorption (Nagel et al. 2019, arXiv 1906.04721, 4.1.3). A channel that is never near 0 wastes quantized values. Before a rectifier,
 *
 *     c_u = max(0, mean(x_u) - 3 σ(x_u))
 *
 * is subtracted from the bias of the layer that computes x, and W · c is added to the biases of the next layers.
 */
import type { Inference, Layer, ScaleGroup } from "#analysis";
import { biasedOutput, infer, layers, scaleGroups, selectLayers, weightMatrices } from "#analysis";
import { type Model, throwIfAborted, toFloat64 } from "#ir";
import { type Change, type Context, scaledKind } from "#pass";
import { trainPart } from "../../../data/sources/open.ts";
import { readStoredValue } from "../../../rewrite/edit/stored-values.ts";
import { addOutputBias } from "../../calibrate/add-output-bias.ts";
import { channelMoments, type Moments } from "../../calibrate/column-statistics.ts";
import { observeOnce } from "../../calibrate/statistics-cache.ts";
import { createTrials } from "../../shared/noise-trials.ts";
import type { RoundedSettings } from "../settings.ts";
import type { Equalization } from "./index.ts";

/** Minimum share by which a range must shrink to justify a trial. */
const minShrink = 0.1;
const maxTrials = 8;
const minGain = 0.05;
const maxSamples = 32;

/** A layer, the layers that read its channels, and the group of all tensors with these channels. */
interface LayerAndReaders {
  readonly layer: Layer;
  readonly readers: readonly Layer[];
  readonly group: ScaleGroup;
}

export const absorbBiases: Equalization = {
  suits: ({ scheme, data }) => scheme === "static" && data !== undefined,
  async apply(model, options, context, noise) {
    const candidates = await findCandidates(model, options, context);
    const changes: Change[] = [];
    const trial = createTrials(model, noise, minGain);
    for (const { pair, moments } of candidates) {
      throwIfAborted(context.signal, "Stopped on request.");
      const gain = await trial(async () => {
        await absorb(model, pair, minimumsOf(moments), context);
        return true;
      });
      if (gain === undefined) continue;
      const text = `channel minimums absorbed into the next biases: ${gain}`;
      changes.push({ at: pair.layer.name, what: text, kind: scaledKind, decidedBy: "global" });
    }
    return changes;
  },
};

/** Returns c_u of each channel. */
const minimumsOf = ({ mean, variance }: Moments): Float64Array =>
  mean.map((channelMean, channel) => Math.max(0, channelMean - 3 * Math.sqrt(variance[channel] ?? 0)));

/** Returns the pairs whose ranges shrink most. */
async function findCandidates(model: Model, options: RoundedSettings, { engine, seed, signal }: Context) {
  const { data, samples } = options;
  const inference = infer(model);
  const pairs = new Map(
    layersWithReaders(model, options, inference).flatMap((pair) => {
      const output = biasedOutput(pair.layer, inference)?.output;
      return output === undefined ? [] : [[output.name, pair] as const];
    }),
  );
  if (data === undefined || pairs.size === 0) return [];
  const outputs = [...pairs].map(([name, { layer }]) => ({ name, axis: layer.role.outputAxis }));
  const order = { samples: Math.min(samples, maxSamples), shuffle: seed, signal, optimize: true };
  const trainData = await trainPart(data);
  const cacheKey = { dataset: trainData, setting: `moments on ${order.samples} samples, seed ${seed}` };
  const momentsByName = await observeOnce(engine, model, cacheKey, outputs, channelMoments, order);
  return [...pairs]
    .flatMap(([name, pair]) => {
      const moments = momentsByName.get(name);
      return moments === undefined ? [] : [{ pair, moments, shrink: shrinkOf(moments) }];
    })
    .filter(({ shrink }) => shrink >= minShrink)
    .toSorted((a, b) => b.shrink - a.shrink)
    .slice(0, maxTrials);
}

function shrinkOf(moments: Moments): number {
  const minimums = minimumsOf(moments);
  let [before, after] = [0, 0];
  moments.mean.forEach((mean, channel) => {
    const top = mean + 3 * Math.sqrt(moments.variance[channel] ?? 0);
    before = Math.max(before, top);
    after = Math.max(after, top - (minimums[channel] ?? 0));
  });
  return before === 0 ? 0 : 1 - after / before;
}

function layersWithReaders(model: Model, options: RoundedSettings, inference: Inference): readonly LayerAndReaders[] {
  const all = layers(model, inference);
  const selectedLayers = new Set(selectLayers(all, options));
  const productLayers = all.filter(
    ({ role }) => role.groups === 1 && role.stack === undefined && role.kind !== "lookup",
  );
  return scaleGroups(model, inference).flatMap((group): LayerAndReaders | [] => {
    const [start] = group.starts;
    const layer = productLayers.find(
      ({ node, role }) => node.outputs[0] === start?.value && role.outputAxis === start?.axis,
    );
    if (layer === undefined || group.starts.length > 1 || !selectedLayers.has(layer) || group.refused.size > 0)
      return [];
    const readSlices = group.slices.filter(({ power }) => power === -1);
    const readers = readSlices.flatMap(({ value, axis }) =>
      productLayers.filter(({ effective, role }) => effective === value && role.in === axis),
    );
    return readers.length === readSlices.length && readers.length > 0 ? { layer, readers, group } : [];
  });
}

async function absorb(
  model: Model,
  { layer, readers, group }: LayerAndReaders,
  minimums: Float64Array,
  { engine }: Context,
): Promise<void> {
  const inference = infer(model);
  const outputs = group.slices.find(({ value, axis }) => value === layer.effective && axis === layer.role.out);
  const minimumOf = new Float64Array(group.units);
  outputs?.unitOf.forEach((unit, channel) => {
    if (unit >= 0) minimumOf[unit] = minimums[channel] ?? 0;
  });
  for (const reader of readers) {
    const { effective, role } = reader;
    const dense = await readStoredValue(model, effective, engine);
    const [weight] = weightMatrices(role, dense.dims, toFloat64(dense));
    const unitOf = group.slices.find(({ value, axis }) => value === effective && axis === role.in)?.unitOf;
    if (weight === undefined || unitOf === undefined) continue;
    const taps = weight.columns / unitOf.length;
    const shift = new Float64Array(weight.rows);
    weight.data.forEach((value, index) => {
      const unit = unitOf[Math.floor((index % weight.columns) / taps)] ?? -1;
      const row = Math.floor(index / weight.columns);
      shift[row] = (shift[row] ?? 0) + value * (minimumOf[unit] ?? 0);
    });
    await addOutputBias(model, reader, biasedOutput(reader, inference)?.bias, shift);
  }
  const negatedMinimums = minimums.map((minimum) => -minimum);
  await addOutputBias(model, layer, biasedOutput(layer, inference)?.bias, negatedMinimums);
  model.graph.touch();
}
