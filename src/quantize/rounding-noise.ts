/** What rounding costs, measured: the noise in the answers of a model once it is rounded, beside its original, on samples or on random inputs. */
import { trainPart } from "../data/open.ts";
import { draw } from "../data/select.ts";
import { type NoiseMeter, noiseMeter } from "../evaluate/answer-noise.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/pass.ts";
import type { QuantizeSettings } from "./options.ts";
import { rounders } from "./rounders/index.ts";
import { mse } from "./rounders/mse.ts";

/** Samples that the answers are compared on, and that ranges are measured on for it. */
const mostSamples = 32;

/** Measures the noise of candidates. A copy of the model as it is now is their original. */
export interface AnswerNoise {
  /** Once a candidate is rounded. */
  readonly rounded: NoiseMeter;
  /** As it is. */
  readonly plain: NoiseMeter;
}

/** @param round rounds a model in place by settings. */
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
        // What makes good what rounding took would be made for each candidate.
        rounder: rounders.looksAtSamples(options.rounder) ? mse.id : options.rounder,
        samples: Math.min(options.samples, mostSamples),
      };
      await round(few, copy, silent);
      return plain(copy);
    },
  };
}
