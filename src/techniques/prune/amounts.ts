import { infer } from "../../core/analysis/infer.ts";
import { layers as layersOf } from "../../core/analysis/layers.ts";
import { parametersOf } from "../../core/analysis/parameters.ts";
import { ownOptions } from "../../core/analysis/selection.ts";
import { Miss, PithError } from "../../core/errors.ts";
import type { Model } from "../../core/graph/model.ts";
import type { Cut } from "../../core/math/smallest.ts";
import { awaitedAnswerOf } from "../../core/pass/own-methods.ts";
import type { Change } from "../../core/pass/pass.ts";
import { stored } from "../../rewrite/edit/fold-mask.ts";
import type { Allocation, RankedLayer, Share } from "./allocations/allocation.ts";
import { uniform } from "./allocations/index.ts";
import { type Amount, atMost, fractionOf, isAll } from "./amount.ts";
import type { Scorer } from "./importance.ts";
import type { Remains } from "./narrow-layers.ts";
import { type RankedParameter, readRanked, type Tensors } from "./ranking.ts";
import type { Target } from "./targets.ts";

export interface OwnAmount {
  readonly amount: Amount;
  readonly decidedBy: NonNullable<Change["decidedBy"]>;
  /** Whether the layer may lose all of its entries, because that was requested. */
  readonly empties: boolean;
  /** The entries below a threshold that all layers share. */
  readonly cut?: KnownCut | undefined;
}

/** @param before the number of remaining entries. */
export interface KnownCut {
  readonly ranked: RankedParameter;
  readonly before: number;
  readonly cut: Cut;
}

export type AmountsFactory = (targets: readonly Target[], scorer: Scorer) => Promise<(target: Target) => OwnAmount>;

interface Sharing {
  readonly allocation: Allocation;
  readonly amount: Amount;
  /** Layers with an amount of their own are left out of the allocation. */
  readonly overrides?: Readonly<Record<string, { readonly amount?: Amount | undefined }>> | undefined;
  readonly importanceScores?: Tensors | undefined;
  /** Whether a layer may lose all of its entries although less was requested. */
  readonly empties: boolean;
  /** The largest share that the allocation may remove of a layer (1). */
  readonly maxLayerAmount?: number | undefined;
  /** Receives the remaining entries of each layer. */
  onSpread?(layers: readonly Remains[], share: number): void;
}

/** @throws PithError E_OPTION if the allocation gives no shares, or cannot. */
export const allocated =
  (model: Model, { allocation, amount, overrides, importanceScores, empties, ...spread }: Sharing): AmountsFactory =>
  async (targets, scorer) => {
    const own = ({ layer }: Target) =>
      ownOptions<Pick<Sharing, "overrides"> & { amount?: Amount }>({ overrides }, layer);
    const others = targets.filter((target) => own(target).own.amount === undefined);
    // Equal shares do not depend on the layers, so the layers are not read.
    const isEven = allocation === uniform && spread.maxLayerAmount === undefined;
    const shares = isEven
      ? undefined
      : await sharesOf(allocation, amount, await rankedLayers(model, others, importanceScores, scorer), spread);
    return (target) => {
      const { own: given, decidedBy } = own(target);
      const whole = { decidedBy, empties: empties || isAll(given.amount ?? amount) || isAll(amount) };
      if (given.amount !== undefined || shares === undefined) return { ...whole, amount: given.amount ?? amount };
      return { ...whole, amount: { fraction: 0 }, ...shares.get(target) };
    };
  };

