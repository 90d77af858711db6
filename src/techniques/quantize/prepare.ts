/** Prepares a model for integer arithmetic. CastLike becomes Cast, so that a bias Expand(CastLike(0, x), Shape(w)) reads stored tensors only. */
import { type Inference, infer, type Layer } from "#analysis";
import { inMemory, type Miss, type Model, removeUnused, substitute, type Value } from "#ir";
import type { Change, Context } from "#pass";
import { fuseBatchNorms } from "../../rewrite/clean-up/fuse-batch-norm.ts";
import { movePadsIntoWindows } from "../../rewrite/clean-up/fuse-nodes.ts";
import { lowerTypeCasts } from "../../rewrite/edit/lower-fused.ts";
import { readStored } from "../../rewrite/edit/stored-values.ts";
import { isParameterOrInteger } from "./placement.ts";

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
    const storedVector = graph.addTensor(`${value.name}.stored`, inMemory(dense));
    substitute(value, storedVector);
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
