import { maskedAt, plainName } from "../../core/analysis/masks.ts";
import { PithError } from "../../core/errors.ts";
import type { Value } from "../../core/graph/graph.ts";
import type { Mask } from "../../core/math/smallest.ts";
import { toFloats } from "../../core/tensor/convert.ts";
import { elementCount, sameDims } from "../../core/tensor/dims.ts";
import { floatOf, type Keep, keptBy, stored } from "../../rewrite/edit/fold-mask.ts";

/** Returns the mask of a parameter; all ones without a mask. */
export async function readMask(parameter: Value): Promise<Mask> {
  return (await maskReader(parameter)()) ?? new Uint8Array(elementCount(stored(parameter).dims)).fill(1);
}

/** Returns a function that reads the present mask even after changes, or undefined without one. */
export function maskReader(parameter: Value): () => Promise<Mask | undefined> {
  const tensor = maskedAt(parameter)?.mask.tensor;
  if (tensor === undefined) return async () => undefined;
  return async () => Uint8Array.from(toFloats(await tensor.read()), (kept) => (kept === 0 ? 0 : 1));
}

export async function zeroOnce(parameter: Value, open: () => Promise<Keep>): Promise<void> {
  parameter.tensor = await keptBy(stored(parameter), floatOf(parameter), open);
}

export function checkSameDims(what: string, dims: readonly number[], parameter: Value): void {
  const expected = stored(parameter).dims;
  if (sameDims(dims, expected)) return;
  throw new PithError(
    "E_SHAPE_MISMATCH",
    `${what} for "${plainName(parameter)}": expected dimensions [${expected.join(", ")}], got [${dims.join(", ")}].`,
  );
}
