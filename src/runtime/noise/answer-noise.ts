/** Output noise of a model: the power of its difference from the original's outputs, divided by the power of the original's outputs. */

import type { Engine } from "../../core/engine/index.ts";
import { Miss } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import type { Context } from "../../core/pass/pass.ts";
import { isFloat } from "../../core/tensor/convert.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { Difference } from "../run/difference.ts";
import { overSamples, type Samples } from "../run/over-samples.ts";
import { inputsFor } from "../run/paired-runs.ts";

interface NoiseContext {
  readonly engine: Engine;
  readonly signal: AbortSignal | undefined;
  readonly samples: number;
}

/** Returns undefined if the noise cannot be measured. */
export type NoiseMeter = (candidate: Model) => Promise<number | undefined>;

/** Measures all candidates on the same samples. @param data undefined: random inputs. */
export function noiseMeter(
  original: Model,
  data: () => Promise<Dataset | undefined>,
  { engine, seed, signal }: Pick<Context, "engine" | "seed" | "signal">,
  samples: number,
): NoiseMeter {
  let inputs: Samples | undefined;
  return async (candidate) => {
    if (inputs === undefined) {
      const prepared = await inputsFor(engine, original, candidate, await data(), { seed, signal });
      if (prepared instanceof Miss) return undefined;
      inputs = prepared.samples;
    }
    return measureNoise(original, candidate, inputs, { engine, signal, samples });
  };
}

/** Returns Σ noise / signal over the float outputs; infinite if an output is not finite. */
async function measureNoise(
  original: Model,
  candidate: Model,
  samples: Samples,
  { engine, signal, samples: count }: NoiseContext,
): Promise<number> {
  const names = original.graph.outputs.map(({ name }) => name);
  const differences = new Map(names.map((name) => [name, new Difference()]));
  const models = [original, candidate].map((model) => ({ model, observed: names }));
  await overSamples(engine, models, samples, { signal, samples: count, optimize: true }, ([before, after]) => {
    for (const [name, difference] of differences) {
      const [x, y] = [before?.[name], after?.[name]];
      if (x !== undefined && y !== undefined && isFloat(x.type)) difference.addTensors(x, y);
    }
  });
  const sum = [...differences.values()].reduce((total, { relativeNoise }) => total + relativeNoise, 0);
  return Number.isNaN(sum) ? Number.POSITIVE_INFINITY : sum;
}
