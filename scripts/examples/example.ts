import type { Batch, Model } from "pith";
import { collect, type Dataset } from "pith/data";

/** An untrained model, its samples, and how to train it. */
export interface Example {
  readonly model: Model;
  readonly training: Dataset;
  readonly test: Dataset;
  readonly epochs: number;
  /** Samples and files beside the model, by name. */
  readonly files: Readonly<Record<string, Uint8Array>>;
}

export function inputOf(model: Model) {
  const [input] = model.graph.feeds;
  if (input === undefined) throw new Error("The network has no input.");
  return input;
}

export const firstSamples = async (dataset: Dataset, count: number): Promise<Batch> =>
  (await collect(dataset, count)).gather(Uint32Array.from({ length: count }, (_, index) => index));

export const encodeText = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Returns a function that returns random numbers from 0 to 1: the linear congruential generator of Numerical Recipes. */
export function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(1664525, state) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
