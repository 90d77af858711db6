/**
 * The Hessian of the loss times a vector, without the Hessian, by differences of gradients:
 *
 *     H v = (g(w + h v) − g(w − h v)) / 2h + O(h² ‖v‖³)
 *
 * (LeCun, Denker and Solla 1990 use such products to prune; Pearlmutter 1994, "Fast exact multiplication by the Hessian", gives the exact
 * form, which would need a second derivative of every operator.)
 *
 * Two errors pull at h. What is cut off falls with h²; what gradients in float32 are rounded to, about 6·10⁻⁸ ‖g‖, is divided by h. Which h is
 * best depends on v: of h ‖v‖ / ‖w‖ it was 2⁻¹¹ for random directions and 2⁻¹⁹ to 2⁻²¹ along the gradient, which is steep in few parameters. So
 * distances are swept from large to small, and the least difference between two products in a row is the error that is stated: 4·10⁻⁵ to 4·10⁻⁴
 * of the product for a BERT with GELU, and for ResNet-20 with Softplus in the place of ReLU.
 *
 * With ReLU and max-pooling products do not meet at any distance (differences of 0.2 to 1 for ResNet-20): gradients jump at kinks, the shorter
 * the step the fewer it crosses, but the more each counts. What comes out is the mean curvature over the distance; the error says how much it
 * depends on that.
 */
import { PithError } from "../errors.ts";
import type { Batch } from "../tensor/types.ts";
import type { Floats } from "./floats.ts";
import type { Step } from "./step.ts";

export interface HessianProductOptions {
  /** Length of h·v beside that of all parameters, to save the sweep: that of an earlier product. */
  readonly distance?: number;
  /** What is random (dropout) is drawn by the seed and these numbers, alike for both gradients. */
  readonly place?: readonly number[];
}

export interface HessianProduct {
  /** H·v, in the order and sizes of the step's parameters. */
  readonly product: readonly Float64Array[];
  /** How far the products at this distance and the next are apart, beside the length of the product; undefined where no sweep was made. */
  readonly error: number | undefined;
  /** Length of h·v beside that of all parameters. */
  readonly distance: number;
}

/** Each a quarter of the one before: what is cut off falls to a sixteenth, what is rounded grows to four times. */
const distances = Array.from({ length: 11 }, (_, at) => 2 ** (-3 - 2 * at));

/** Below this products have met: where they part again, it is rounding. */
const settled = 1e-2;

/**
 * The product of the Hessian of a step's loss on a batch with a vector. Parameters and states are afterwards what they were, to the bit; the
 * gradients of the step are not.
 *
 * @param vector As many numbers for each of `step.parameters`, in their order.
 * @throws PithError E_SHAPE_MISMATCH for a vector of other sizes, E_OPTION for a step with `carry`, E_DIVERGED if a gradient is not finite.
 * @example
 * for await (const batch of data.batches({ size: 64 })) {
 *   const step = await createStep(model, batch, { loss: crossEntropy() });
 *   await step.run(batch);
 *   const towards = step.parameters.map(({ gradient }) => Float64Array.from(gradient));
 *   const { product, error } = await hessianVectorProduct(step, batch, towards);
 *   console.log(product.map((part) => part.length), error);
 *   await step.release();
 * }
 */
export async function hessianVectorProduct(
  step: Step,
  batch: Batch,
  vector: readonly Floats[],
  { distance, place = [0] }: HessianProductOptions = {},
): Promise<HessianProduct> {
  check(step, vector);
  const [length, size] = [norm(vector), norm(step.parameters.map(({ values }) => values))];
  if (!Number.isFinite(length)) throw new PithError("E_SHAPE_MISMATCH", "The vector must be of finite numbers.");
  if (length === 0) return { product: vector.map((part) => new Float64Array(part.length)), error: 0, distance: 0 };
  const before = [...step.parameters, ...step.states].map(({ values }) => values.slice());
  const restore = (): void => {
    [...step.parameters, ...step.states].forEach(({ values }, at) => {
      values.set(before[at] ?? []);
    });
  };
  const gradientAt = async (factor: number): Promise<readonly Float64Array[]> => {
    restore();
    step.parameters.forEach(({ values }, at) => {
      const own = vector[at] ?? [];
      for (let i = 0; i < values.length; i++) values[i] = (values[i] as number) + factor * (own[i] ?? 0);
    });
    await step.run(batch, place);
    const gradient = step.parameters.map(({ gradient }) => Float64Array.from(gradient));
    if (gradient.some((part) => !part.every(Number.isFinite)))
      throw new PithError(
        "E_DIVERGED",
        "A gradient at slightly changed parameters is not finite: the Hessian-vector product cannot be computed.",
      );
    return gradient;
  };
  const productAt = async (share: number): Promise<readonly Float64Array[]> => {
    const h = (share * (size === 0 ? 1 : size)) / length;
    const [ahead, behind] = [await gradientAt(h), await gradientAt(-h)];
    return ahead.map((part, at) => part.map((one, i) => (one - (behind[at]?.[i] ?? 0)) / (2 * h)));
  };
  try {
    if (distance !== undefined) return { product: await productAt(distance), error: undefined, distance };
    return await sweep(productAt);
  } finally {
    restore();
  }
}

async function sweep(productAt: (share: number) => Promise<readonly Float64Array[]>): Promise<HessianProduct> {
  const [first = 1, ...nearer] = distances;
  let last = await productAt(first);
  let best = { product: last, error: Number.POSITIVE_INFINITY, distance: first };
  for (const distance of nearer) {
    const next = await productAt(distance);
    const apart = norm(next.map((part, at) => part.map((one, i) => one - (last[at]?.[i] ?? 0))));
    const error = apart === 0 ? 0 : apart / norm(next);
    // Where the first steps are far too long, products may part before they meet.
    if (!(error < best.error) && best.error < settled) break;
    if (error < best.error) best = { product: next, error, distance };
    last = next;
  }
  return best;
}

function norm(parts: readonly Floats[]): number {
  let sum = 0;
  for (const part of parts) for (let i = 0; i < part.length; i++) sum += (part[i] as number) ** 2;
  return Math.sqrt(sum);
}

function check({ parameters }: Step, vector: readonly Floats[]): void {
  if (parameters.some(({ carried }) => carried))
    throw new PithError("E_OPTION", "hessianVectorProduct: this step accumulates the gradients of earlier runs.", {
      hint: "Make the step without `carry`.",
    });
  const strange = parameters.findIndex(({ values }, at) => values.length !== vector[at]?.length);
  if (strange >= 0 || vector.length !== parameters.length) {
    const { name, values } = parameters[strange] ?? { name: "nothing", values: [] };
    const got = vector[strange === -1 ? parameters.length : strange]?.length;
    throw new PithError(
      "E_SHAPE_MISMATCH",
      `The vector has ${got ?? "no"} numbers for "${name}", which has ${values.length}.`,
    );
  }
}
