/** The pass that makes pruning permanent by folding masks into weights. */
import * as v from "valibot";
import { allMaskings, infer, layers as layersOf, type Masking, maskingOf, selectLayers } from "#analysis";
import { Miss, type Model, optionError } from "#ir";
import { definePass, type LayerSelection, type Outcome, type Pass, parseOptions, selectionOptions } from "#pass";
import { foldMask } from "../../rewrite/edit/mask.ts";

const schema = v.strictObject(selectionOptions("prune"));

/**
 * Makes pruning permanent: parameter = parameter × mask under the old name, for all masks, or those of the selected layers.
 * Semantics of PyTorch's `prune.remove`.
 * @throws PithError E_OPTION if none of the named layers is pruned.
 * @example
 * await remove(net);
 */
export const remove: Pass<v.GenericSchema<LayerSelection>> = definePass({
  id: "remove",
  summary: "Make pruning permanent: fold masks into their weights",
  options: schema,
  run: foldMasks,
});

export async function foldMasks(model: Model, options: LayerSelection = {}): Promise<Outcome> {
  const { layers } = options;
  const maskings = selectMasked(model, options);
  if (maskings.length === 0) {
    if (layers !== undefined) throw optionError(`Nothing to remove: "${[layers].flat().join(", ")}" is not pruned.`);
    return { changes: [], misses: [new Miss("the model has no masks")] };
  }
  const names = new Map(layersOf(model, infer(model)).map(({ weight, name }) => [weight, name]));
  const changes: Outcome["changes"][number][] = [];
  for (const masking of maskings) {
    const parameter = await foldMask(model, masking);
    changes.push({
      at: names.get(parameter) ?? parameter.name,
      what: "mask folded in",
      decidedBy: layers !== undefined ? "layer" : "global",
    });
  }
  return { changes, misses: [] };
}

/** Returns whether any parameter of the model, or of the selected layers, has a mask. */
export function isPruned(model: Model, options: LayerSelection = {}): boolean {
  parseOptions("isPruned", schema, options);
  return selectMasked(model, options).length > 0;
}

function selectMasked(model: Model, options: LayerSelection): readonly Masking[] {
  if (options.layers === undefined && options.except === undefined) return allMaskings(model.graph);
  return selectLayers(layersOf(model, infer(model)), options).flatMap(({ weight }) => maskingOf(weight) ?? []);
}
