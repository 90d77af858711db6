import * as v from "valibot";
import { allMaskings, infer, layers as layersOf, type Masking, maskingOf } from "#analysis";
import { Miss, type Model, PithError } from "#ir";
import { definePass, type Outcome, type Pass, parseOptions } from "#pass";
import { foldMask } from "../../rewrite/edit/mask.ts";
import { type ParameterSelection, selectAllParameters, targetEntries } from "./targets.ts";

const schema = v.strictObject(targetEntries);

/**
 * Makes pruning permanent: parameter = parameter × mask under the old name, for all masks, or those of the selected layers.
 * Semantics of PyTorch's `prune.remove`.
 * @throws PithError E_OPTION if a named layer is not pruned.
 * @example
 * await remove(net);
 */
export const remove: Pass<v.GenericSchema<ParameterSelection>> = definePass({
  id: "remove",
  summary: "Make pruning permanent: fold masks into their weights",
  options: schema,
  run: foldMasks,
});

export async function foldMasks(model: Model, options: ParameterSelection = {}): Promise<Outcome> {
  const isSelection = options.layers !== undefined || options.parameter !== undefined;
  const chosen = selectMasked(model, options);
  if (chosen.length === 0) {
    if (isSelection) throw new PithError("E_OPTION", `Nothing to remove: ${selectionText(options)} is not pruned.`);
    return { changes: [], misses: [new Miss("the model has no masks")] };
  }
  const names = new Map(layersOf(model, infer(model)).map(({ weight, name }) => [weight, name]));
  const changes: Outcome["changes"][number][] = [];
  for (const masking of chosen) {
    const parameter = await foldMask(model, masking);
    changes.push({
      at: names.get(parameter) ?? parameter.name,
      what: "mask folded in",
      decidedBy: isSelection ? "layer" : "global",
    });
  }
  return { changes, misses: [] };
}

/** Returns whether any parameter of the model, or of the selected layers, has a mask. */
export function isPruned(model: Model, options: ParameterSelection = {}): boolean {
  parseOptions("isPruned", schema, options);
  return selectMasked(model, options).length > 0;
}

function selectMasked(model: Model, options: ParameterSelection): readonly Masking[] {
  const { layers, except, parameter } = options;
  if (layers === undefined && except === undefined && parameter === undefined) return allMaskings(model.graph);
  return selectAllParameters(model, options).flatMap((target) => maskingOf(target.parameter) ?? []);
}

function selectionText({ layers, parameter }: ParameterSelection): string {
  const layersText =
    layers === undefined ? "the model" : `"${typeof layers === "string" ? layers : layers.join(", ")}"`;
  return parameter === undefined ? layersText : `the ${parameter} of ${layersText}`;
}
