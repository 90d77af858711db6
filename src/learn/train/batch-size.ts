/** Chooses the batch size of a training, which the model or a memory limit can reduce. */
import { hasBatchAxis } from "#analysis";
import { type Dataset, firstBatch } from "#batches";
import type { Batch, Node, Value } from "#ir";
import { bytes, bytesFor, elementCount, fixedDims, Model, PithError, usedValues } from "#ir";
import { fixInputs } from "../../rewrite/edit/set-input-shapes.ts";
import { feedingOf } from "../../runtime/run/feeding.ts";

export const noBatchAxis = "the model has no batch axis";

export interface BatchSize {
  readonly size: number;
  /** The reason if the model or the memory limit determines the size. */
  readonly why?: string;
}

/**
 * Returns the batch size to train with: `requested`, or the size that the model fixes, or less if values exceed `memoryLimit`. It does not depend
 * on the machine's memory, so trainings are the same everywhere.
 * @param samples Inputs by name, which provide the sizes of symbolic dimensions. @param teachers Models that run on the same batch.
 */
export function fitBatchSize(
  model: Model,
  requested: number,
  samples: Batch = {},
  teachers: readonly Model[] = [],
): BatchSize {
  return hasBatchAxis(model) ? batchSizeForMemory(model, requested, samples, teachers) : { size: 1, why: noBatchAxis };
}

function batchSizeForMemory(model: Model, requested: number, samples: Batch, teachers: readonly Model[]): BatchSize {
  const sizedModel = fixBatchSize(model, requested, samples);
  if (sizedModel === undefined) return { size: requested };
  if (sizedModel instanceof PithError) {
    const size = fixedSize(model);
    return size === undefined ? { size: requested } : { size, why: "the model was exported with this batch size" };
  }
  const computedBytes = [...sizedModel.graph.nodes()].reduce((sum, node) => sum + outputBytes(node), 0);
  const sum = teachers
    .map((teacher) => fixBatchSize(teacher, requested, samples))
    .reduce((total, teacher) => total + (teacher instanceof Model ? peakBytes(teacher) : 0), computedBytes);
  const size = Math.max(1, Math.floor((requested * memoryLimit) / Math.max(memoryLimit, sum)));
  if (size === requested || fixBatchSize(model, size, samples) instanceof PithError) return { size: requested };
  return { size, why: `${requested} samples would need ${bytes(sum)} for the values of the layers` };
}

export async function chooseBatchSize(
  model: Model,
  requestedSize: number,
  data: Dataset,
  teachers: readonly Model[] = [],
): Promise<BatchSize> {
  if (await takesOneSample(model, data)) return { size: 1, why: noBatchAxis };
  const isFixed = model.graph.feeds.every(({ type }) => fixedDims(type?.dims?.slice(1)) !== undefined);
  return batchSizeForMemory(model, requestedSize, isFixed ? {} : await firstBatch(data, requestedSize), teachers);
}

/** Returns whether the inputs have no sample axis, such as an input [3] for samples of 3 numbers. */
export async function takesOneSample(model: Model, data: Dataset): Promise<boolean> {
  if (!hasBatchAxis(model)) return true;
  const fixedBatch = fixedSize(model);
  if (fixedBatch === undefined || fixedBatch === 1) return false;
  return feedingOf(model, await firstBatch(data, 1), "training data").size === 1;
}

/** Returns undefined if a dimension is unknown, an error if the model fixes another batch size. */
function fixBatchSize(model: Model, size: number, samples: Batch): Model | PithError | undefined {
  const shapes: [string, readonly number[]][] = [];
  for (const { name, type } of model.graph.feeds) {
    const rest = samples[name]?.dims.slice(1) ?? fixedDims(type?.dims?.slice(1));
    if (rest === undefined) return undefined;
    shapes.push([name, [size, ...rest]]);
  }
  const copy = model.clone();
  try {
    fixInputs(copy, Object.fromEntries(shapes));
    return copy;
  } catch (error) {
    if (error instanceof PithError) return error;
    throw error;
  }
}

function fixedSize(model: Model): number | undefined {
  const [size, ...otherSizes] = new Set(model.graph.feeds.map(({ type }) => fixedDims(type?.dims?.slice(0, 1))?.[0]));
  return otherSizes.length > 0 ? undefined : size;
}

/** Bytes of values that a training keeps, without stored tensors. A step needs two to four times as many: gradients and kernel copies. */
export const memoryLimit = 1.25 * 2 ** 30;

/** Returns the peak bytes if nodes run in their order and each value is released after its last use. */
export function peakBytes({ graph }: Model): number {
  const uses = new Map<Value, number>();
  for (const node of graph.nodes())
    for (const value of new Set(usedValues(node))) uses.set(value, (uses.get(value) ?? 0) + 1);
  let [bytes, peak] = [0, 0];
  for (const node of graph.nodes()) {
    bytes += outputBytes(node);
    peak = Math.max(peak, bytes);
    for (const value of new Set(usedValues(node))) {
      const remaining = (uses.get(value) ?? 0) - 1;
      uses.set(value, remaining);
      if (remaining === 0 && value.producer !== undefined && !graph.isOutput(value)) bytes -= bytesOf(value);
    }
  }
  return peak;
}

const outputBytes = ({ outputs }: Node): number =>
  outputs.reduce((sum, output) => sum + (output === undefined ? 0 : bytesOf(output)), 0);

function bytesOf({ type, tensor }: Value): number {
  const dims = fixedDims(type?.dims);
  if (type === undefined || type.type === "string" || dims === undefined || tensor !== undefined) return 0;
  return bytesFor(type.type, elementCount(dims));
}
