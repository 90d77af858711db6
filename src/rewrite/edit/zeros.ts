import { maskedAt } from "../../core/analysis/masks.ts";
import type { Value } from "../../core/graph/graph.ts";
import { isFloat, toFloats } from "../../core/tensor/convert.ts";
import { storedReader } from "./stored.ts";

/** Bytes of weights above which zeros are not counted. */
const mostCounted = 2 ** 26;

/** Returns the share of zeros among learned values, after masks; undefined if some are quantized (a quantized zero need not mean 0), none exist, or they are too many to read. */
export async function zeroShare(learned: Iterable<Value>): Promise<number | undefined> {
  const values = [...learned];
  if (values.reduce((sum, { tensor }) => sum + (tensor?.bytes ?? 0), 0) > mostCounted) return undefined;
  const readers = values.map((value) =>
    value.tensor !== undefined && isFloat(value.tensor.type)
      ? storedReader(maskedAt(value)?.product ?? value)
      : undefined,
  );
  let [zeros, all] = [0, 0];
  for (const read of readers) {
    if (read === undefined) return undefined;
    const numbers = toFloats(await read());
    all += numbers.length;
    for (const number of numbers) if (number === 0) zeros++;
  }
  return all === 0 ? undefined : zeros / all;
}
