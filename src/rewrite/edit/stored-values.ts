/** Reads values that depend only on stored tensors. */
import { maskingOf, maskingOfProduct } from "#analysis";
import { type Dense, extract, isFloat, type Model, modelError, sameDims, toFloats, type Value } from "#ir";
import type { Engine } from "../../core/engine/index.ts";
import { createMaskedReader, stored } from "./mask.ts";

/** Returns a reader for a stored value or a masked parameter, which runs nothing and is independent of later graph changes. */
export function createStoredReader(value: Value): (() => Promise<Dense>) | undefined {
  const { tensor } = value;
  if (tensor !== undefined) return () => tensor.read();
  const masking = maskingOfProduct(value);
  if (masking === undefined || !sameDims(stored(masking.parameter).dims, stored(masking.mask).dims)) return undefined;
  return createMaskedReader(masking);
}

/** Runs values that `createStoredReader` cannot read. @throws PithError E_MODEL for values that depend on something else. */
export async function readStored(
  model: Model,
  values: readonly Value[],
  engine: Engine,
): Promise<ReadonlyMap<Value, Dense>> {
  const results = new Map<Value, Dense>();
  const computedValues = new Set<Value>();
  for (const value of values) {
    const read = createStoredReader(value);
    if (read === undefined) computedValues.add(value);
    else results.set(value, await read());
  }
  for (const [value, dense] of await evaluate(model, [...computedValues], engine)) results.set(value, dense);
  return results;
}

export async function readStoredValue(model: Model, value: Value, engine: Engine): Promise<Dense> {
  const dense = (await readStored(model, [value], engine)).get(value);
  if (dense === undefined) throw modelError(`"${value.name}" could not be evaluated.`);
  return dense;
}

/** @throws PithError E_MODEL if a value depends on more than stored tensors, E_ENGINE if the runtime fails. */
export async function evaluate(
  model: Model,
  values: readonly Value[],
  engine: Engine,
): Promise<ReadonlyMap<Value, Dense>> {
  if (values.length === 0) return new Map();
  const part = extract(model, values);
  const [missingInput] = part.graph.feeds;
  if (missingInput !== undefined) {
    const names = values.map(({ name }) => `"${name}"`).join(", ");
    throw modelError(`${names} cannot be evaluated without the input "${missingInput.name}".`);
  }
  // Up to IR 3 a weight must be an input.
  part.header.irVersion = Math.max(part.header.irVersion, 4);
  const session = await engine.load(part, { optimize: false, threads: 1, spinning: false });
  try {
    const results = await session.run({});
    return new Map(
      values.map((value, index) => {
        const result = results[part.graph.outputs[index]?.name ?? ""];
        if (result === undefined) throw modelError(`"${value.name}" could not be evaluated.`);
        return [value, result];
      }),
    );
  } finally {
    await session.release();
  }
}

const maxCountedBytes = 2 ** 26;

/** Returns the share of zeros in learned tensors, after masks; undefined if a tensor is quantized, or for no or too many elements. */
export async function zeroShare(learnedTensors: Iterable<Value>): Promise<number | undefined> {
  const values = [...learnedTensors];
  if (values.reduce((sum, { tensor }) => sum + (tensor?.bytes ?? 0), 0) > maxCountedBytes) return undefined;
  const readers = values.map((value) =>
    value.tensor !== undefined && isFloat(value.tensor.type)
      ? createStoredReader(maskingOf(value)?.product ?? value)
      : undefined,
  );
  let [zeros, total] = [0, 0];
  for (const read of readers) {
    if (read === undefined) return undefined;
    const numbers = toFloats(await read());
    total += numbers.length;
    for (const number of numbers) if (number === 0) zeros++;
  }
  return total === 0 ? undefined : zeros / total;
}
