import type { Layer } from "#analysis";
import { dataError, Miss } from "#ir";
import type { Matrix, Multiply } from "../../core/math/matrix.ts";
import { type InverseHessian, invertHessian } from "../shared/optimal-brain-surgeon.ts";

/** Inverts Gram matrices of layer inputs. @param damping share of the diagonal's mean that is added to it. @throws PithError E_DATA if singular. */
export async function computeInverseHessians(
  { name }: Layer,
  grams: readonly Matrix[],
  multiply: Multiply,
  damping?: number,
): Promise<readonly InverseHessian[]> {
  const inverses: InverseHessian[] = [];
  for (const gram of grams) {
    const inverse = await invertHessian(gram, multiply, damping);
    if (inverse instanceof Miss)
      throw dataError(`cannot invert the Hessian of its inputs: ${inverse.reason}.`, {
        at: `Layer "${name}"`,
        hint: "Check the calibration samples: they may contain NaN or overflow.",
      });
    inverses.push(inverse);
  }
  return inverses;
}
