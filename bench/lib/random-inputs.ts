/** Seeded random inputs for a model without data, with sizes that the model runs on. */

import type { Session } from "../../src/core/engine/index.ts";
import { PithError } from "../../src/core/errors.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { elementCount } from "../../src/core/tensor/dims.ts";
import { random } from "../../src/core/tensor/random.ts";
import type { Batch } from "../../src/core/tensor/types.ts";
import { randomInputs } from "../../src/runtime/run/random-inputs.ts";
import { firstThatRuns, guesses, likelyLengths } from "../../src/runtime/run/size-guesses.ts";

/** Maximum number of elements of a random dataset, and its number of samples. */
const mostNumbers = 4e6;
const [fewest, most] = [8, 128];

/** Returns a batch that the model runs on, of one sample if the model allows it, or the runtime's message for the first attempt. */
export async function runnable(session: Session, model: Model, seed: number): Promise<Batch | string> {
  const inputs = randomInputs(model);
  if (inputs.undrawable !== undefined) return `no random numbers can be drawn for input "${inputs.undrawable}"`;
  const tried = guesses(model, inputs, { lengths: likelyLengths, batchSizes: [1, 2] });
  const runnableInputs = await firstThatRuns(session, inputs, tried, seed);
  return runnableInputs instanceof PithError ? runnableInputs.message : runnableInputs.feeds;
}

/** Returns random samples with the shapes of a batch. Undefined if the inputs do not share the size of axis 0. */
export function samplesLike(model: Model, batch: Batch, seed: number): Batch | undefined {
  const counts = new Set(Object.values(batch).map(({ dims: [count] }) => count));
  const [size] = counts;
  if (counts.size !== 1 || size === undefined || size < 1) return undefined;
  const numbers = Object.values(batch).reduce((sum, { dims }) => sum + elementCount(dims) / size, 0);
  const samples = Math.max(fewest, Math.min(most, Math.floor(mostNumbers / Math.max(1, numbers))));
  const rows = Math.ceil(samples / size) * size;
  const shapes = new Map(model.graph.feeds.map(({ name }) => [name, [rows, ...(batch[name]?.dims.slice(1) ?? [])]]));
  return randomInputs(model).draw(shapes, random(seed, "samples"));
}
