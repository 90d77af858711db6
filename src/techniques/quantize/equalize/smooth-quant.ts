/**
 * SmoothQuant (Xiao et al. 2023, arXiv 2211.10438). An activation has one scale for all channels, so an outlier channel leaves
 * the others few quantized values. Each unit u is divided by
 *
 *     s_u = max|x_u|^α / max|w_u|^(1 - α)
 *
 * and its weights, which have a scale per output, are multiplied. Factors are powers of two, so they add no rounding error.
 */
import type { ScaleGroup } from "#analysis";
import { roundHalfEven } from "#ir";
import { matrix } from "../../../core/math/matrix.ts";
import type { ColumnRange } from "../../calibrate/column-statistics.ts";
import { fullRange, type QuantizationRange, quantizationRange, scaleAndZeroPoint } from "../../shared/affine-codes.ts";
import { roundToGrid } from "../grid.ts";
import { isWide, type RoundedSettings } from "../settings.ts";
import { type Operands, type Reader, rangeOf } from "./best-factors.ts";
import type { Equalization } from "./index.ts";
import { searchFactors } from "./search.ts";

const alphas = [0.25, 0.5, 0.75, 1];

export const smoothQuant: Equalization = {
  suits: ({ scheme, data }) => data !== undefined && (scheme === "static" || scheme === "dynamic"),
  apply: searchFactors({
    id: "smooth-quant",
    // Requires 8-bit activations and a weight scale per output.
    isMeasured: (options) =>
      options.perChannel && options.bits > 4 && !(options.scheme === "static" && isWide(options.activations)),
    candidates: candidateFactors,
    roundedOperands: roundOperands,
    canGain,
    // Outlier channels, which are to be removed, cause most of the error.
    minGain: 0.5,
    // An additional node costs time.
    minGainOfNode: 0.9,
  }),
};

/** Share of the minimum gain that the estimate must reach, because it is not exact. */
const estimatedShare = 0.8;

/**
 * Estimates the error by the ranges of the channels x_c and the weights w_c. With steps s of inputs and s_r of weights of row r:
 *
 *     s² Σ ‖w_c‖² + Σ s_r² E[x_c²],     E[x_c²] ≈ max|x_c|² / 9,     relative to Σ ‖w_c‖² E[x_c²]
 */
function canGain(
  group: ScaleGroup,
  readers: readonly Reader[],
  start: ColumnRange | undefined,
  minGain: number,
): boolean {
  const errorOf = (factors: Float64Array): number => {
    const minRange = start === undefined ? undefined : rangeOf(start, factors);
    return readers.reduce((sum, reader) => sum + estimateError(reader, factors, minRange), 0);
  };
  const limit = (1 - estimatedShare * minGain) * errorOf(new Float64Array(group.units).fill(1));
  return candidateFactors(group, readers).some((factors) => errorOf(factors) < limit);
}

function estimateError(
  { inputSample, options, weight, unitOf }: Reader,
  factors: Float64Array,
  minRange: QuantizationRange | undefined,
): number {
  const scale = Float64Array.from(unitOf, (unit) => factors[unit] ?? 1);
  const inverse = scale.map((factor) => 1 / factor);
  const { low, high } = rangeOf(inputSample, scale, minRange);
  const { high: maxCode } = quantizationRange({ type: "int8", reduceRange: options.bits < 8 });
  const energies = new Float64Array(weight.columns);
  let rowSteps = 0;
  for (let start = 0; start < weight.data.length; start += weight.columns) {
    let largest = 0;
    for (let column = 0; column < weight.columns; column++) {
      const value = (weight.data[start + column] ?? 0) * (inverse[column] ?? 1);
      energies[column] = (energies[column] ?? 0) + value * value;
      largest = Math.max(largest, Math.abs(value));
    }
    rowSteps += (largest / maxCode) ** 2;
  }
  let [energy, squares, power] = [0, 0, 0];
  for (const [column, columnEnergy] of energies.entries()) {
    const reach = Math.max(-(inputSample.min[column] ?? 0), inputSample.max[column] ?? 0) * (scale[column] ?? 1);
    energy += columnEnergy;
    squares += reach ** 2 / 9;
    power += (columnEnergy * reach ** 2) / 9;
  }
  return power === 0 ? 0 : (((high - low) / 255) ** 2 * energy + rowSteps * squares) / power;
}

/** Returns the factors of each α. */
function candidateFactors({ units, refused }: ScaleGroup, readers: readonly Reader[]): readonly Float64Array[] {
  const [dataReach, weightReach] = [new Float64Array(units), new Float64Array(units)];
  for (const { inputSample: seen, weight, unitOf } of readers) {
    const columnReach = new Float64Array(weight.columns);
    for (let start = 0; start < weight.data.length; start += weight.columns)
      for (let column = 0; column < weight.columns; column++)
        columnReach[column] = Math.max(columnReach[column] ?? 0, Math.abs(weight.data[start + column] ?? 0));
    unitOf.forEach((unit, column) => {
      if (unit < 0) return;
      dataReach[unit] = Math.max(dataReach[unit] ?? 0, -(seen.min[column] ?? 0), seen.max[column] ?? 0);
      weightReach[unit] = Math.max(weightReach[unit] ?? 0, columnReach[column] ?? 0);
    });
  }
  return alphas.map((alpha) => {
    const logs = dataReach.map((data, unit) =>
      data > 0 && (weightReach[unit] ?? 0) > 0 && !refused.has(unit)
        ? (1 - alpha) * Math.log2(weightReach[unit] ?? 1) - alpha * Math.log2(data)
        : Number.NaN,
    );
    const finite = logs.filter((log) => !Number.isNaN(log));
    const mean = finite.reduce((sum, log) => sum + log, 0) / Math.max(1, finite.length);
    // If some units cannot be scaled and keep the factor 1, the other factors are not normalized.
    const middle = refused.size > 0 ? 0 : mean;
    return logs.map((log) => (Number.isNaN(log) ? 1 : 2 ** Math.round(log - middle)));
  });
}

function roundOperands(
  { data, range, weight }: Operands,
  { bits }: RoundedSettings,
): Pick<Operands, "data" | "weight"> {
  const roundedWeight = matrix(weight.rows, weight.columns);
  const { high: maxCode } = quantizationRange({ type: "int8", reduceRange: bits < 8 });
  // Loops instead of callbacks, because all weights of a network are rounded for each candidate.
  for (let start = 0; start < weight.data.length; start += weight.columns) {
    const end = start + weight.columns;
    let largest = 0;
    for (let index = start; index < end; index++) largest = Math.max(largest, Math.abs(weight.data[index] ?? 0));
    const step = largest / maxCode || 1;
    for (let index = start; index < end; index++)
      roundedWeight.data[index] = roundHalfEven((weight.data[index] ?? 0) / step) * step;
  }
  return { data: { ...data, data: roundToSteps(data.data, range) }, weight: roundedWeight };
}

function roundToSteps(numbers: Float64Array, { low, high }: QuantizationRange): Float64Array {
  const scale = scaleAndZeroPoint(low, high, { type: "uint8" });
  const grid = fullRange("uint8");
  return numbers.map((value) => roundToGrid(grid, scale, value));
}
