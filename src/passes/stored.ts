/**
 * The numbers behind what a layer reads: a stored tensor, or what masks, reshapes and other work on stored tensors make of one.
 *
 * One session evaluates all the values that are asked for together. Who reads weights asks for one at a time, so that memory holds one
 * weight, not all.
 */
import { maskedBy } from "../analysis/masks.ts";
import type { Engine } from "../engine/index.ts";
import { PithError } from "../errors.ts";
import { extract } from "../graph/extract.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { sameDims } from "../tensor/dims.ts";
import type { Dense } from "../tensor/types.ts";
import { maskedReader, stored } from "./fold-mask.ts";

/**
 * Reads a value that is stored, or is a stored parameter behind its mask: nothing is run, and what becomes of the graph meanwhile does not
 * matter. Undefined for any other value.
 */
export function storedReader(value: Value): (() => Promise<Dense>) | undefined {
  const { tensor } = value;
  if (tensor !== undefined) return () => tensor.read();
  const masked = maskedBy(value);
  if (masked === undefined || !sameDims(stored(masked.parameter).dims, stored(masked.mask).dims)) return undefined;
  return maskedReader(masked);
}

/**
 * The elements of values that depend on stored tensors alone. The model is not changed; nothing is run for what `storedReader` reads.
 * @throws PithError E_MODEL if one depends on an input.
 */
export async function readStored(
  model: Model,
  values: readonly Value[],
  engine: Engine,
): Promise<ReadonlyMap<Value, Dense>> {
  const found = new Map<Value, Dense>();
  const computed = new Set<Value>();
  for (const value of values) {
    const read = storedReader(value);
    if (read === undefined) computed.add(value);
    else found.set(value, await read());
  }
  for (const [value, dense] of await evaluate(model, [...computed], engine)) found.set(value, dense);
  return found;
}

export async function readStoredValue(model: Model, value: Value, engine: Engine): Promise<Dense> {
  const dense = (await readStored(model, [value], engine)).get(value);
  if (dense === undefined) throw new PithError("E_MODEL", `"${value.name}" could not be evaluated.`);
  return dense;
}

/**
 * The elements of values whose producers lead back to stored tensors.
 * @throws PithError E_MODEL if one depends on something else, E_ENGINE if the runtime cannot do it.
 */
export async function evaluate(
  model: Model,
  values: readonly Value[],
  engine: Engine,
): Promise<ReadonlyMap<Value, Dense>> {
  if (values.length === 0) return new Map();
  const work = extract(model, values);
  const [needed] = work.graph.feeds;
  if (needed !== undefined) {
    const names = values.map(({ name }) => `"${name}"`).join(", ");
    throw new PithError("E_MODEL", `${names} cannot be evaluated without the input "${needed.name}".`);
  }
  // Up to IR 3 a weight must be an input.
  work.header.irVersion = Math.max(work.header.irVersion, 4);
  const session = await engine.load(work, { optimize: false });
  try {
    const results = await session.run({});
    return new Map(
      values.map((value, index) => {
        const result = results[work.graph.outputs[index]?.name ?? ""];
        if (result === undefined) throw new PithError("E_MODEL", `"${value.name}" could not be evaluated.`);
        return [value, result];
      }),
    );
  } finally {
    await session.release();
  }
}
