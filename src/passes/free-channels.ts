/**
 * Forms of a graph in which more channels can be cut. Exporters read sizes off the weights themselves, in front of a bias of zeros for instance, and
 * what reads a size keeps it from changing: sizes that are known before the run are stored, and cut with the weights. They store equal biases once for
 * several layers, and transpose between two Reshapes.
 *
 *     b = ConstantOfShape(Shape(fc.weight)[0])     →     b = ConstantOfShape([128])
 */
import { channelGroups, removable } from "../analysis/channels.ts";
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
  await freeChannels(copy, freeUnits);
  return copy;
}

/** Brings the graph of a model, in place, into a form in which more channels are free by `count`: as little as is needed for that. */
export async function freeChannels(model: Model, count: (model: Model) => number, context?: Context): Promise<void> {
  let before: number | undefined;
  /** So many passes find nothing in the model as it is. */
  let idle = 0;
  for (const length of forms) {
    const restore = snapshot(model);
    if (!(await settle(model, passes.slice(0, length), idle, context))) {
      idle = length;
      continue;
    }
    const after = count(model);
    if (before === undefined) {
      const again = snapshot(model);
      restore();
      before = count(model);
      again();
    }
    if (after > before) [before, idle] = [after, length];
    else restore();
  }
}

/**
 * Sizes first; then what only holds equal numbers; then where sizes are read; then what stands between axes that are parted and merged again. None reads
 * a large tensor.
 */
const passes = [foldShapes, partVectors, readSizes, removeIdentities, fusePairs, dropUnused];
/** How many of them make a form. */
const forms = [1, 2, 3, passes.length];

/** Passes in turn, until none finds anything; the first `idle` do not at first. @returns whether one did. */
async function settle(model: Model, turn: typeof passes, idle: number, context?: Context): Promise<boolean> {
  let next = turn.slice(idle);
  for (let round = 0; ; round++) {
    let found = 0;
    for (const pass of next) found += (await pass(model, {}, context)).changes.length;
    if (found === 0) return round > 0;
    next = turn;
  }
}

function freeUnits(model: Model): number {
  return channelGroups(model, infer(model)).reduce((sum, group) => sum + removable(group).length, 0);
}
