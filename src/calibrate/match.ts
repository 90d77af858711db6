/**
 * Which layer of a changed model is which of its original (`analysis/match.ts`), and which of the original's channels it still has.
 *
 * The original is a copy in which batch normalization is folded wherever it is in the changed model, so that both layers mean the same.
 *
 * Which channels were cut the file says (`analysis/provenance.ts`). Where it does not, as of models that others cut, channel j of a cut layer is a
 * channel o of the original of whose row its own is a part, in order: w'_j ⊂ w_o, found from first to last.
 */
import { biased } from "../analysis/biased.ts";
import { type Inference, infer } from "../analysis/infer.ts";
import { type Layer, layers as layersOf } from "../analysis/layers.ts";
import { counterpartsAmong } from "../analysis/match.ts";
import { recordedKept } from "../analysis/provenance.ts";
import { requireProduct, weightMatrices, weightShape } from "../analysis/weight.ts";
import type { Engine } from "../engine/engine.ts";
import { Miss } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { fuseBatchNorms } from "../passes/fuse-batch-norm.ts";
import { readStoredValue } from "../passes/stored.ts";
import { isFloat, toFloat64 } from "../tensor/convert.ts";
import type { Dense } from "../tensor/types.ts";

export interface LayerMatch {
  readonly name: string;
  /** Its place among the layers of the changed model, which holds whatever is added around them. */
  readonly place: number;
  /** The place of its counterpart among the layers of the original. */
  readonly counterpart: number;
  /** The name of what the original's layer answers, bias included. */
  readonly original: string;
  /** The axis of both outputs that counts channels. */
  readonly axis: number;
  /** The original's channels that are left; undefined for all. */
  readonly kept: readonly number[] | undefined;
  /** A batch normalization follows, in both: what the layer adds to its channels makes no difference. */
  readonly normalized: boolean;
}

export interface Match {
  /** The original, with batch normalization folded where the changed model has it folded. */
  readonly original: Model;
  readonly layers: readonly LayerMatch[];
  /** Of each layer of the original that lost channels, as far as that is known: which are left, by the name of its weight. */
  readonly kept: ReadonlyMap<string, readonly number[]>;
  readonly misses: readonly Miss[];
}

export async function matchOriginal(changed: Model, original: Model, engine: Engine): Promise<Match> {
  const model = changed.clone();
  const inference = infer(model);
  const found = layersOf(model, inference);
  const reference = await foldedLike(original, found, inference);
  const known = infer(reference);
  const candidates = layersOf(reference, known);
  const counterparts = counterpartsAmong(candidates);
  const misses: Miss[] = [];
  const matched: LayerMatch[] = [];
  const cut = new Map<string, readonly number[]>();
  const used = new Set<Layer>();
  for (const [place, layer] of found.entries()) {
    const counterpart = counterparts(layer).find((other) => !used.has(other));
    const recorded = counterpart && recordedAgainst(reference, counterpart, model, layer);
    if (counterpart !== undefined && recorded !== undefined && recorded.length < counterpart.outputs)
      cut.set(counterpart.effective.name, recorded);
    const same = comparable(layer, counterpart);
    const kept = same instanceof Miss ? same : await keptChannels(reference, same, model, layer, engine);
    if (same instanceof Miss || kept instanceof Miss) {
      misses.push(new Miss(kept instanceof Miss ? kept.reason : "it has no counterpart in the original", layer.name));
      continue;
    }
    used.add(same);
    if (kept !== undefined) cut.set(same.effective.name, kept);
    matched.push({
      name: layer.name,
      place,
      counterpart: candidates.indexOf(same),
      original: biased(same, known)?.output.name ?? "",
      axis: layer.role.outputAxis,
      kept,
      normalized: isNormalized(layer, inference),
    });
  }
  return { original: reference, layers: matched, kept: cut, misses };
}

async function foldedLike(original: Model, changed: readonly Layer[], inference: Inference): Promise<Model> {
  const reference = original.clone();
  const normalized = new Map(changed.map((layer) => [layer.name, isNormalized(layer, inference)]));
  await fuseBatchNorms(reference, { trained: true, into: ({ name }) => normalized.get(name) === false });
  return reference;
}

function isNormalized(layer: Layer, inference: Inference): boolean {
  return [...(biased(layer, inference)?.output.uses ?? [])].some((use) => {
    const bound = inference.at(use.node);
    const affine = bound instanceof Miss ? bound : bound.affine();
    return !(affine instanceof Miss) && affine.kind === "normalization";
  });
}

function comparable(layer: Layer, same: Layer | undefined): Layer | Miss {
  if (same === undefined) return new Miss("the original has no such layer");
  const other = requireProduct(layer) ?? requireProduct(same);
  if (other !== undefined) return other;
  if (layer.role.outputAxis <= 0) return new Miss("its channels lie along the batch axis");
  if (same.role.outputAxis !== layer.role.outputAxis || same.role.outTaps?.length !== layer.role.outTaps?.length)
    return new Miss("its channels lie along another axis");
  const type = layer.node.outputs[0]?.type?.type;
  return type !== undefined && !isFloat(type) ? new Miss(`it computes ${type}`) : same;
}

async function keptChannels(
  original: Model,
  before: Layer,
  changed: Model,
  after: Layer,
  engine: Engine,
): Promise<readonly number[] | undefined | Miss> {
  if (before.outputs === after.outputs) return undefined;
  if (after.outputs > before.outputs) return new Miss("it has more channels than the original");
  const recorded = recordedAgainst(original, before, changed, after);
  if (recorded !== undefined) return recorded;
  const [all, left] = [
    rowsOf(await readStoredValue(original, before.effective, engine), before),
    rowsOf(await readStoredValue(changed, after.effective, engine), after),
  ];
  const kept: number[] = [];
  let next = 0;
  for (const row of left) {
    while (next < all.length && !isPart(row, all[next] ?? [])) next++;
    if (next === all.length)
      return new Miss("channels were cut and the weights changed since: cannot map channels to the original");
    kept.push(next++);
  }
  return kept;
}

/** What the file says of the channels that are left, if it fits: the original may itself have lost some of them before. */
function recordedAgainst(original: Model, before: Layer, changed: Model, after: Layer): readonly number[] | undefined {
  const base = recordedKept(original, before.name);
  const recorded = recordedKept(changed, before.name) ?? recordedKept(changed, after.name);
  const kept = recorded?.map((channel) => (base === undefined ? channel : base.indexOf(channel)));
  const fits = kept?.length === after.outputs && kept.every((channel) => channel >= 0 && channel < before.outputs);
  return fits ? kept : undefined;
}

/** A row for each output channel: for each of its numbers and each input channel the weights. */
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

/** Whether the blocks of a row are some of those of another, in their order. */
function isPart(row: readonly Float64Array[], whole: readonly Float64Array[]): boolean {
  let at = 0;
  for (const block of row) {
    while (at < whole.length && !sameNumbers(block, whole[at])) at++;
    if (at++ >= whole.length) return false;
  }
  return true;
}

function sameNumbers(a: Float64Array, b: Float64Array | undefined): boolean {
  return b !== undefined && a.length === b.length && a.every((value, index) => value === b[index]);
}
