/** Measures the output noise of a quantized model relative to its original, on samples or random inputs. */

import type { Model } from "../../core/graph/model.ts";
import type { Context } from "../../core/pass/pass.ts";
import { draw } from "../../data/batches/select.ts";
import { trainPart } from "../../data/sources/open.ts";
import { type NoiseMeter, noiseMeter } from "../../runtime/noise/answer-noise.ts";
import type { QuantizeSettings } from "./options.ts";
import { rounders } from "./rounders/index.ts";
import { mse } from "./rounders/mse.ts";

const mostSamples = 32;

export interface AnswerNoise {
  /** Noise of the candidate after quantization. */
  readonly rounded: NoiseMeter;
  /** Noise of the candidate in float. */
  readonly plain: NoiseMeter;
}

/** @param round quantizes a model in place. */
export function answerNoise(
  model: Model,
  options: QuantizeSettings,
  round: (options: QuantizeSettings, model: Model, context: Context) => Promise<unknown>,
  context: Context,
): AnswerNoise {
  const original = model.clone();
  const silent: Context = { ...context, log: () => {}, progress: () => {} };
  const data = async () =>
    options.data === undefined ? undefined : draw(await trainPart(options.data), mostSamples, context.seed);
  const plain = noiseMeter(original, data, context, mostSamples);
  return {
    plain,
    async rounded(candidate) {
      const copy = candidate.clone();
      const few = {
        ...options,
        equalize: false,
        biasCorrection: "none" as const,
        // Compensating methods would run again for each candidate, which is too slow.
        rounder: rounders.looksAtSamples(options.rounder) ? mse.id : options.rounder,
        samples: Math.min(options.samples, mostSamples),
      };
      await round(few, copy, silent);
      return plain(copy);
    },
  };
}
