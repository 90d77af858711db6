/** Noise of a model: the power of the difference between its outputs and its original's, over the power of the original's. */
import type { Engine } from "../engine/index.ts";
import type { Model } from "../graph/model.ts";
import { isFloat } from "../tensor/convert.ts";
import { Difference } from "./difference.ts";
import { overSamples, type Samples } from "./over-samples.ts";

interface NoiseContext {
  readonly engine: Engine;
  readonly signal: AbortSignal | undefined;
  /** At most. */
  readonly samples: number;
}

/** Σ noise / signal over the outputs of floats; infinite where answers are not finite. */
export async function noiseBetween(
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
