/** Measures a model for the output of commands: bytes, compressed sizes, parameters, operations and speed. */
import { cost, infer, learnedCount, learnedTensors } from "#analysis";
import { allNodes, dimsText, Miss, type Model, storedBytes, stripPeriod } from "#ir";
import type { Context } from "#pass";
import { bytes } from "../../../core/numbers.ts";
import type { Dataset } from "../../../data/batches/types.ts";
import { plainFile } from "../../../judge/run/improvement.ts";
import { storeWeights } from "../../../rewrite/clean-up/store-constants.ts";
import { zeroShare } from "../../../rewrite/edit/stored.ts";
import { maxTimedBytes } from "../../../runtime/run/large-weights.ts";
import { relativeTime } from "../../../runtime/run/relative-time.ts";
import { type CompressedSize, gzipSize, isEstimated, measureSize } from "../../../runtime/run/size.ts";
import { operationCount } from "../../report/operation-count.ts";
import { speedOf, type Timed } from "../../report/speed.ts";
import { fileBytes, filesOfModel } from "../files/files.ts";
import type { Weight } from "../print/weight.ts";

/** Measures a model. The bytes exclude the exporter's metadata, which results do not contain. */
export async function weightOf(model: Model, path: string): Promise<Weight> {
  const withoutMetadata = await plainFile(model);
  return {
    ...(withoutMetadata === undefined
      ? { bytes: await fileBytes(filesOfModel(model, path)) }
      : { bytes: withoutMetadata.file.size, metadata: withoutMetadata.metadata }),
    ...(await countsOf(model)),
  };
}

interface Compression {
  readonly copies: Partial<CompressedSize>;
  /** Whether the size after brotli is measured. */
  readonly brotli: boolean;
  /** The maximum bytes of a file that brotli compresses whole. */
  readonly maxBrotliBytes?: number | undefined;
}

export async function withCompressed(
  weight: Weight,
  model: Model,
  path: string,
  { copies, brotli, maxBrotliBytes }: Compression,
): Promise<Weight> {
  if (copies.sampled !== undefined) return { ...weight, ...copies };
  const withoutMetadata = await plainFile(model);
  const parts = withoutMetadata === undefined ? filesOfModel(model, path) : [withoutMetadata.file];
  const { bytes: _, ...sizes } = brotli
    ? await measureSize(parts, undefined, maxBrotliBytes)
    : { bytes: 0, gzip: await gzipSize(...parts), sampled: isEstimated(weight.bytes, "gzip") };
  return { ...weight, ...sizes, ...copies };
}

export async function countsOf(model: Model): Promise<Pick<Weight, "parameters" | "zeros" | "macs">> {
  const copy = model.clone();
  storeWeights(copy);
  const inference = infer(copy);
  const learned = await learnedTensors(copy, inference);
  return {
    parameters: learnedCount(learned),
    zeros: await zeroShare(learned.keys()),
    macs: operationCount(cost(copy, inference).macs),
  };
}

/**
 * Times both models on the first of `samples`, or without samples as `timedInputs`. Returns undefined if both have the same operators and weights of the same types and sizes, and so the same speed.
 */
export async function measureSpeed(
  result: Model,
  { model, path }: { readonly model: Model; readonly path: string },
  context: Context,
  samples?: Dataset,
): Promise<Timed | undefined> {
  if (operatorsOf(model) === operatorsOf(result)) return undefined;
  const times =
    storedBytes(model.graph) > maxTimedBytes
      ? new Miss(`the model has more than ${bytes(maxTimedBytes)}`)
      : await relativeTime(model, result, context, samples);
  if (times instanceof Miss) return { against: path, found: { unmeasured: stripPeriod(times.reason) } };
  return { against: path, found: speedOf(times) };
}

const operatorsOf = ({ graph }: Model): string =>
  Array.from(allNodes(graph), ({ domain, op, inputs }) => {
    const weights = inputs.map((input) =>
      input?.tensor === undefined ? "" : input.tensor.type + dimsText(input.tensor.dims),
    );
    return [domain, op, ...weights].join(" ");
  }).join("\n");
