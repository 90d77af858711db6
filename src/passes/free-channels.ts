/**
 * Forms of a graph in which more channels can be cut. Exporters read sizes off the weights themselves, in front of a bias of zeros for instance, and
 * what reads a size keeps it from changing: sizes that are known before the run are stored, and cut with the weights. They store equal biases once for
 * several layers, and transpose between two Reshapes.
 *
 *     b = ConstantOfShape(Shape(fc.weight)[0])     →     b = ConstantOfShape([128])
 */
import { channelGroups, compareFreedom, type Freedom, freedomOf } from "../analysis/channels.ts";
import { infer } from "../analysis/infer.ts";
import type { Model } from "../graph/model.ts";
import { snapshot } from "../graph/snapshot.ts";
import { dropUnused } from "./drop-unused.ts";
import { foldShapes } from "./fold-shapes.ts";
import { fusePairs } from "./fuse-pairs.ts";
import { partVectors } from "./part-vectors.ts";
import type { Context } from "./pass.ts";
import { readSizes } from "./read-sizes.ts";
import { removeIdentities } from "./remove-identities.ts";

/** A copy of the model in the form from which channels are cut. */
export async function withFreeChannels(model: Model): Promise<Model> {
  const copy = model.clone();
  await freeChannels(copy, (one) => ({ free: freedomOf(channelGroups(one, infer(one))) }));
  return copy;
}

/**
 * Brings the graph of a model, in place, into a form in which most channels are free (`freedomOf`): as little as is needed for that. The whole is tried first, since
 * most models are as free as they can be.
 * @returns what `look` says of the form that is kept.
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

/**
 * Sizes first; then what only holds equal numbers; then where sizes are read; then what stands between axes that are parted and merged again. None reads
 * a large tensor.
 */
const passes = [foldShapes, partVectors, readSizes, removeIdentities, fusePairs, dropUnused];
/** How many of them make a form. */
const forms = [1, 2, 3, passes.length];

/** Passes in turn, until none finds anything. @returns how many of them it took, from the first to the last that found something. */
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
