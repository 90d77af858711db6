/**
 * Matches layers and channels of a changed model to those of its original. Removed channels are read from metadata. Without metadata,
 * channel j matches the next original channel whose weights contain the weights of j.
 */
import type { Inference, Layer } from "#analysis";
import {
  biasedOutput,
  checkProduct,
  counterpartsAmong,
  infer,
  layers as layersOf,
  originalChannelsOf,
  weightMatrices,
  weightShape,
} from "#analysis";
import { type Dense, isFloat, Miss, type Model, toFloat64 } from "#ir";
import type { Engine } from "../../core/engine/engine.ts";
import { fuseBatchNorms } from "../../rewrite/clean-up/fuse-batch-norm.ts";
import { readStoredValue } from "../../rewrite/edit/stored-values.ts";

export interface LayerMatch {
  readonly name: string;
  /** Index among the layers of the changed model. */
  readonly layerIndex: number;
  /** Name of the output of the original layer, including its bias. */
  readonly original: string;
  readonly axis: number;
  /** Indices of the original's channels that remain; undefined if all remain. */
  readonly kept: readonly number[] | undefined;
  /** Whether batch normalization follows, which removes constant shifts per channel. */
  readonly isNormalized: boolean;
}

export interface ModelMatch {
  /** A copy of the original, with batch normalization folded as in the changed model. */
  readonly original: Model;
  readonly layers: readonly LayerMatch[];
  /** Maps the weight names of pruned layers of the original to the channels that remain, if known. */
  readonly keptChannels: ReadonlyMap<string, readonly number[]>;
  readonly misses: readonly Miss[];
  readonly originalLayers: { readonly count: number; readonly paired: number };
}

export async function matchOriginal(changedModel: Model, original: Model, engine: Engine): Promise<ModelMatch> {
  const model = changedModel.clone();
  const inference = infer(model);
  const all = layersOf(model, inference);
  const reference = await fuseNormsLike(original, all, inference);
  const referenceInference = infer(reference);
  const originalLayers = layersOf(reference, referenceInference);
  const counterparts = counterpartsAmong(originalLayers);
  const misses: Miss[] = [];
  const layerMatches: LayerMatch[] = [];
  const cutChannels = new Map<string, readonly number[]>();
  const usedCounterparts = new Set<Layer>();
  const pairedLayers = new Set<Layer>();
  for (const [position, layer] of all.entries()) {
    const counterpart = counterparts(layer).find((other) => !usedCounterparts.has(other));
    if (counterpart !== undefined) pairedLayers.add(counterpart);
    const recordedChannels = counterpart && readRecordedChannels(reference, counterpart, model, layer);
    if (counterpart !== undefined && recordedChannels !== undefined && recordedChannels.length < counterpart.outputs)
      cutChannels.set(counterpart.effective.name, recordedChannels);
    const comparablePair = requireComparable(layer, counterpart);
    const keptChannels =
      comparablePair instanceof Miss
        ? comparablePair
        : await findKeptChannels(reference, comparablePair, model, layer, engine);
    if (comparablePair instanceof Miss || keptChannels instanceof Miss) {
      misses.push(
        new Miss(
          keptChannels instanceof Miss ? keptChannels.reason : "it has no counterpart in the original",
          layer.name,
        ),
      );
      continue;
    }
    usedCounterparts.add(comparablePair);
    if (keptChannels !== undefined) cutChannels.set(comparablePair.effective.name, keptChannels);
    layerMatches.push({
      name: layer.name,
      layerIndex: position,
      original: biasedOutput(comparablePair, referenceInference)?.output.name ?? "",
      axis: layer.role.outputAxis,
      kept: keptChannels,
      isNormalized: isNormalized(layer, inference),
    });
  }
  return {
    original: reference,
    layers: layerMatches,
    keptChannels: cutChannels,
    misses,
    originalLayers: { count: originalLayers.length, paired: pairedLayers.size },
  };
}

