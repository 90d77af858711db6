/**
 * Exporters read sizes off the weights themselves, in front of a bias of zeros for instance, and what reads a size keeps it from changing. Sizes
 * that are known before the run can be stored, and cut with the weights: that frees channels.
 *
 *     b = ConstantOfShape(Shape(fc.weight)[0])     →     b = ConstantOfShape([128])
 */
import { channelGroups, removable } from "../analysis/channels.ts";
import { infer } from "../analysis/infer.ts";
import { allNodes, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { snapshot } from "../graph/snapshot.ts";
import { foldShapes } from "./fold-shapes.ts";
import type { Context } from "./pass.ts";

/** The model as channels are cut from it: a copy, where sizes have to be stored for that. */
export async function withFreeChannels(model: Model): Promise<Model> {
  if (!computesSizes(model)) return model;
  const copy = model.clone();
  await freeChannels(copy, freeUnits);
  return copy;
}

/** Stores the sizes of a model, in place, if more channels are free then by `count`. */
export async function freeChannels(model: Model, count: (model: Model) => number, context?: Context): Promise<void> {
  if (!computesSizes(model)) return;
  const before = count(model);
  const restore = snapshot(model);
  const { changes } = await foldShapes(model, {}, context);
  if (changes.length === 0 || count(model) <= before) restore();
}

/** Whether a node makes whole numbers that are known before the run. */
function computesSizes(model: Model): boolean {
  const inference = infer(model);
  const isKnown = (value: Value | undefined): boolean =>
    value !== undefined && inference.operand(value)?.elements !== undefined;
  for (const { outputs } of allNodes(model.graph)) if (outputs.some(isKnown)) return true;
  return false;
}

function freeUnits(model: Model): number {
  return channelGroups(model, infer(model)).reduce((sum, group) => sum + removable(group).length, 0);
}
