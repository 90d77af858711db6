/** Selects the stored weights of layers to prune. */
import {
  checkStored,
  findBuffers,
  infer,
  type Layer,
  layers as layersOf,
  parametersOf,
  selectLayers,
  unsupportedWeights,
  weightNeeds,
} from "#analysis";
import { Miss, type Model, type Value } from "#ir";
import type { LayerSelection } from "#pass";

export interface Weight {
  readonly layer: Layer;
  readonly parameter: Value;
}

export interface TargetChoice {
  readonly targets: readonly Weight[];
  readonly misses: readonly Miss[];
}

/** @throws PithError E_NAME if a name fits no layer. */
export async function selectWeights(model: Model, selection: LayerSelection): Promise<TargetChoice> {
  const inference = infer(model);
  const all = layersOf(model, inference);
  const selectedLayers = selectLayers(all, selection);
  const learned = selection.layers === undefined ? new Set(parametersOf(model, inference)) : undefined;
  for (const table of learned === undefined ? [] : await findBuffers(selectedLayers)) learned?.delete(table);
  const targets = new Map<Value, Weight>();
  const misses: Miss[] = [];
  for (const layer of selectedLayers) {
    const parameter = layer.weight;
    const refusal = checkStored(parameter, { ...weightNeeds.prune, learned }, "its weight");
    if (refusal !== undefined) misses.push(new Miss(refusal.reason, layer.name));
    else if (!targets.has(parameter)) targets.set(parameter, { layer, parameter });
  }
  const unsupportedMisses = selection.layers === undefined ? unsupportedWeights(model, inference, all) : [];
  return { targets: [...targets.values()], misses: [...misses, ...unsupportedMisses] };
}
