/** Measures the size and the content of a model's file. */
import { cachePerRevision, cost, infer, learnedCount, learnedTensors } from "#analysis";
import { asPithError, type ByteSource, encodedSize, encodedSource, type Model } from "#ir";
import { hasExporterMetadata, removeExporterMetadata } from "#pass";
import { withStoredWeights } from "../../rewrite/clean-up/store-constants.ts";
import { zeroShare } from "../../rewrite/edit/stored-values.ts";
import { type OperationCount, operationCountOf } from "../record/operation-count.ts";
import type { ModelSize } from "../record/run-record.ts";

interface PlainFile {
  readonly files: readonly ByteSource[];
  /** Bytes of the exporter's metadata. */
  readonly metadata?: number;
}

/** Returns undefined for a model without the exporter's metadata. */
const plainCopy = cachePerRevision((model) => {
  if (!hasExporterMetadata(model)) return undefined;
  const copy = model.clone();
  removeExporterMetadata(copy);
  return copy;
});

/** Returns the model's file without the exporter's metadata, for a fair comparison with results; without metadata, the given files. */
export async function plainFile(model: Model, files: readonly ByteSource[] = []): Promise<PlainFile> {
  const copy = plainCopy(model, infer(model));
  if (copy === undefined) return { files };
  const bytes = await encodedSize(model).catch(asPithError);
  if (typeof bytes !== "number") return { files };
  const file = await encodedSource(copy);
  return { files: [file], metadata: bytes - file.size };
}

export async function modelSizeOf(model: Model, modelFiles: readonly ByteSource[]): Promise<ModelSize> {
  const { files, ...metadata } = await plainFile(model, modelFiles);
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  return { bytes, ...metadata, ...(await countWeights(model)) };
}

export async function countWeights(model: Model): Promise<Pick<ModelSize, "parameters" | "zeros">> {
  const copy = withStoredWeights(model);
  const learnedCounts = await learnedTensors(copy, infer(copy));
  return { parameters: learnedCount(learnedCounts), zeros: await zeroShare(learnedCounts.keys()) };
}

export function countMacs(model: Model): OperationCount | undefined {
  const copy = withStoredWeights(model);
  return operationCountOf(cost(copy, infer(copy)).macs);
}
