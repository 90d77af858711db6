/** Spreads the amount to prune over layers by an allocation, and warns about layers that keep few channels or weights. */
import { optionsOfLayer } from "#analysis";
import { counted, integer, joinList, Miss, optionError } from "#ir";
import type { Change, Context } from "#pass";
import { stored } from "../../rewrite/edit/mask.ts";
import { awaitedAnswerOf } from "../shared/methods.ts";
import type { Allocation, RankedLayer, Share } from "./allocation.ts";
import { uniform } from "./allocations.ts";
import { maxCountOf } from "./choose-units.ts";
import type { Scorer } from "./importance.ts";
import { type RankedParameter, readRanked } from "./ranking.ts";
import type { CountedThreshold } from "./smallest-entries.ts";
import type { Weight } from "./targets.ts";

interface LayerAmount {
  /** Share of the remaining entries. */
  readonly amount: number;
  readonly decidedBy: NonNullable<Change["decidedBy"]>;
  /** Whether the layer can lose its last entry. */
  readonly empties: boolean;
  /** The entries to prune, if the allocation chose them by a threshold. */
  readonly cut?: SharedCut | undefined;
}

interface SharedCut {
  readonly ranked: RankedParameter;
  readonly before: number;
  readonly cut: CountedThreshold;
}

export type AmountsFactory = (targets: readonly Weight[], scorer: Scorer) => Promise<(target: Weight) => LayerAmount>;

interface SharedAmount {
  readonly allocation: Allocation;
  readonly amount: number;
  /** Options of individual layers. Layers with an `amount` here do not take part in the allocation. */
  readonly overrides?: Readonly<Record<string, { readonly amount?: number | undefined }>> | undefined;
  /** The largest share that the allocation may remove of a layer (1). */
  readonly maxLayerAmount?: number | undefined;
  onSpread?(layers: readonly Remainder[], share: number): void;
}

/** @throws PithError E_OPTION unless the allocation gives a share for each layer. */
export const allocateAmounts =
  ({ allocation, amount, overrides, ...spread }: SharedAmount): AmountsFactory =>
  async (targets, scorer) => {
    const optionsOf = ({ layer }: Weight) =>
      optionsOfLayer<Pick<SharedAmount, "overrides"> & { amount?: number }>({ overrides }, layer);
    const shared = targets.filter((target) => optionsOf(target).options.amount === undefined);
    // Equal shares do not depend on the layers, so the layers are not read.
    const isEven = allocation === uniform && spread.maxLayerAmount === undefined;
    const shares = isEven ? undefined : await sharesOf(allocation, amount, await rankedLayers(shared, scorer), spread);
    return (target) => {
      const { options, decidedBy } = optionsOf(target);
      const empties = (options.amount ?? amount) === 1 || amount === 1;
      const share =
        options.amount !== undefined || shares === undefined
          ? { amount: options.amount ?? amount }
          : (shares.get(target) ?? { amount: 0 });
      return { decidedBy, empties, ...share };
    };
  };

async function sharesOf(
  allocation: Allocation,
  share: number,
  layers: ReadonlyMap<Weight, RankedTarget>,
  { maxLayerAmount = 1, onSpread }: Pick<SharedAmount, "maxLayerAmount" | "onSpread">,
): Promise<ReadonlyMap<Weight, Pick<LayerAmount, "amount" | "cut">>> {
  const total = entryCount([...layers.values()]);
  // A layer whose share exceeds the limit gets the limit, and the other layers share the rest.
  const limited = new Map<Weight, number>();
  let shares: ReadonlyMap<Weight, Share> = limited;
  for (;;) {
    const unlimitedLayers = new Map([...layers].filter(([target]) => !limited.has(target)));
    const removed = [...layers].reduce((sum, [target, { before }]) => sum + (limited.get(target) ?? 0) * before, 0);
    const rest = Math.min(1, (share * total - removed) / Math.max(1, entryCount([...unlimitedLayers.values()])));
    const allocatedShares = unlimitedLayers.size === 0 ? [] : await requestShares(allocation, rest, unlimitedLayers);
    shares = new Map<Weight, Share>([...limited, ...allocatedShares]);
    const overLimit = [...unlimitedLayers].filter(
      ([target, { before }]) => fractionPruned(shares.get(target) ?? 0, before) > maxLayerAmount,
    );
    if (overLimit.length === 0) break;
    for (const [target, { before }] of overLimit)
      limited.set(target, maxCountOf(maxLayerAmount, before) / Math.max(1, before));
  }
  const remains = [...layers].map(([target, { before }]) => ({
    name: target.layer.name,
    left: Math.round(before * (1 - fractionPruned(shares.get(target) ?? 0, before))),
    size: before,
  }));
  onSpread?.(remains, share);
  return new Map(
    [...layers].map(([target, { ranked, before }]) => {
      const cutShare = shares.get(target) ?? 0;
      const amount = fractionPruned(cutShare, before);
      return [target, typeof cutShare === "number" ? { amount } : { amount, cut: { ranked, before, cut: cutShare } }];
    }),
  );
}

