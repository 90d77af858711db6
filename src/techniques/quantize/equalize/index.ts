import { infer } from "../../../core/analysis/infer.ts";
import { Miss, throwIfAborted } from "../../../core/errors.ts";
import type { Model } from "../../../core/graph/model.ts";
import { type Change, type Context, scaledKind } from "../../../core/pass/pass.ts";
import { draw } from "../../../data/batches/select.ts";
import { trainPart } from "../../../data/sources/open.ts";
import { rotate, rotationStreams } from "../../../rewrite/edit/rotate.ts";
import { type NoiseMeter, noiseMeter } from "../../../runtime/noise/answer-noise.ts";
import { createTrials } from "../../../runtime/noise/noise-trials.ts";
import { rounders } from "../rounders/index.ts";
import { mse } from "../rounders/mse.ts";
import { everySetting, type RoundedSettings } from "../settings.ts";
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
  const noise = answerNoise(model, options, quantizeBy, context);
  const changes: Change[] = [];
  for (const { suits, move } of transformations)
    if (suits(options)) changes.push(...(await move(model, options, context, noise)));
  return changes;
}

type QuantizeBy = (options: RoundedSettings, model: Model, context: Context) => Promise<unknown>;

export interface Transformation {
  /** Returns whether the transformation can lower the error with these settings. */
  suits(options: RoundedSettings): boolean;
  /** Moves factors in place if that lowers the error. @param noise measures the output noise. */
  move(model: Model, options: RoundedSettings, context: Context, noise: AnswerNoise): Promise<readonly Change[]>;
}

const maxNoiseSamples = 32;

export interface AnswerNoise {
  /** Noise of the candidate after quantization. */
  readonly rounded: NoiseMeter;
  /** Noise of the candidate in float. */
  readonly plain: NoiseMeter;
}

/** Measures the output noise of a quantized model relative to its original, on samples or random inputs. */
function answerNoise(model: Model, options: RoundedSettings, quantizeBy: QuantizeBy, context: Context): AnswerNoise {
  const original = model.clone();
  const { data, rounder } = options;
  const samples = async () =>
    data === undefined ? undefined : draw(await trainPart(data), maxNoiseSamples, context.seed);
  const plain = noiseMeter(original, samples, context, maxNoiseSamples);
  const rough: RoundedSettings = {
    ...options,
    equalize: false,
    biasCorrection: "none",
    // Compensating methods would run again for each candidate, which takes too long.
    rounder: rounders.looksAtSamples(rounder) ? mse.id : rounder,
    samples: Math.min(options.samples, maxNoiseSamples),
  };
  return {
    plain,
    async rounded(candidate) {
      const copy = candidate.clone();
      await quantizeBy(rough, copy, { ...context, log: () => {}, progress: () => {} });
      return plain(copy);
    },
  };
}

/**
 * Rotation of residual streams (QuaRot, Ashkboos et al. 2024, arXiv 2404.00456; SpinQuant, Liu et al. 2024, arXiv 2405.16406): a
 * Hadamard matrix mixes outlier channels with the others. Kept if the float outputs stay the same and the noise falls.
 */

const minGain = 0.1;
/** Maximum noise of float32 arithmetic relative to the outputs: 90 dB. */
const maxNoise = 1e-9;
/** With fewer channels, a rotation does not spread outliers enough to remove them. */
const minUnits = 16;

export const rotation: Transformation = {
  suits: (options) =>
    options.data !== undefined &&
    everySetting(options).some(({ scheme, bits }) => scheme === "static" || scheme === "dynamic" || bits < 8),
  async move(model, _, { seed, signal }, noise) {
    const changes: Change[] = [];
    const trial = createTrials(model, noise.rounded, minGain);
    for (const stream of rotationStreams(model, infer(model))) {
      if (stream.units < minUnits) continue;
      throwIfAborted(signal, "Stopped on request.");
      const gain = await trial(async () => {
        if ((await rotate(model, stream, seed)) instanceof Miss) return false;
        return ((await noise.plain(model)) ?? Number.POSITIVE_INFINITY) < maxNoise;
      });
      if (gain === undefined) continue;
      const text = `its ${stream.units} channels are rotated together: ${gain}`;
      changes.push({ at: stream.name, what: text, kind: scaledKind, decidedBy: "global" });
    }
    return changes;
  },
};

/** Each transformation starts from the result of the previous ones. A rotation must keep the outputs, so it precedes absorbed biases. */
const transformations: readonly Transformation[] = [crossLayer, rotation, absorbBiases, smoothQuant, awq];
