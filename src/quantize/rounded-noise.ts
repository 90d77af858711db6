/** What rounding costs, measured: the noise in the answers of a model once it is rounded, beside its original, on samples or on random inputs. */
import { trainPart } from "../data/open.ts";
import { draw } from "../data/select.ts";
import { Miss } from "../errors.ts";
import { noiseBetween } from "../evaluate/answer-noise.ts";
import type { Samples } from "../evaluate/over-samples.ts";
import { inputsFor } from "../evaluate/paired-runs.ts";
import type { Model } from "../graph/model.ts";
import type { Context } from "../passes/pass.ts";
import type { QuantizeSettings } from "./options.ts";
import { rounders } from "./rounders/index.ts";
import { mse } from "./rounders/mse.ts";

/** Samples that the answers are compared on, and that ranges are measured on for it. */
const mostSamples = 32;

/** What `candidate` answers otherwise than the model was when this was made; undefined where that cannot be measured. */
export interface AnswerNoise {
  /** Once it is rounded. */
  rounded(candidate: Model): Promise<number | undefined>;
  /** As it is. */
  plain(candidate: Model): Promise<number | undefined>;
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
  const { engine, seed, signal } = context;
  let samples: Samples | undefined;
  const plain = async (candidate: Model): Promise<number | undefined> => {
    if (samples === undefined) {
      const data = options.data === undefined ? undefined : draw(await trainPart(options.data), mostSamples, seed);
      const inputs = await inputsFor(engine, original, candidate, data, { seed, signal });
      if (inputs instanceof Miss) return undefined;
      ({ samples } = inputs);
    }
    return noiseBetween(original, candidate, samples, { engine, signal, samples: mostSamples });
  };
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
