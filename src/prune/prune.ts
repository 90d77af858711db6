/**
 * Pruning as a pass: the smallest weights, or the weakest channels.
 *
 * Unstructured: the entries of least magnitude become zero. The file keeps its size, compresses better, and runs no faster on ONNX Runtime.
 * `keepMasks` leaves the masks in the graph, so that training keeps the zeros: a mask has the size and type of its weight, so it doubles
 * a file until `remove` folds it in.
 *
 * Structured: whole channels are cut out, with everything that depends on them (`analysis/channels.ts`):
 *
 *     conv1.weight: [64, 3, 3, 3]     conv1.weight: [48, 3, 3, 3]
 *     conv2.weight: [64, 64, 3, 3]    conv2.weight: [64, 48, 3, 3]
 *
 * The file gets smaller and the model faster. Channels that cannot go (outputs of the model, operators that refuse) are misses.
 */
import * as v from "valibot";
import { channelGroups, type Group, removable } from "../analysis/channels.ts";
import { cut, refusesCut } from "../analysis/cut.ts";
import { type Inference, infer } from "../analysis/infer.ts";
import { layers as layersOf } from "../analysis/layers.ts";
import { noLayers } from "../analysis/no-layers.ts";
import { isNamed, selectLayers } from "../analysis/selection.ts";
import type { Engine } from "../engine/index.ts";
import { Miss } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { foldShapes } from "../passes/fold-shapes.ts";
import { withFreeChannels } from "../passes/free-channels.ts";
import { withStoredConstants } from "../passes/lift-constants.ts";
import { described, selectionOptions } from "../passes/options.ts";
import { definePass, type Outcome } from "../passes/pass.ts";
import { scoreUnits } from "./channel-scores.ts";
import { type Choice, leastOfAll, leastOfEach, type Scored } from "./choose-units.ts";
import { globalUnstructured } from "./global.ts";
import { isPruned, remove } from "./remove.ts";
import { l1Unstructured } from "./rules.ts";

const share = v.pipe(
  v.number("takes a number from 0 to 1"),
  v.minValue(0, "takes a number from 0 to 1"),
  v.maxValue(1, "takes a number from 0 to 1"),
);

const options = v.pipe(
  v.strictObject({
    amount: described(v.optional(share), "share of weights (or channels) to prune, of those that are left"),
    structured: v.pipe(
      v.optional(v.union([v.boolean(), share], "takes true, false or a number from 0 to 1"), false),
      v.description("cut whole channels instead of masking single weights; a number is the amount"),
      v.metadata({ value: "amount" }),
    ),
    scope: v.pipe(
      v.optional(v.picklist(["uniform", "global"], 'is "uniform" or "global"'), "uniform"),
      v.description("the same share of every layer, or the least of all layers together"),
    ),
    ...selectionOptions("prune"),
    n: v.pipe(
      v.optional(v.picklist([1, 2], "is 1 or 2"), 2),
      v.description("structured: rank channels by the sum of |w| (1) or of its squares (2)"),
    ),
    keepMasks: v.pipe(
      v.optional(v.boolean(), false),
      v.description("keep the masks in the file for fine-tuning: pith train leaves what they cover at zero"),
    ),
  }),
  v.forward(
    v.check(
      ({ amount, structured }) => amount !== undefined || typeof structured === "number",
      "is needed, for example 0.5",
    ),
    ["amount"],
  ),
  v.forward(
    v.check(
      ({ amount, structured }) => amount === undefined || typeof structured !== "number",
      "is given twice: by itself and with `structured`",
    ),
    ["amount"],
  ),
);

/**
 * Prunes weights by magnitude: single ones become zero, or whole channels are cut out. Masks that the model has are folded in, unless
 * `keepMasks`.
 * @throws PithError E_OPTION for options that do not fit, or where the amount is given twice or not at all, E_NAME for a name that fits no layer.
 * @example
 * await prune(net, { amount: 0.5 }); // half of each layer's weights are zero
 * await prune(net, { amount: 0.5, keepMasks: true }); // masks keep the zeros in training; remove(net) folds them in
 * await prune(net, { structured: 0.3, except: "conv1" }); // 30 % of the channels of each layer are gone
 */
export const prune = definePass({
  id: "prune",
  summary: "Set the smallest weights to zero, or cut out the weakest channels",
  options,
  async run(model, given, { engine }) {
    // The schema asks for one of them.
    const amount = typeof given.structured === "number" ? given.structured : (given.amount ?? 0);
    const settings = { ...given, amount };
    const outcome =
      given.structured === false
        ? await pruneUnstructured(model, settings)
        : await withStoredConstants(model, () => pruneStructured(model, settings, engine));
    if (!given.keepMasks && outcome.changes.length > 0 && isPruned(model)) await remove(model);
    return outcome;
  },
});

