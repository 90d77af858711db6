/**
 * Chooses the factors of a group of units with the lowest relative error of the layers that read the channels, on input rows x:
 *
 *     ‖rounded(x · f) · rounded(w / f)ᵀ − x · wᵀ‖² / ‖x · wᵀ‖²
 */
import type { Layer, ScaleGroup } from "#analysis";
import { frobenius, type Matrix, type Multiply, scaleColumns, subtract, transpose } from "../../../core/math/matrix.ts";
import type { ColumnRange } from "../../calibrate/column-statistics.ts";
import type { QuantizationRange } from "../../shared/affine-codes.ts";
import type { RoundedSettings } from "../settings.ts";

export interface InputSample extends ColumnRange {
  readonly rows: Matrix;
}

export interface Reader {
  readonly layer: Layer;
  readonly options: RoundedSettings;
  readonly inputSample: InputSample;
  /** Matrix [outputs, columns]. */
  readonly weight: Matrix;
  /** Unit of each column; -1 for a column that is not scaled. */
  readonly unitOf: Int32Array;
}

export interface Operands {
  /** Matrix [rows, columns]. */
  readonly data: Matrix;
  /** Range of all inputs of the layer, of which `data` is a sample. */
  readonly range: QuantizationRange;
  /** Matrix [outputs, columns]. */
  readonly weight: Matrix;
}

export interface FactorSearch {
  readonly id: string;
  isMeasured(options: RoundedSettings): boolean;
  /** Yields the factors to compare, one per unit of a group; 1 for units that the group refuses. */
  candidates(group: ScaleGroup, readers: readonly Reader[]): Iterable<Float64Array>;
  roundedOperands(operands: Operands, options: RoundedSettings): Pick<Operands, "data" | "weight">;
  /** Returns whether factors can reach a gain, by an estimate that needs no products (default: yes). */
  canGain?(group: ScaleGroup, readers: readonly Reader[], start: ColumnRange | undefined, minGain: number): boolean;
  readonly minGain: number;
  /** Minimum gain of an additional node that multiplies the inputs of a layer; undefined: no such nodes. */
  readonly minGainOfNode?: number;
}

export interface FactorReaders {
  readonly readers: readonly Reader[];
  /** Range of the activation whose channels the group starts at, if it is measured. */
  readonly start: ColumnRange | undefined;
}

interface FactorChoice {
  readonly error: number;
  /** For example "37 % less quantization error". */
  readonly gain: string;
  readonly factors: Float64Array;
}

export async function bestFactors(
  group: ScaleGroup,
  { readers, start }: FactorReaders,
  search: FactorSearch,
  multiply: Multiply,
): Promise<FactorChoice | undefined> {
  if (search.canGain?.(group, readers, start, search.minGain) === false) return undefined;
  const exactProducts = new Map<Reader, ExactProduct>();
  for (const reader of readers) {
    const outputs = await multiply(reader.inputSample.rows, transpose(reader.weight));
    exactProducts.set(reader, { outputs, power: frobenius(outputs) ** 2 });
  }
  const numbers = Array.from(exactProducts.values(), ({ outputs }) => outputs.data);
  // Layers with values that are not finite are not equalized.
  if (![...numbers, ...(start === undefined ? [] : [start.min, start.max])].every((all) => all.every(Number.isFinite)))
    return undefined;
  const errorOf = async (factors: Float64Array): Promise<number> => {
    // The activation at the start of the group is also rounded, so its range is part of each reader's range.
    const range = start === undefined ? { low: 0, high: 0 } : rangeOf(start, factors);
    let sum = 0;
    for (const [reader, exact] of exactProducts)
      sum += await errorOfReader(reader, exact, factors, range, search, multiply);
    return sum;
  };
  const initialError = await errorOf(new Float64Array(group.units).fill(1));
  let best: FactorChoice | undefined;
  for (const factors of search.candidates(group, readers)) {
    const error = await errorOf(factors);
    if (error < (best?.error ?? (1 - search.minGain) * initialError)) {
      const gain = `${Math.round((1 - error / initialError) * 100)} % less quantization error`;
      best = { error, gain, factors };
    }
  }
  return best;
}

/** x · wᵀ and its squared norm. */
interface ExactProduct {
  readonly outputs: Matrix;
  readonly power: number;
}

async function errorOfReader(
  { options, inputSample, weight, unitOf }: Reader,
  exact: ExactProduct,
  factors: Float64Array,
  minRange: QuantizationRange,
  { roundedOperands }: FactorSearch,
  multiply: Multiply,
): Promise<number> {
  const scale = Float64Array.from(unitOf, (unit) => factors[unit] ?? 1);
  const operands = {
    data: scaleColumns(inputSample.rows, scale),
    range: rangeOf(inputSample, scale, minRange),
    weight: scaleColumns(
      weight,
      scale.map((factor) => 1 / factor),
    ),
  };
  const { data, weight: roundedWeight } = roundedOperands(operands, options);
  const outputs = await multiply(data, transpose(roundedWeight));
  return exact.power === 0 ? 0 : frobenius(subtract(outputs, exact.outputs)) ** 2 / exact.power;
}

export function rangeOf(
  { min, max }: ColumnRange,
  factors: Float64Array,
  minRange = { low: 0, high: 0 },
): QuantizationRange {
  let { low, high } = minRange;
  for (const [column, factor] of factors.entries()) {
    low = Math.min(low, (min[column] ?? 0) * factor);
    high = Math.max(high, (max[column] ?? 0) * factor);
  }
  return { low, high };
}