const entryCount = (layers: readonly Pick<RankedTarget, "before">[]): number =>
  layers.reduce((sum, { before }) => sum + before, 0);

const fractionPruned = (share: Share, before: number): number =>
  typeof share === "number" ? share : share.prunedCount / Math.max(1, before);

/** @throws PithError E_OPTION unless the allocation gives a share for each layer. */
async function requestShares(
  allocation: Allocation,
  share: number,
  layers: ReadonlyMap<Weight, RankedTarget>,
): Promise<ReadonlyMap<Weight, Share>> {
  const layerRankings = [...layers.values()].map(({ layer }) => layer);
  const subject = `The allocation "${allocation.id}"`;
  const shares = await awaitedAnswerOf(subject, async () => allocation.shares?.(layerRankings, share));
  const isShare = (value: Share): boolean => typeof value === "object" || (value >= 0 && value <= 1);
  if (!Array.isArray(shares) || !shares.every(isShare) || shares.length !== layerRankings.length)
    throw optionError(`${subject}: expected a share from 0 to 1 for each of ${layerRankings.length} layers.`);
  return new Map(Array.from(layers.keys(), (target, index) => [target, shares[index] ?? 0]));
}

interface RankedTarget extends Omit<SharedCut, "cut"> {
  readonly layer: RankedLayer;
}

/** Returns the layers that can be ranked. */
async function rankedLayers(targets: readonly Weight[], scorer: Scorer): Promise<ReadonlyMap<Weight, RankedTarget>> {
  const layers = new Map<Weight, RankedTarget>();
  for (const target of targets) {
    const rankedEntries = await readRanked(target, scorer);
    if (rankedEntries instanceof Miss) continue;
    const { layer, parameter } = target;
    const { ranked, before } = rankedEntries;
    layers.set(target, {
      ranked,
      before,
      layer: {
        layer,
        dims: stored(parameter).dims,
        left: before,
        ...(ranked.sample && { sample: ranked.sample }),
        async scores() {
          const [mask, scores] = [await ranked.mask(), await ranked.scores()];
          return mask === undefined ? scores : scores.filter((_, index) => mask[index] === 1);
        },
      },
    });
  }
  return layers;
}

export interface Remainder {
  readonly name: string;
  readonly left: number;
  readonly size: number;
}

/** A layer is narrow if it keeps less than this share of the entries that an even spread of the amount would leave. */
const narrowShare = 1 / 4;
const namesShown = 12;

export function warnOfNarrowLayers(
  layers: readonly Remainder[],
  amount: number,
  parts: "channels" | "weights",
  { log }: Pick<Context, "log">,
): void {
  const narrow = layers.filter(({ left, size }) => left < narrowShare * (1 - amount) * size);
  if (narrow.length === 0) return;
  const names = narrow
    .toSorted((a, b) => a.left / a.size - b.left / b.size)
    .map(({ name, left, size }) => `${name} (${integer(left)} of ${integer(size)})`);
  const keep = narrow.length === 1 ? "keeps" : "keep";
  const text = `${counted(narrow.length, "layer")} ${keep} few ${parts}: ${joinList(names, namesShown)}. Limit the share that a layer loses with \`maxLayerAmount: 0.8\``;
  log({ id: "narrow", text, level: "warning" });
}
