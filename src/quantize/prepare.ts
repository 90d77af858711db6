/**
 * What the schemes with integer arithmetic need before they start: an operator set that has the operators, biases as stored vectors, and
 * no batch normalization behind a layer.
 *
 * Exporters write a missing bias as zeros of the weight's own length and of the activation's type: Expand(CastLike(0, x), Shape(w)). The
 * type is known, so CastLike is a Cast, and all of it depends on stored tensors alone.
 */
import { type Inference, infer } from "../analysis/infer.ts";
import { layers, type Selection, selectLayers } from "../analysis/layers.ts";
import { Miss, PithError } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { castsByType } from "../passes/cast-like.ts";
import { fuseBatchNorms } from "../passes/fuse-batch-norm.ts";
import type { Change, Context } from "../passes/pass.ts";
import { raiseOpset } from "../passes/raise-opset.ts";
import { removeUnused } from "../passes/remove-unused.ts";
import { inMemory } from "../tensor/dense.ts";
import { leftInFloat } from "./left.ts";
import { readStored } from "./stored.ts";
import { targetAt } from "./target.ts";

/** Why none of the chosen layers can compute on integers; undefined if at least one can. Looks at a copy. */
export function nothingToDo(model: Model, selection: Selection): readonly Miss[] | undefined {
  const trial = model.clone();
  castsByType(trial);
  const inference = infer(trial);
  const all = layers(trial, inference);
  const misses: Miss[] = [];
  for (const layer of selectLayers(all, selection)) {
    const target = targetAt(layer, inference);
    if (!(target instanceof Miss)) return undefined;
    misses.push(target);
  }
  return [...misses, ...leftInFloat(trial, inference, new Set(all.map((layer) => layer.node)))];
}

/**
 * Raises the operator set to one in which DequantizeLinear has what is needed: a scale per channel since opset 13, one scale since 10.
 * @throws PithError E_UNSUPPORTED if that is not possible.
 */
export function raiseFor(model: Model, perChannel: boolean): void {
  try {
    raiseOpset(model, perChannel ? 13 : 10);
  } catch (error) {
    if (!(error instanceof PithError) || !perChannel || (model.opsets.get("") ?? 0) < 10) throw error;
    const hint = `One scale per weight does without: perChannel: false. ${error.hint ?? ""}`.trim();
    throw new PithError(error.code, error.message, { cause: error, hint });
  }
}

/**
 * Prepares a model in place, whose operator set has been raised: biases become stored vectors, batch normalization goes into the layer
 * before it.
 */
export async function prepare(
  model: Model,
  context: Context,
): Promise<{ readonly changes: readonly Change[]; readonly misses: readonly Miss[] }> {
  castsByType(model);
  const inference = infer(model);
  const { graph } = model;
  const vectors = [...graph.values()].filter((value) => isDerivedVector(value, inference));
  for (const value of vectors) {
    const stored = graph.addTensor(`${value.name}.stored`, inMemory(await readStored(model, value, context.engine)));
    const { name } = value;
    graph.replaceUses(value, stored);
    graph.rename(value, graph.freshName(`${name}.computed`));
    graph.rename(stored, name);
  }
  if (vectors.length > 0) removeUnused(graph);
  return fuseBatchNorms(model, { trained: true });
}

/** A vector that nodes make of stored tensors and something else reads. What is made of codes stays: it is quantized already. */
function isDerivedVector(value: Value, inference: Inference): boolean {
  const { producer } = value;
  if (producer === undefined || producer.inputs.length === 0 || value.role !== undefined) return false;
  if (value.type?.type !== "float32" || value.type.dims === undefined || value.type.dims.length > 1) return false;
  if (inference.operand(value)?.stored !== true || value.graph.outputs.includes(value)) return false;
  if (producer.inputs.some((input) => input !== undefined && isCode(input))) return false;
  return [...value.uses].some(({ node }) =>
    node.outputs.some((output) => output !== undefined && inference.operand(output)?.stored !== true),
  );
}

function isCode(value: Value): boolean {
  return value.role !== undefined || /^u?int(2|4|8|16|32)$/.test(value.type?.type ?? "");
}
