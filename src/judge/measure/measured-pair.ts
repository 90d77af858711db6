/** Measures the result of a step and its input model: sizes, cost and speed. */
import { hasFloatWeights, infer, type UnevenChannels, unevenChannels } from "#analysis";
import type { Dataset } from "#batches";
import { type ByteSource, Miss, type Model } from "#ir";
import type { Context } from "#pass";
import { type CompressedSize, measureSize } from "../../runtime/run/model-size.ts";
import { isPruned } from "../../techniques/prune/index.ts";
import { isEqualCount, type OperationCount } from "../record/operation-count.ts";
import type { ModelSize } from "../record/run-record.ts";
import { countMacs, countWeights, modelSizeOf, plainFile } from "./model-size.ts";
import { type MeasuredSpeed, measureRelativeSpeed, measureSpeed, type Speed } from "./speed.ts";

export interface StoredModel {
  readonly model: Model;
  readonly files: readonly ByteSource[];
}

export interface SizeAndCost extends ModelSize {
  readonly macs: OperationCount | undefined;
}

export interface PlannedCost extends Pick<SizeAndCost, "parameters" | "macs"> {
  readonly speed: Speed | undefined;
  readonly uneven: UnevenChannels;
}

export interface MeasuredPair {
  readonly before: SizeAndCost;
  readonly after: SizeAndCost;
  /** Whether the result has masks, which are stored in addition to the weights. */
  readonly masked: boolean;
  readonly trainable: boolean;
  /** Channel counts that slow down the result. */
  readonly uneven: UnevenChannels | undefined;
  readonly speed: MeasuredSpeed | undefined;
}

interface PairRequest {
  readonly original: StoredModel & { readonly weight: SizeAndCost };
  readonly result: StoredModel;
  readonly copySizes: Partial<CompressedSize>;
  /** The size after brotli is then measured even if this takes seconds. */
  readonly isForDownload: boolean;
  /** Present for a variant of a folder. */
  readonly variant: Partial<CompressedSize> | undefined;
  readonly reference: { readonly path: string; readonly model: Model };
  readonly samples: Dataset | undefined;
}

/** Maximum bytes that brotli compresses whole if the command is for downloads: about 30 seconds. */
const maxWholeBytes = 2 ** 23;

export async function measureSizeAndCost({ model, files }: StoredModel): Promise<SizeAndCost> {
  return { ...(await modelSizeOf(model, files)), macs: countMacs(model) };
}

export async function measurePair(request: PairRequest, context: Context): Promise<MeasuredPair> {
  const { original, result, copySizes: copies, isForDownload, variant, reference, samples } = request;
  const { weight, model } = original;
  const resultModel = result.model;
  const maxBytes = !isForDownload ? "quick" : variant === undefined ? maxWholeBytes : undefined;
  const [before, after] = await Promise.all([
    // A folder shows the size of its original with the exporter's metadata.
    variant === undefined
      ? withCompressedSizes(original, weight, {}, copies.brotli === undefined ? maxBytes : maxWholeBytes)
      : {
          ...(variant.brotli === undefined ? await measureSize(original.files, undefined, maxBytes) : variant),
          ...weight,
        },
    withCompressedSizes(result, await measureSizeAndCost(result), copies, maxBytes),
  ]);
  const masked = isPruned(resultModel);
  return {
    before,
    after,
    masked,
    trainable: hasFloatWeights(resultModel, infer(resultModel)),
    uneven: isEqualCount(before.macs, after.macs) ? undefined : unevenChannels(model, resultModel),
    // Masks are folded in before a model is used.
    speed: masked || variant !== undefined ? undefined : await measureSpeed(resultModel, reference, context, samples),
  };
}

async function withCompressedSizes(
  { model, files }: StoredModel,
  weight: SizeAndCost,
  copies: Partial<CompressedSize>,
  maxBrotliBytes: Parameters<typeof measureSize>[2],
): Promise<SizeAndCost> {
  if (copies.sampled !== undefined) return { ...weight, ...copies };
  const plain = await plainFile(model, files);
  const brotliBytes = copies.brotli === undefined ? maxBrotliBytes : "quick";
  const { bytes: _, ...sizes } = await measureSize(plain.files, undefined, brotliBytes);
  return { ...weight, ...sizes, ...copies, sampled: copies.brotli === undefined && sizes.sampled };
}

/** Returns undefined if the cost is the same as the input model's. */
export async function planCost(
  original: Model,
  before: SizeAndCost,
  result: Model,
  context: Context,
  samples: Dataset | undefined,
): Promise<PlannedCost | undefined> {
  const macs = countMacs(result);
  if (isEqualCount(before.macs, macs)) return undefined;
  const { parameters } = await countWeights(result);
  const speed = await measureRelativeSpeed(original, result, context, samples);
  return {
    parameters,
    macs,
    uneven: unevenChannels(original, result),
    speed: speed instanceof Miss ? undefined : speed,
  };
}