type Given = v.InferOutput<typeof options>;
type Options = Given & { readonly amount: number };

function pruneUnstructured(model: Model, { amount, scope, layers, except }: Options): Promise<Outcome> {
  const rule = scope === "global" ? globalUnstructured : l1Unstructured;
  return rule(model, { layers, except, amount: { fraction: amount } });
}

/** Tried on a copy first where sizes have to be stored for it. */
async function pruneStructured(model: Model, given: Options, engine: Engine): Promise<Outcome> {
  const trial = await withFreeChannels(model, (one) => freeUnits(one, given));
  if (trial === model) return cutLeast(model, given, engine);
  const { changes } = await cutLeast(trial, given, engine);
  if (changes.length > 0) await foldShapes(model);
  return cutLeast(model, given, engine);
}

function freeUnits(model: Model, given: Options): number {
  return eligible(model, infer(model), given).groups.reduce((sum, group) => sum + removable(group).length, 0);
}

async function cutLeast(model: Model, given: Options, engine: Engine): Promise<Outcome> {
  const inference = infer(model);
  const { groups, misses } = eligible(model, inference, given);
  const scored: Scored[] = [];
  // One after the other, so that memory holds the weights of one layer.
  for (const group of groups) scored.push({ group, scores: await scoreUnits(model, group, given.n, engine) });
  const chosen = given.scope === "global" ? leastOfAll(scored, given.amount) : leastOfEach(scored, given.amount);
  const { removals, refused } = withoutRefused(
    model,
    chosen.filter(({ units }) => units.length > 0),
  );
  if (removals.length > 0) {
    const failed = await cut(model, removals);
    if (failed instanceof Miss) return { changes: [], misses: [...misses, ...refused, failed] };
  }
  return { changes: removals.flatMap(changesOf), misses: [...misses, ...refused] };
}

/** All of them, if they can be cut together; else those that can be cut by themselves. */
function withoutRefused(
  model: Model,
  chosen: readonly Choice[],
): { readonly removals: readonly Choice[]; readonly refused: readonly Miss[] } {
  if (refusesCut(model, chosen) === undefined) return { removals: chosen, refused: [] };
  const removals: Choice[] = [];
  const refused: Miss[] = [];
  for (const removal of chosen) {
    const miss = refusesCut(model, [removal]);
    if (miss === undefined) removals.push(removal);
    else refused.push(new Miss(`its channels cannot be cut: ${reasonOf(miss)}`, nameOf(removal.group)));
  }
  return { removals, refused };
}

function reasonOf({ reason, at }: Miss): string {
  return at === undefined ? reason : `${reason} (${at})`;
}

/** Groups with a selected layer and none that is excepted; the reasons why others, or some of their units, stay. */
function eligible(
  model: Model,
  inference: Inference,
  given: Options,
): { readonly groups: readonly Group[]; readonly misses: readonly Miss[] } {
  const all = layersOf(model, inference);
  const selected = new Set(selectLayers(all, given).map((layer) => layer.node));
  const groups: Group[] = [];
  const misses: Miss[] = given.layers === undefined ? [...noLayers(model, inference, all)] : [];
  for (const group of channelGroups(model, inference)) {
    if (!group.layers.some((layer) => selected.has(layer.node))) continue;
    const at = nameOf(group);
    const kept = group.layers.find(({ name }) => isNamed(given.except, name));
    if (kept !== undefined) {
      misses.push(new Miss(`its channels go together with those of "${kept.name}", which is excepted`, at));
      continue;
    }
    for (const [reason, count] of reasons(group)) {
      const which = count === group.units ? "its channels" : `${count} of its ${group.units} channels`;
      misses.push(new Miss(`${which} cannot be cut: ${reason}`, at));
    }
    if (removable(group).length > 0) groups.push(group);
  }
  return { groups, misses };
}

function reasons(group: Group): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const miss of group.refused.values()) {
    const text = reasonOf(miss);
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return counts;
}

function nameOf({ layers }: Group): string {
  const names = [...new Set(layers.map((layer) => layer.name))];
  return names.length > 4 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
}

/** A line for every layer that loses output channels. */
function changesOf({ group, units }: Choice): Outcome["changes"] {
  const gone = new Set(units);
  const seen = new Set<string>();
  return group.layers.flatMap((layer) => {
    const slice = group.slices.find(({ value, axis }) => value === layer.effective && axis === layer.role.out);
    if (slice === undefined || seen.has(layer.name)) return [];
    seen.add(layer.name);
    const count = slice.unitOf.reduce((sum, unit) => sum + (gone.has(unit) ? 1 : 0), 0);
    if (count === 0) return [];
    const what = `${count} of ${slice.unitOf.length} channels cut`;
    return [{ at: layer.name, what, decidedBy: "global" as const }];
  });
}
