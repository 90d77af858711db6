/** Prunes individual weights: chooses the mask of each layer, and then applies all masks. */
import { type Layer, maskingOf } from "#analysis";
import { type Dense, elementCount, integer, Miss, type Model, type Tensor, toFloats, type Value } from "#ir";
import type { Change, LayerSelection, Outcome } from "#pass";
import { storeWeights } from "../../rewrite/clean-up/store-constants.ts";
import { floatOf, type Keep, type Mask, maskBlocks, setMask, stored } from "../../rewrite/edit/mask.ts";
import { byMagnitude, type Scorer } from "./importance.ts";
import type { RankedParameter } from "./ranking.ts";
import { applyMask, type CountedThreshold, createPruner, pruneMask } from "./smallest-entries.ts";
import { selectWeights, type Weight } from "./targets.ts";

export interface MaskChoice {
  readonly target: Weight;
  /** Number of remaining entries before and after pruning. */
  readonly before: number;
  readonly after: number;
  readonly decidedBy?: Change["decidedBy"];
  /** Whether the largest entry is kept so that the layer is not empty. */
  readonly keepsLastEntry?: boolean;
  mask(): Promise<Mask>;
  /** Returns a function that prunes consecutive blocks of weights without a mask in memory. */
  pruner?(): Promise<Keep>;
}

export interface MaskOptions extends LayerSelection {
  /** Stores masks in addition to the weights; otherwise weights become zero. */
  readonly keepMasks: boolean;
}

export type ScorerFactory = (layers: readonly Layer[]) => Promise<Scorer>;

/** Chooses all masks before applying one. @param chooserFor gets all parameters; returns the chooser of a mask. */
export async function pruneByMasks(
  model: Model,
  { keepMasks, ...selection }: MaskOptions,
  scorerFor: ScorerFactory | undefined,
  chooserFor: (targets: readonly Weight[], scorer: Scorer) => Promise<(target: Weight) => Promise<MaskChoice | Miss>>,
): Promise<Outcome> {
  storeWeights(model);
  const { targets, misses } = await selectWeights(model, selection);
  const tensors = new Map(targets.map(({ parameter }) => [parameter, stored(parameter)]));
  const scorer = (await scorerFor?.(targets.map(({ layer }) => layer))) ?? byMagnitude;
  const choose = await chooserFor(targets, scorer);
  const choices: MaskChoice[] = [];
  const refusals: Miss[] = [];
  for (const target of targets) {
    const choice = await choose(target);
    if (choice instanceof Miss) refusals.push(choice);
    else choices.push(choice);
  }
  for (const choice of choices)
    await (keepMasks ? setMask(model, choice.target.parameter, await choice.mask()) : zeroEntries(choice));
  // With `keepMasks`, the result has changed even if nothing was pruned: masks of ones were added.
  if (keepMasks || (await isAnyChanged(choices, tensors)))
    return { changes: choices.map(changeOf), misses: [...misses, ...refusals] };
  for (const [parameter, tensor] of tensors) parameter.tensor = tensor;
  return { changes: [], misses: [...misses, ...refusals, ...choices.map(explainUnchanged)] };
}

/** Returns whether pruning changed a parameter. Compares the smallest parameters first, because one difference suffices. */
async function isAnyChanged(choices: readonly MaskChoice[], tensors: ReadonlyMap<Value, Tensor>): Promise<boolean> {
  for (const { target, before, after } of choices.toSorted((a, b) => a.before - b.before)) {
    if (before === after) continue;
    const { parameter } = target;
    if (maskingOf(parameter) !== undefined) return true;
    const tensor = tensors.get(parameter);
    if (tensor === undefined || !haveSameNumbers(await tensor.read(), await stored(parameter).read())) return true;
  }
  return false;
}

function haveSameNumbers(a: Dense, b: Dense): boolean {
  const numbers = toFloats(b);
  return toFloats(a).every((number, index) => number === numbers[index]);
}

function explainUnchanged({ target: { layer }, before, after }: MaskChoice): Miss {
  const reason =
    after < before
      ? "the weights to remove are already 0, because zeros in the file count; use a larger amount"
      : "the number of weights to remove rounds to 0, or is all of them";
  return new Miss(before === 0 ? "it has no weights left" : reason, layer.name);
}

export async function thresholdChoice(
  target: Weight,
  { mask, scores, from }: RankedParameter,
  before: number,
  cut: CountedThreshold,
): Promise<MaskChoice> {
  const after = before - cut.prunedCount;
  const computeMask = async (): Promise<Mask> => pruneMask(await mask(), await scores(), cut);
  if (from === "computed") {
    const result = await computeMask();
    return { target, before, after, mask: async () => result };
  }
  const pruner = async (): Promise<Keep> => {
    const [currentMask, keepNext] = [await mask(), createPruner(cut)];
    return (weights, start) => keepNext(weights, currentMask?.subarray(start, start + weights.length));
  };
  return { target, before, after, mask: computeMask, pruner };
}

async function zeroEntries({ target: { parameter }, mask, pruner }: MaskChoice): Promise<void> {
  const keepByMask = async (): Promise<Keep> => {
    const oldMask = await mask();
    return (weights, start) => applyMask(weights, oldMask.subarray(start, start + weights.length));
  };
  parameter.tensor = await maskBlocks(stored(parameter), floatOf(parameter), pruner ?? keepByMask);
}

function changeOf({ target, before, after, decidedBy = "global", keepsLastEntry }: MaskChoice): Change {
  const size = elementCount(stored(target.parameter).dims);
  const reason = keepsLastEntry ? ": the largest is kept, so that the layer is not empty" : "";
  const text = `${integer(before - after)} of ${integer(before)} pruned, ${integer(after)} of ${integer(size)} left${reason}`;
  return { at: target.layer.name, what: text, decidedBy };
}
