/**
 * Moves positive factors through a model without changing its function: for each unit u of a group (`core/analysis/scale-groups.ts`)
 *      W1 (rows of u) · s_u,  b1 · s_u        h = Relu(W1 · x + b1)  →  s · h        W2 (columns of u) / s_u
 * Only the quantization error changes. Cross-layer equalization (Nagel et al. 2019, arXiv 1906.04721), SmoothQuant (Xiao et al. 2023,
 * arXiv 2211.10438) and AWQ (Lin et al. 2024, arXiv 2306.00978) differ in how they choose s.
 */
import type { ScaleGroup } from "#analysis";
import type { Dense, Model, Tensor } from "#ir";
import { axisLayout, deferTensor, fromNumbers, groupBy, isFloat, optionError, toFloats } from "#ir";

/**
 * Multiplies a group's stored tensors by the factors of its units, in place, rounding once.
 * @param factors One positive number per unit of the group; 1 for refused units.
 * @throws PithError E_OPTION for a wrong number of factors, a factor that is not positive, or a factor for a refused unit.
 */
export async function migrate(model: Model, group: ScaleGroup, factors: Float64Array): Promise<void> {
  if (factors.length !== group.units)
    throw optionError(`A group of ${group.units} units takes as many factors, got ${factors.length}.`);
  for (const [unit, factor] of factors.entries()) {
    if (!(factor > 0 && Number.isFinite(factor))) throw optionError(`Factors are positive numbers, got ${factor}.`);
    const miss = group.refused.get(unit);
    if (miss !== undefined && factor !== 1)
      throw optionError(`${miss.at ?? "The model"} does not let a factor through: ${miss.reason}.`);
  }
  let isChanged = false;
  for (const [value, slices] of groupBy(group.slices, (slice) => slice.value)) {
    const scaledSlices = slices.map((slice) => {
      const scale = Float64Array.from(slice.unitOf, (unit) => (factors[unit] ?? 1) ** slice.power);
      return { ...slice, scale };
    });
    if (value.tensor === undefined || scaledSlices.every(({ scale }) => scale.every((factor) => factor === 1)))
      continue;
    value.tensor = await scaleTensor(value.tensor, scaledSlices);
    isChanged = true;
  }
  if (isChanged) model.graph.touch();
}

function scaleTensor(
  tensor: Tensor,
  scalings: readonly { readonly axis: number; readonly scale: Float64Array }[],
): Promise<Tensor> {
  return rewriteOnRead(tensor, (numbers) => {
    for (const { axis, scale } of scalings) {
      const { count, inner } = axisLayout(tensor.dims, axis);
      for (let index = 0; index < numbers.length; index++)
        numbers[index] = (numbers[index] ?? 0) * (scale[Math.floor(index / inner) % count] ?? 1);
    }
  });
}

/** Returns a float tensor that is changed when it is read, and rounded once. */
function rewriteOnRead(tensor: Tensor, change: (numbers: Float64Array) => void): Promise<Tensor> {
  const { type, dims } = tensor;
  if (!isFloat(type)) throw new TypeError(`a tensor of ${type} has no floats to change`);
  return deferTensor(type, dims, async (): Promise<Dense> => {
    const numbers = Float64Array.from(toFloats(await tensor.read()));
    change(numbers);
    return fromNumbers(type, dims, numbers);
  });
}
