/** Output noise of a model: the power of its difference from the original's outputs, divided by the power of the original's outputs. */

import { type OutputPart, partsOf } from "#analysis";
import { type Batch, isFloat, Miss, type Model, memoize } from "#ir";
import type { Context } from "#pass";
import type { Engine } from "../../core/engine/index.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { Difference } from "../run/difference.ts";
import { overSamples, type Samples } from "../run/over-samples.ts";
import { inputsFor } from "../run/paired-runs.ts";

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

/** Returns Σ noise / signal over the parts of the float outputs; infinite if an output is not finite. */
async function measureNoise(
  original: Model,
  candidate: Model,
  samples: Samples,
  {
    engine,
    signal,
    samples: count,
  }: { readonly engine: Engine; readonly signal: AbortSignal | undefined; readonly samples: number },
): Promise<number> {
  const noise = new OutputNoise(original);
  const observed = original.graph.outputs.map(({ name }) => name);
  const models = [original, candidate].map((model) => ({ model, observed }));
  await overSamples(engine, models, samples, { signal, samples: count, optimize: true }, ([before, after]) =>
    noise.add(before ?? {}, after ?? {}),
  );
  return Number.isNaN(noise.sum) ? Number.POSITIVE_INFINITY : noise.sum;
}

/** Sums up the noise of float outputs. Each part of an output is divided by its own power. */
export class OutputNoise {
  readonly #original: Model;
  readonly #parts = new Map<string, readonly { readonly part: OutputPart; readonly difference: Difference }[]>();

  constructor(original: Model) {
    this.#original = original;
  }

  /** Adds the outputs of one batch. The first batch shows the scales of parts. */
  add(original: Batch, other: Batch): void {
    for (const [name, before] of Object.entries(original)) {
      const after = other[name];
      if (after === undefined || !isFloat(before.type)) continue;
      const parts = memoize(this.#parts, name, () =>
        partsOf(this.#original, name, [before]).map((part) => ({ part, difference: new Difference() })),
      );
      for (const { part, difference } of parts) difference.addTensors(before, after, part);
    }
  }

  /** Σ noise / signal. Outputs that cannot be compared are left out. An output of zeros has no signal to divide by. */
  get sum(): number {
    const differences = [...this.#parts.values()].flat().filter(({ difference }) => difference.apart === undefined);
    return differences.reduce(
      (sum, { difference: { signal, noise, relativeNoise } }) => sum + (signal === 0 ? noise : relativeNoise),
      0,
    );
  }
}
