/**
 * The numbers behind what a layer reads: a stored tensor, or what masks, reshapes and other work on stored tensors make of one.
 *
 * One session evaluates all the values that are asked for together. Who reads weights asks for one at a time, so that memory holds one
 * weight, not all.
 */
import type { Engine } from "../engine/index.ts";
import { PithError } from "../errors.ts";
import { subgraphs, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Dense } from "../tensor/types.ts";
import { removeUnused } from "./remove-unused.ts";

/** Whether a value is a stored tensor, or computed from stored tensors alone: `readStored` can read it. */
export function isStored(value: Value): boolean {
  const { tensor, producer } = value;
  if (tensor !== undefined) return true;
  if (producer === undefined || producer.inputs.length === 0 || subgraphs(producer).next().done !== true) return false;
  return producer.inputs.every((input) => input === undefined || isStored(input));
}

/**
 * The elements of values that depend on stored tensors alone. The model is not changed; nothing is run for values that are stored.
 * @throws PithError E_MODEL if one is not in the main graph, or depends on an input.
 */
export async function readStored(
  model: Model,
  values: readonly Value[],
  engine: Engine,
): Promise<ReadonlyMap<Value, Dense>> {
  const found = new Map<Value, Dense>();
  const computed = new Set<Value>();
  for (const value of values) {
    if (value.tensor === undefined) computed.add(value);
    else found.set(value, await value.tensor.read());
  }
  if (computed.size === 0) return found;
  const results = await evaluate(model, computed, engine);
  for (const value of computed) {
    const result = results[value.name];
    if (result === undefined) throw new PithError("E_MODEL", `"${value.name}" could not be evaluated.`);
    found.set(value, result);
  }
  return found;
}

/** The elements of one value. @throws PithError E_MODEL as `readStored`. */
export async function readStoredValue(model: Model, value: Value, engine: Engine): Promise<Dense> {
  const dense = (await readStored(model, [value], engine)).get(value);
  if (dense === undefined) throw new PithError("E_MODEL", `"${value.name}" could not be evaluated.`);
  return dense;
}

async function evaluate(
  model: Model,
  values: Iterable<Value>,
  engine: Engine,
): Promise<Readonly<Record<string, Dense>>> {
  const work = model.clone();
  const targets = Array.from(values, ({ name }) => {
    const target = work.graph.value(name);
    if (target === undefined) throw new PithError("E_MODEL", `"${name}" is not in the main graph.`);
    return target;
  });
  work.graph.setOutputs(targets);
  removeUnused(work.graph);
  // Old files list their weights among the inputs, and those stay.
  const needed = work.graph.feeds.find((input) => input.uses.size > 0 || targets.includes(input));
  if (needed !== undefined) {
    const names = targets.map(({ name }) => `"${name}"`).join(", ");
    throw new PithError("E_MODEL", `${names} cannot be evaluated without the input "${needed.name}".`);
  }
  work.graph.setInputs([]);
  // Up to IR 3 a weight must be an input.
  work.header.irVersion = Math.max(work.header.irVersion, 4);
  const session = await engine.load(work, { optimize: false });
  try {
    return await session.run({});
  } finally {
    await session.release();
  }
}
