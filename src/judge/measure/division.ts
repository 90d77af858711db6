/** Splits samples into validation samples, on which a result is chosen, and test samples, on which it is reported. */
import { random } from "#ir";
import { range } from "../../data/batches/indexed.ts";
import { testSeed } from "../../data/batches/select.ts";

const validationShare = 1 / 3;
/** Minimum number of validation samples. With fewer, the split is not divided, and results are chosen on the test samples. */
const minValidation = 30;
/** Minimum number of samples that are divided into validation and test. */
export const minDivided = minValidation / validationShare;

/** Draws validation samples, or takes the first ones (`inOrder`) if samples run in order. Undefined if there are too few samples. */
export function drawHoldout(
  count: number,
  inOrder: boolean,
): { readonly validation: Uint32Array; readonly test: Uint32Array } | undefined {
  const validation = Math.floor(validationShare * count);
  if (validation < minValidation) return undefined;
  const order = inOrder ? range(count) : random(testSeed, "choose").permutation(count);
  return { validation: order.slice(0, validation).sort(), test: order.slice(validation).sort() };
}
