/**
 * The numbers behind what a layer reads: a stored tensor, or what masks, reshapes and other work on stored tensors make of one.
 *
 * One session evaluates all the values that are asked for together. Who reads weights asks for one at a time, so that memory holds one
 * weight, not all.
 */
import { maskedBy } from "../analysis/masks.ts";
import type { Engine } from "../engine/index.ts";
import { Miss, PithError } from "../errors.ts";
import { subgraphs, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { entryOf } from "../ops/index.ts";
import { sameDims } from "../tensor/dims.ts";
import type { Dense } from "../tensor/types.ts";
import { evaluate } from "./evaluate.ts";
import { maskedReader, stored } from "./fold-mask.ts";

/** Whether a value is a stored tensor, or computed from stored tensors alone: `readStored` can read it. */
export function isStored(value: Value): boolean {
  return whyNotStored(value) === undefined;
}

/** Why `readStored` cannot read a value: it depends on an input, or on an operator that this runtime may not have. */
export function whyNotStored({ name, tensor, producer }: Value): Miss | undefined {
  if (tensor !== undefined) return undefined;
  if (producer === undefined || producer.inputs.length === 0 || subgraphs(producer).length > 0)
    return new Miss(`"${name}" is computed at run time`);
  const { domain, op } = producer;
  if (entryOf(producer) === undefined) return new Miss(`"${name}" is computed by ${qualified(domain, op)}`);
  for (const input of producer.inputs) {
    const reason = input === undefined ? undefined : whyNotStored(input);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

function qualified(domain: string, op: string): string {
  return domain === "" ? op : `${domain}.${op}`;
}

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

/** The elements of one value. @throws PithError E_MODEL as `readStored`. */
export async function readStoredValue(model: Model, value: Value, engine: Engine): Promise<Dense> {
  const dense = (await readStored(model, [value], engine)).get(value);
  if (dense === undefined) throw new PithError("E_MODEL", `"${value.name}" could not be evaluated.`);
  return dense;
}
