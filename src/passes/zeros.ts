/** How sparse a model's weights are. */
import { maskedAt } from "../analysis/masks.ts";
import type { Value } from "../graph/graph.ts";
import { isFloat, toFloats } from "../tensor/convert.ts";
import { storedReader } from "./stored.ts";

/**
 * The share of zeros among learned numbers (`learnedTensors`), behind their masks. Undefined where there are none, or some are codes, of which a
 * zero need not stand for 0. Reads all of them, one tensor at a time.
 */
export async function zeroShare(learned: Iterable<Value>): Promise<number | undefined> {
  const readers = [...learned].map((value) =>
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