async function fuseNormsLike(original: Model, changedLayers: readonly Layer[], inference: Inference): Promise<Model> {
  const reference = original.clone();
  const normalizedByName = new Map(changedLayers.map((layer) => [layer.name, isNormalized(layer, inference)]));
  await fuseBatchNorms(reference, { trained: true, into: ({ name }) => normalizedByName.get(name) === false });
  return reference;
}

function isNormalized(layer: Layer, inference: Inference): boolean {
  return [...(biasedOutput(layer, inference)?.output.uses ?? [])].some((use) => {
    const bound = inference.at(use.node);
    const affine = bound instanceof Miss ? bound : bound.affine();
    return !(affine instanceof Miss) && affine.kind === "normalization";
  });
}

function requireComparable(layer: Layer, same: Layer | undefined): Layer | Miss {
  if (same === undefined) return new Miss("the original has no such layer");
  const refusal = checkProduct(layer) ?? checkProduct(same);
  if (refusal !== undefined) return refusal;
  if (layer.role.outputAxis <= 0) return new Miss("its channels lie along the batch axis");
  if (same.role.outputAxis !== layer.role.outputAxis || same.role.outTaps?.length !== layer.role.outTaps?.length)
    return new Miss("its channels lie along another axis");
  const type = layer.node.outputs[0]?.type?.type;
  return type !== undefined && !isFloat(type) ? new Miss(`it computes ${type}`) : same;
}

async function findKeptChannels(
  original: Model,
  before: Layer,
  changedModel: Model,
  after: Layer,
  engine: Engine,
): Promise<readonly number[] | undefined | Miss> {
  if (before.outputs === after.outputs) return undefined;
  if (after.outputs > before.outputs) return new Miss("it has more channels than the original");
  const recordedChannels = readRecordedChannels(original, before, changedModel, after);
  if (recordedChannels !== undefined) return recordedChannels;
  const originalRows = rowsOf(await readStoredValue(original, before.effective, engine), before);
  const channels: number[] = [];
  let next = 0;
  for (const row of rowsOf(await readStoredValue(changedModel, after.effective, engine), after)) {
    while (next < originalRows.length && !isSubsequence(row, originalRows[next] ?? [])) next++;
    if (next === originalRows.length)
      return new Miss("channels were cut and the weights changed since: cannot map channels to the original");
    channels.push(next++);
  }
  return channels;
}

/** Returns the remaining channels from the metadata, as indices into the original, which can be pruned itself. */
function readRecordedChannels(
  original: Model,
  before: Layer,
  changedModel: Model,
  after: Layer,
): readonly number[] | undefined {
  const base = originalChannelsOf(original, before.name);
  const recorded = originalChannelsOf(changedModel, before.name) ?? originalChannelsOf(changedModel, after.name);
  const channels = recorded?.map((channel) => (base === undefined ? channel : base.indexOf(channel)));
  const isFitting =
    channels?.length === after.outputs && channels.every((channel) => channel >= 0 && channel < before.outputs);
  return isFitting ? channels : undefined;
}

/** Returns for each output channel a block of weights (one per kernel position) for each input channel. */
function rowsOf(dense: Dense, { role, outputs }: Layer): readonly (readonly Float64Array[])[] {
  const { taps } = weightShape(role, dense.dims);
  const blocks = dense.data.length / (outputs * taps);
  const matrices = weightMatrices(role, dense.dims, toFloat64(dense));
  return matrices.flatMap(({ data }) =>
    Array.from({ length: outputs / matrices.length }, (_, row) =>
      Array.from({ length: blocks }, (_, block) =>
        data.subarray((row * blocks + block) * taps, (row * blocks + block + 1) * taps),
      ),
    ),
  );
}

function isSubsequence(row: readonly Float64Array[], otherRow: readonly Float64Array[]): boolean {
  let index = 0;
  for (const block of row) {
    while (index < otherRow.length && !haveEqualNumbers(block, otherRow[index])) index++;
    if (index++ >= otherRow.length) return false;
  }
  return true;
}

function haveEqualNumbers(a: Float64Array, b: Float64Array | undefined): boolean {
  return b !== undefined && a.length === b.length && a.every((value, index) => value === b[index]);
}
