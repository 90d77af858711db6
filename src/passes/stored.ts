/**
 * The numbers behind what a layer reads: a stored tensor, or what masks, reshapes and other work on stored tensors make of one.
 *
 * One session evaluates all the values that are asked for together. Who reads weights asks for one at a time, so that memory holds one
 * weight, not all.
 */
import type { Engine } from "../engine/index.ts";
import { Miss, PithError } from "../errors.ts";
import { subgraphs, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { operators } from "../ops/index.ts";
import type { Dense } from "../tensor/types.ts";
import { evaluate } from "./evaluate.ts";

/** Whether a value is a stored tensor, or computed from stored tensors alone: `readStored` can read it. */
export function isStored(value: Value): boolean {
  return whyNotStored(value) === undefined;
}

/** Why `readStored` cannot read a value: it depends on an input, or on an operator that this runtime may not have. */
export function whyNotStored({ name, tensor, producer }: Value): Miss | undefined {
  if (tensor !== undefined) return undefined;
  if (producer === undefined || producer.inputs.length === 0 || subgraphs(producer).next().done !== true)
    return new Miss(`"${name}" is computed at run time`);
  const { domain, op } = producer;
  if (operators.find(domain, op) === undefined) return new Miss(`"${name}" is computed by ${qualified(domain, op)}`);
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
 * The elements of values that depend on stored tensors alone. The model is not changed; nothing is run for values that are stored.
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
    if (value.tensor === undefined) computed.add(value);
    else found.set(value, await value.tensor.read());
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