async function sharesOf(
  allocation: Allocation,
  amount: Amount,
  layers: ReadonlyMap<Target, Ranked>,
  { maxLayerAmount: most = 1, onSpread }: Pick<Sharing, "maxLayerAmount" | "onSpread">,
): Promise<ReadonlyMap<Target, Pick<OwnAmount, "amount" | "cut">>> {
  const total = entriesIn([...layers.values()]);
  const share = fractionOf(amount, total);
  // A layer that would lose more than the limit loses just that, and the other layers lose the rest.
  const limited = new Map<Target, number>();
  let shares: ReadonlyMap<Target, Share> = limited;
  for (;;) {
    const others = new Map([...layers].filter(([target]) => !limited.has(target)));
    const removed = [...layers].reduce((sum, [target, { before }]) => sum + (limited.get(target) ?? 0) * before, 0);
    const rest = Math.min(1, (share * total - removed) / Math.max(1, entriesIn([...others.values()])));
    const asked = others.size === 0 ? [] : await askedShares(allocation, rest, others);
    shares = new Map<Target, Share>([...limited, ...asked]);
    const beyond = [...others].filter(([target, { before }]) => fractionIn(shares.get(target) ?? 0, before) > most);
    if (beyond.length === 0) break;
    for (const [target, { before }] of beyond) limited.set(target, atMost(most, before) / Math.max(1, before));
  }
  const remains = [...layers].map(([target, { before }]) => ({
    name: target.layer.name,
    left: Math.round(before * (1 - fractionIn(shares.get(target) ?? 0, before))),
    size: before,
  }));
  onSpread?.(remains, share);
  return new Map(
    [...layers].map(([target, { ranked, before }]) => {
      const own = shares.get(target) ?? 0;
      const amount = { fraction: fractionIn(own, before) };
      return [target, typeof own === "number" ? { amount } : { amount, cut: { ranked, before, cut: own } }];
    }),
  );
}

const entriesIn = (layers: readonly Pick<Ranked, "before">[]): number =>
  layers.reduce((sum, { before }) => sum + before, 0);

const fractionIn = (share: Share, before: number): number =>
  typeof share === "number" ? share : share.gone / Math.max(1, before);

/** @throws PithError E_OPTION unless the allocation gives a share for each layer. */
async function askedShares(
  allocation: Allocation,
  share: number,
  layers: ReadonlyMap<Target, Ranked>,
): Promise<ReadonlyMap<Target, Share>> {
  const ranked = [...layers.values()].map(({ layer }) => layer);
  const whose = `The allocation "${allocation.id}"`;
  const shares = await awaitedAnswerOf(whose, async () => allocation.shares?.(ranked, share));
  const isShare = (own: Share): boolean => typeof own === "object" || (own >= 0 && own <= 1);
  if (!Array.isArray(shares) || !shares.every(isShare) || shares.length !== ranked.length)
    throw new PithError("E_OPTION", `${whose}: expected a share from 0 to 1 for each of ${ranked.length} layers.`);
  return new Map(Array.from(layers.keys(), (target, index) => [target, shares[index] ?? 0]));
}

interface Ranked extends Omit<KnownCut, "cut"> {
  readonly layer: RankedLayer;
}

/** The layers that can be ranked. Pruning reports why others cannot. */
async function rankedLayers(
  model: Model,
  targets: readonly Target[],
  importanceScores: Tensors | undefined,
  scorer: Scorer,
): Promise<ReadonlyMap<Target, Ranked>> {
  const inference = infer(model);
  const learned = new Set(parametersOf(model, inference));
  const trained = layersOf(model, inference).filter(({ weight }) => learned.has(weight));
  const [first, last] = [trained[0]?.weight, trained.at(-1)?.weight];
  const found = new Map<Target, Ranked>();
  for (const target of targets) {
    const read = await readRanked(target, importanceScores, scorer);
    if (read instanceof Miss) continue;
    const { layer, parameter } = target;
    const { ranked, before } = read;
    found.set(target, {
      ranked,
      before,
      layer: {
        layer,
        dims: stored(parameter).dims,
        left: before,
        place: layer.weight === first ? "first" : layer.weight === last ? "last" : undefined,
        ...(ranked.sample === undefined ? {} : { sample: ranked.sample }),
        async scores() {
          const [mask, scores] = [await ranked.mask(), await ranked.scores()];
          return mask === undefined ? scores : scores.filter((_, at) => mask[at] === 1);
        },
      },
    });
  }
  return found;
}
