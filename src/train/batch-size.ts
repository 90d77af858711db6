/** How many samples a training step takes at a time. */
import { PithError } from "../errors.ts";
import { bytes } from "../evaluate/numbers.ts";
import type { Model } from "../graph/model.ts";
import { fixInputs } from "../passes/index.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";
import type { Batch } from "../tensor/types.ts";

/** Of values that layers compute. A step needs two to four times as many bytes: gradients, and copies for its kernels. */
const mostBytes = 1.25 * 2 ** 30;

export interface BatchSize {
  readonly size: number;
  /** Why it is less than the size that was wanted. */
  readonly why?: string;
}

/**
 * The size that is wanted; less where the model holds its own in a constant, or where the values of so many samples need much memory. The memory
 * of the machine does not count: results are the same everywhere.
 * @param samples By the names of inputs: they have these sizes where the model leaves them open.
 */
export function batchSize(model: Model, wanted: number, samples: Batch = {}): BatchSize {
  const sizes = model.graph.feeds.map(({ name, type }) => {
    const rest = samples[name]?.dims.slice(1) ?? fixedDims(type?.dims?.slice(1));
    return [name, rest && [wanted, ...rest]] as const;
  });
  const shapes = sizes.flatMap(([name, dims]) => (dims === undefined ? [] : [[name, dims] as const]));
  if (shapes.length < sizes.length) return { size: wanted };
  const trial = model.clone();
  try {
    fixInputs(trial, Object.fromEntries(shapes));
  } catch (error) {
    if (!(error instanceof PithError)) throw error;
    const own = ownSize(model);
    return own === undefined ? { size: wanted } : { size: own, why: "the model was exported with this batch size" };
  }
  let sum = 0;
  for (const { producer, tensor, type } of trial.graph.values()) {
    if (producer !== undefined && tensor === undefined) sum += 4 * elementCount(fixedDims(type?.dims) ?? [0]);
  }
  const size = Math.max(1, Math.floor((wanted * mostBytes) / Math.max(mostBytes, sum)));
  return size === wanted ? { size } : { size, why: `for ${wanted} samples the layers would compute ${bytes(sum)}` };
}

/** The batch size that all inputs state. */
function ownSize(model: Model): number | undefined {
  const [size, ...others] = new Set(model.graph.feeds.map(({ type }) => fixedDims(type?.dims)?.[0]));
  return others.length > 0 ? undefined : size;
}
