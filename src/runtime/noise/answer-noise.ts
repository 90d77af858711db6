/** Output noise of a model: the power of its difference from the original's outputs, divided by the power of the original's outputs. */

import { type OutputPart, partsOf } from "#analysis";
import { type Batch, elementCount, isFloat, Miss, type Model, memoize } from "#ir";
import type { Context } from "#pass";
import type { Engine } from "../../core/engine/index.ts";
import { isIndexed } from "../../data/batches/indexed.ts";
import type { Dataset } from "../../data/batches/types.ts";
import { Difference } from "../run/difference.ts";
import { isFeeds, overSamples, type Samples } from "../run/over-samples.ts";
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
  let originalOutputs: readonly Batch[] | undefined;
  return async (candidate) => {
    if (inputs === undefined) {
      const prepared = await inputsFor(engine, original, candidate, await data(), { seed, signal });
      if (prepared instanceof Miss) return undefined;
      inputs = prepared.samples;
    }
    const options = { engine, signal, samples };
    const { noise, before } = await measureNoise(original, candidate, inputs, options, originalOutputs);
    // A stream yields other samples each time.
    if (isFeeds(inputs) || isIndexed(inputs)) originalOutputs = before;
    return noise;
  };
}

/** Maximum bytes of the original's outputs that are kept for the next candidate. */
const maxKeptBytes = 2 ** 26;

/**
 * Returns Σ noise / signal over the parts of the float outputs, infinite if an output is not finite, and the
 * original's outputs if they are small.
 * @param known the original's outputs of an earlier measurement.
 */
async function measureNoise(
  original: Model,
  candidate: Model,
  samples: Samples,
  {
    engine,
    signal,
    samples: count,
  }: { readonly engine: Engine; readonly signal: AbortSignal | undefined; readonly samples: number },
  known: readonly Batch[] | undefined,
): Promise<{ readonly noise: number; readonly before: readonly Batch[] | undefined }> {
  const noise = new OutputNoise(original);
  const observed = original.graph.outputs.map(({ name }) => name);
  const models = (known === undefined ? [candidate, original] : [candidate]).map((model) => ({ model, observed }));
  let before: Batch[] | undefined = [];
  let [index, bytes] = [0, 0];
  await overSamples(engine, models, samples, { signal, samples: count, optimize: true }, ([after, fresh]) => {
    const outputs = known?.[index++] ?? fresh ?? {};
    for (const { dims } of Object.values(outputs)) bytes += 4 * elementCount(dims);
    if (bytes > maxKeptBytes) before = undefined;
    before?.push(outputs);
    noise.add(outputs, after ?? {});
  });
  return { noise: Number.isNaN(noise.sum) ? Number.POSITIVE_INFINITY : noise.sum, before };
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
