/**
 * Rewrites a graph so that more channels can be cut. Exporters read sizes from weights (before a bias of zeros, for instance), share equal biases,
 * and transpose between two Reshapes; all of these tie channels. Known sizes are stored instead, and cut with the weights.
 *      b = ConstantOfShape(Shape(fc.weight)[0])     →     b = ConstantOfShape([128])
 */
import { channelGroups, compareFreedom, type Freedom, freedomOf } from "../../core/analysis/channels.ts";
import { infer } from "../../core/analysis/infer.ts";
import type { Model } from "../../core/graph/model.ts";
import { snapshot } from "../../core/graph/snapshot.ts";
import type { Context } from "../../core/pass/pass.ts";
import { dropUnused } from "./drop-unused.ts";
import { foldShapes } from "./fold-shapes.ts";
import { fusePairs } from "./fuse-pairs.ts";
import { partVectors } from "./part-vectors.ts";
import { readSizes } from "./read-sizes.ts";
import { removeIdentities } from "./remove-identities.ts";

export async function withFreeChannels(model: Model): Promise<Model> {
  const copy = model.clone();
  await freeChannels(copy, (one) => ({ free: freedomOf(channelGroups(one, infer(one))) }));
  return copy;
}

/**
 * Rewrites a model in place, as little as needed, so that most channels are free (`freedomOf`). Tries the complete rewrite first.
 * @returns what `look` returns for the form that is kept.
 */
export async function freeChannels<Look extends { readonly free: Freedom }>(
  model: Model,
  look: (model: Model) => Look,
  context?: Context,
): Promise<Look> {
  const original = snapshot(model);
  const whole = await settle(model, passes, context);
  if (whole === 0) return look(model);
  const toWhole = snapshot(model);
  const most = look(model);
  original();
  const before = look(model);
  if (compareFreedom(most.free, before.free) <= 0) return before;
  for (const length of forms.filter((one) => one < whole)) {
    if ((await settle(model, passes.slice(0, length), context)) === 0) continue;
    const found = look(model);
    if (compareFreedom(found.free, most.free) >= 0) return found;
  }
  toWhole();
  return most;
}

/** Sizes first, then shared vectors, then where sizes are read, then axes that are split and merged again. None reads a large tensor. */
const passes = [foldShapes, partVectors, readSizes, removeIdentities, fusePairs, dropUnused];
const forms = [1, 2, 3, passes.length];

/** Applies passes in turn until none changes anything. @returns how many passes it needed, from the first to the last with a change. */
async function settle(model: Model, turn: typeof passes, context?: Context): Promise<number> {
  let taken = 0;
  for (;;) {
    let found = 0;
    for (const [index, pass] of turn.entries()) {
      const { changes } = await pass(model, {}, context);
      found += changes.length;
      if (changes.length > 0) taken = Math.max(taken, index + 1);
    }
    if (found === 0) return taken;
  }
}
