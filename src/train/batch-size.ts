/** The batch size of a training step. */
import { PithError } from "../errors.ts";
import { bytes } from "../evaluate/numbers.ts";
import type { Model } from "../graph/model.ts";
import { fixInputs } from "../passes/index.ts";
import { elementCount, fixedDims } from "../tensor/dims.ts";
import type { Batch } from "../tensor/types.ts";

/** Bytes of all layer outputs of a batch. A step needs two to four times as many: gradients, and copies for its kernels. */
const mostBytes = 1.25 * 2 ** 30;

export interface BatchSize {
  readonly size: number;
  /** Why it is less than the size that was wanted. */
  readonly why?: string;
}

/**
 * The batch size to train with: `wanted`, or less where the model has a fixed batch size, or where its layers would compute more than `mostBytes`. It does
 * not depend on the memory of the machine, so results are the same everywhere.
 * @param samples inputs by name; dimensions that are symbolic in the model have the sizes found here.
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
