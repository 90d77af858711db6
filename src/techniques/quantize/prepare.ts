/** Prepares a model for integer arithmetic. CastLike becomes Cast, so that a bias Expand(CastLike(0, x), Shape(w)) reads stored tensors only. */
import type { Inference, Layer, Selection } from "#analysis";
import { allLayers, infer, layers, selectLayers, unsupportedWeights } from "#analysis";
import { inMemory, Miss, type Model, type Node, removeUnused, runAndUndo, substitute, type Value } from "#ir";
import type { Change, Context } from "#pass";
import { fuseBatchNorms } from "../../rewrite/clean-up/fuse-batch-norm.ts";
import { movePadsIntoWindows } from "../../rewrite/clean-up/fuse-nodes.ts";
import { lowerTypeCasts } from "../../rewrite/edit/lower-fused.ts";
import { readStored } from "../../rewrite/edit/stored-values.ts";
import { isParameterOrInteger, placeQuantization } from "./placement.ts";
import { findTarget, ruleOf } from "./quantizable.ts";
import { dropRoundings } from "./rounding.ts";

/** Hint for layers in subgraphs, whose activations are not measured. */
export const quantizedInside = 'use the scheme "dynamic" or "weights", which quantize them';

export interface Coverage {
  readonly targets: readonly Layer[];
  readonly targetActivations: ReadonlySet<Value>;
  /** Activations that would be quantized for the layers that are not targets. */
  readonly otherActivations: ReadonlySet<Value>;
  readonly misses: readonly Miss[];
}

/** Finds the selected layers that can compute on integers; does not change the model. @param inside whether layers in subgraphs count. */
export function findCoverage(model: Model, selection: Selection, inside = false): Coverage {
  const layersOf = inside ? allLayers : layers;
  const { targetNodes, ...rest } = runAndUndo(model, () => {
    dropRoundings(model);
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
    const excluded = unsupportedWeights(model, inference, all, inside, quantizedInside);
    return {
      targetNodes,
      targetActivations: integersAt(true),
      otherActivations: integersAt(false),
      misses: [...misses, ...excluded],
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

/** Stores computed biases as vectors and folds batch normalization into layers: the targets, and those for which `folds` returns true. */
export async function prepareModel(
  model: Model,
  targets: readonly Layer[],
  context: Context,
  folds: (layer: Layer) => boolean = () => false,
): Promise<{ readonly changes: readonly Change[]; readonly misses: readonly Miss[] }> {
  lowerTypeCasts(model);
  const padChanges = movePadsIntoWindows(model);
  const { graph } = model;
  const nodes = new Set(targets.map(({ node }) => node));
  const inference = infer(model);
  const uses = [...nodes].flatMap(({ outputs }) => outputs.flatMap((output) => [...(output?.uses ?? [])]));
  const readers = new Set([...nodes, ...uses.map(({ node }) => node)]);
  const vectors = [...graph.values()].filter(
    (value) => isDerivedVector(value, inference) && [...value.uses].some(({ node }) => readers.has(node)),
  );
  for (const [value, dense] of await readStored(model, vectors, context.engine)) {
    const stored = graph.addTensor(`${value.name}.stored`, inMemory(dense));
    substitute(value, stored);
  }
  if (vectors.length > 0) removeUnused(graph);
  const fusion = await fuseBatchNorms(model, { trained: true, into: (layer) => nodes.has(layer.node) || folds(layer) });
  return { ...fusion, changes: [...padChanges, ...fusion.changes] };
}

/** Returns whether nodes compute a vector from stored tensors. Vectors derived from integers are quantized already. */
function isDerivedVector(value: Value, inference: Inference): boolean {
  const { producer } = value;
  if (producer === undefined || producer.inputs.length === 0 || value.role !== undefined) return false;
  if (value.type?.type !== "float32" || value.type.dims === undefined || value.type.dims.length > 1) return false;
  if (inference.operand(value)?.stored !== true || value.graph.isOutput(value)) return false;
  if (producer.inputs.some(isParameterOrInteger)) return false;
  return [...value.uses].some(({ node }) =>
    node.outputs.some((output) => output !== undefined && inference.operand(output)?.stored !== true),
  );
}
