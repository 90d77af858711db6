/** Random inputs of a model that comes without data: as large as it runs on, drawn from a seed. */

import type { Session } from "../../src/core/engine/index.ts";
import { PithError } from "../../src/core/errors.ts";
import type { Model } from "../../src/core/graph/model.ts";
import { elementCount } from "../../src/core/tensor/dims.ts";
import { random } from "../../src/core/tensor/random.ts";
import type { Batch } from "../../src/core/tensor/types.ts";
import { firstThatRuns, guesses, likelyLengths, randomInputs } from "../../src/runtime/run/random-inputs.ts";

/** Numbers that a data set of random samples has at most, and the samples that it has. */
const mostNumbers = 4e6;
const [fewest, most] = [8, 128];

/** A batch that the model runs on, of one sample where that is open; or what the runtime says to the first that was tried. */
export async function runnable(session: Session, model: Model, seed: number): Promise<Batch | string> {
  const inputs = randomInputs(model);
  if (inputs.undrawable !== undefined) return `no random numbers can be drawn for input "${inputs.undrawable}"`;
  const tried = guesses(model, inputs, { lengths: likelyLengths, batches: [1, 2] });
  const found = await firstThatRuns(session, inputs, tried, seed);
  return found instanceof PithError ? found.message : found.feeds;
}

/** Samples like those of a batch, counted along axis 0; undefined where an input has no such axis, or another one than the others. */
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
