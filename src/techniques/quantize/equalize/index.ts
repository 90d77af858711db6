/** Tries transformations that make channels easier to quantize, in a fixed order. */
import { draw } from "#batches";
import type { Model } from "#ir";
import type { Change, Context } from "#pass";
import { trainPart } from "../../../data/sources/open.ts";
import { type NoiseMeter, noiseMeter } from "../../shared/noise-trials.ts";
import { rounders } from "../rounders/index.ts";
import { mse } from "../rounders/mse.ts";
import type { RoundedSettings } from "../settings.ts";
import { absorbBiases } from "./absorb-biases.ts";
import { awq } from "./awq.ts";
import { crossLayer } from "./cross-layer.ts";
import { smoothQuant } from "./smooth-quant.ts";

/** @param quantizeBy quantizes a model in place. */
export async function equalize(
  model: Model,
  options: RoundedSettings,
  quantizeBy: QuantizeBy,
  context: Context,
): Promise<readonly Change[]> {
  const noise = outputNoise(model, options, quantizeBy, context);
  const changes: Change[] = [];
  for (const { suits, apply } of equalizations)
    if (suits(options)) changes.push(...(await apply(model, options, context, noise)));
  return changes;
}

type QuantizeBy = (options: RoundedSettings, model: Model, context: Context) => Promise<unknown>;

export interface Equalization {
  suits(options: RoundedSettings): boolean;
  /** Transforms the model in place if that lowers the error. */
  apply(model: Model, options: RoundedSettings, context: Context, noise: NoiseMeter): Promise<readonly Change[]>;
}

const maxNoiseSamples = 32;

function outputNoise(model: Model, options: RoundedSettings, quantizeBy: QuantizeBy, context: Context): NoiseMeter {
  const original = model.clone();
  const { phase: _, ...quietContext } = context;
  const { data, rounder } = options;
  const samples = async () =>
    data === undefined ? undefined : draw(await trainPart(data), maxNoiseSamples, context.seed);
  const measure = noiseMeter(original, samples, context, maxNoiseSamples);
  const trialSettings: RoundedSettings = {
    ...options,
    equalize: false,
    biasCorrection: "none",
    // Compensating methods would run again for each candidate, which takes too long.
    rounder: rounders.looksAtSamples(rounder) ? mse.id : rounder,
    samples: Math.min(options.samples, maxNoiseSamples),
  };
  return async (candidate) => {
    const copy = candidate.clone();
    await quantizeBy(trialSettings, copy, {
      ...quietContext,
      log: () => {},
      progress: () => {},
      intermediates: undefined,
    });
    return measure(copy);
  };
}

/** Each transformation starts from the result of the previous ones. */
const equalizations: readonly Equalization[] = [crossLayer, absorbBiases, smoothQuant, awq];
