/** Finds the selected layers that can compute on integers, and the activations that they need. */
import type { Inference, Layer, Selection } from "#analysis";
import { allLayers, infer, layers, selectLayers, unsupportedWeights } from "#analysis";
import { Miss, type Model, type Node, runAndUndo, type Value } from "#ir";
import { lowerTypeCasts } from "../../rewrite/edit/lower-fused.ts";
import { removeAllRoundings } from "./fake-rounding.ts";
import { placeQuantization } from "./placement.ts";
import { findTarget, ruleOf } from "./quantizable.ts";

/** Hint for layers in subgraphs, whose activations are not measured. */
export const quantizedInside = 'use the scheme "dynamic" or "weights", which quantize them';

export interface QuantizationTargets {
  readonly targets: readonly Layer[];
  readonly targetActivations: ReadonlySet<Value>;
  /** Activations that would be quantized for the layers that are not targets. */
  readonly otherActivations: ReadonlySet<Value>;
  readonly misses: readonly Miss[];
}

/** Finds the selected layers that can compute on integers; does not change the model. @param inside whether layers in subgraphs count. */
export function findQuantizationTargets(model: Model, selection: Selection, inside = false): QuantizationTargets {
  const layersOf = inside ? allLayers : layers;
  const { targetNodes, ...rest } = runAndUndo(model, () => {
    removeAllRoundings(model);
    lowerTypeCasts(model);
    const inference = infer(model);
    const all = layersOf(model, inference);
    const misses: Miss[] = [];
    const targetNodes = new Set<Node>();
    for (const layer of selectLayers(all, selection)) {
      const target = findTarget(layer, inference);
      if (target instanceof Miss) misses.push(target);
      else targetNodes.add(layer.node);
    }
    const integersAt = (isTarget: boolean) =>
      integersOf(
        model,
        inference,
        all.filter(({ node }) => targetNodes.has(node) === isTarget),
      );
    const unsupportedMisses = unsupportedWeights(model, inference, all, inside, quantizedInside);
    return {
      targetNodes,
      targetActivations: integersAt(true),
      otherActivations: integersAt(false),
      misses: [...misses, ...unsupportedMisses],
    };
  });
  return { ...rest, targets: layersOf(model, infer(model)).filter(({ node }) => targetNodes.has(node)) };
}

function integersOf(model: Model, inference: Inference, subset: readonly Layer[]): ReadonlySet<Value> {
  const values = new Set(placeQuantization(model, inference, subset).activations.keys());
  // Operators that only move values share the rounding of their input. The loop also visits values added to the set.
  for (const { producer } of values) {
    const [source] = producer?.inputs ?? [];
    if (ruleOf(producer, inference)?.kind === "transparent" && source !== undefined) values.add(source);
  }
  return values;
}
