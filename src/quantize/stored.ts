/**
 * The numbers behind what a layer reads: a stored tensor, or what masks, reshapes and other work on stored tensors make of one.
 *
 * A masked weight is quantized as its product with the mask: zeros stay zeros (code 0 of a symmetric scale is 0), and the mask need not be
 * kept. One value at a time is evaluated and read, so that memory holds one weight, not all.
 */
import type { Engine } from "../engine/index.ts";
import { PithError } from "../errors.ts";
import type { Graph, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { removeUnused } from "../passes/remove-unused.ts";
import type { Dense } from "../tensor/types.ts";

/**
 * The elements of a value that depends on stored tensors alone.
 * @throws PithError E_MODEL if it depends on an input.
 */
export async function readStored(model: Model, value: Value, engine: Engine): Promise<Dense> {
  if (value.tensor !== undefined) return value.tensor.read();
  const work = model.clone();
  const target = work.graph.value(value.name);
  if (target === undefined) throw new PithError("E_MODEL", `"${value.name}" is not in the main graph.`);
  work.graph.setOutputs([target]);
  removeUnused(work.graph);
  work.graph.setInputs([]);
  const session = await engine.load(work, { optimize: false });
  try {
    const result = (await session.run({}))[value.name];
    if (result === undefined) throw new PithError("E_MODEL", `"${value.name}" could not be evaluated.`);
    return result;
  } finally {
    await session.release();
  }
}

/**
 * Removes what quantization left without a use: nodes, then the tensors that were used before. Tensors go even where an old file lists
 * them among the inputs of the graph; inputs that nobody used before stay.
 */
export function removeReplaced(graph: Graph, usedBefore: ReadonlySet<Value>): void {
  removeUnused(graph);
  for (const value of usedBefore) {
    if (graph.ownValue(value.name) !== value || value.uses.size > 0 || graph.outputs.includes(value)) continue;
    graph.removeValue(value);
  }
}

/** The stored tensors that something uses. */
export function usedTensors(graph: Graph): ReadonlySet<Value> {
  return new Set([...graph.values()].filter((value) => value.tensor !== undefined && value.uses.size > 0));
}
