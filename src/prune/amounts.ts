/** How much goes of each parameter: what is said of it, or what an allocation gives it of an amount for all of them together. */
import { infer } from "../analysis/infer.ts";
import { layers as layersOf } from "../analysis/layers.ts";
import { parametersOf } from "../analysis/parameters.ts";
import { ownOptions } from "../analysis/selection.ts";
import { Miss, PithError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import type { Cut } from "../math/smallest.ts";
import { stored } from "../passes/fold-mask.ts";
import { awaitedAnswerOf } from "../passes/own-methods.ts";
import type { Change } from "../passes/pass.ts";
import { type Allocation, type RankedLayer, type Share, total } from "./allocations/allocation.ts";
import { uniform } from "./allocations/index.ts";
import { type Amount, fractionOf, isAll } from "./amount.ts";
import type { Scorer } from "./importance.ts";
import { type RankedParameter, readRanked, type Tensors } from "./ranking.ts";
import type { Target } from "./targets.ts";

export interface OwnAmount {
  readonly amount: Amount;
  readonly decidedBy: NonNullable<Change["decidedBy"]>;
  /** Whether nothing may be left of the layer: because just that was asked for. */
  readonly empties: boolean;
  /** What goes of it by a threshold that all layers share. */
  readonly cut?: KnownCut | undefined;
}

/** @param before entries that are left. */
export interface KnownCut {
  readonly ranked: RankedParameter;
  readonly before: number;
  readonly cut: Cut;
}

export type AmountsFactory = (targets: readonly Target[], scorer: Scorer) => Promise<(target: Target) => OwnAmount>;

interface Sharing {
  readonly allocation: Allocation;
  readonly amount: Amount;
  /** Layers with an amount of their own have no part in the allocation. */
  readonly overrides?: Readonly<Record<string, { readonly amount?: Amount | undefined }>> | undefined;
  readonly importanceScores?: Tensors | undefined;
  /** Whether a layer may lose all though less is asked for. */
  readonly empties: boolean;
}

/** @throws PithError E_OPTION where the allocation gives no shares, or cannot. */
export const allocated =
  (model: Model, { allocation, amount, overrides, importanceScores, empties }: Sharing): AmountsFactory =>
  async (targets, scorer) => {
    const said = ({ layer }: Target) =>
      ownOptions<Pick<Sharing, "overrides"> & { amount?: Amount }>({ overrides }, layer);
    const others = targets.filter((target) => said(target).own.amount === undefined);
    // What asks nothing of the layers costs no look at them.
    const shares =
      allocation === uniform
        ? undefined
        : await sharesOf(allocation, amount, await rankedLayers(model, others, importanceScores, scorer));
    return (target) => {
      const { own, decidedBy } = said(target);
      const whole = { decidedBy, empties: empties || isAll(own.amount ?? amount) || isAll(amount) };
      if (own.amount !== undefined || shares === undefined) return { ...whole, amount: own.amount ?? amount };
      return { ...whole, amount: { fraction: 0 }, ...shares.get(target) };
    };
  };

async function sharesOf(
  allocation: Allocation,
  amount: Amount,
  layers: ReadonlyMap<Target, Ranked>,
): Promise<ReadonlyMap<Target, Pick<OwnAmount, "amount" | "cut">>> {
  const ranked = [...layers.values()].map(({ layer }) => layer);
  const share = fractionOf(amount, total(ranked));
  const whose = `The allocation "${allocation.id}"`;
  const shares = await awaitedAnswerOf(whose, async () => allocation.shares?.(ranked, share));
  const isShare = (own: Share): boolean => typeof own === "object" || (own >= 0 && own <= 1);
  if (!Array.isArray(shares) || !shares.every(isShare) || shares.length !== ranked.length)
    throw new PithError("E_OPTION", `${whose} did not give each of ${ranked.length} layers a share from 0 to 1.`);
  return new Map(
    [...layers].map(([target, { ranked, before }], at) => {
      const share = shares[at] ?? 0;
      if (typeof share === "number") return [target, { amount: { fraction: share } }];
      return [target, { amount: { fraction: share.gone / Math.max(1, before) }, cut: { ranked, before, cut: share } }];
    }),
  );
}

interface Ranked extends Omit<KnownCut, "cut"> {
  readonly layer: RankedLayer;
}

/** Those that can be ranked: why others cannot is said where they are pruned. */
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
