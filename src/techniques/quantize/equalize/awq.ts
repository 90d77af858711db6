/**
 * Activation-aware weight quantization (Lin et al. 2024, arXiv 2306.00978): weights that meet large activations matter most.
 * Activations are divided, and the weights that read them multiplied, by
 *
 *     s_u = mean|x_u|^α / (mean of |w_u| as a share of the largest value in its block)^(1 - α),    s / √(max s · min s)
 *
 * for each unit u. α is searched per group of units, with the weights rounded in their blocks.
 */
import type { ScaleGroup } from "#analysis";
import { type Matrix, matrix } from "../../../core/math/matrix.ts";
import { findLattice } from "../block-lattice.ts";
import { blockSettings } from "../formats/weight-blocks.ts";
import { type BlockSettings, blockGrid, roundToGrid, slicedWeight } from "../grid.ts";
import { nearest } from "../rounders/nearest.ts";
import { everySetting, type RoundedSettings } from "../settings.ts";
import type { Reader } from "./best-factors.ts";
import type { Equalization } from "./index.ts";
import { searchFactors } from "./search.ts";

const alphaSteps = 20;

const blocksOf = (options: RoundedSettings): BlockSettings | undefined =>
  options.scheme === "weights" ? blockSettings(options) : undefined;

export const awq: Equalization = {
  suits: (options) =>
    options.data !== undefined && everySetting(options).some(({ scheme, bits }) => scheme === "weights" && bits < 8),
  apply: searchFactors({
    id: "awq",
    isMeasured: (options) => options.bits < 8 && blocksOf(options) !== undefined,
    candidates,
    roundedOperands: ({ data, weight }, options) => ({ data, weight: normalizeBlocks(weight, blocksOf(options)) }),
    // A smaller gain on these inputs may not hold for other inputs.
    minGain: 0.05,
  }),
};

function* candidates({ units, refused }: ScaleGroup, readers: readonly Reader[]): Iterable<Float64Array> {
  const [dataSums, weightSums, count] = [new Float64Array(units), new Float64Array(units), new Float64Array(units)];
  for (const { inputSample: seen, weight, unitOf, options } of readers) {
    const [data, shares] = [meanMagnitudes(seen.rows), meanMagnitudes(toBlockShares(weight, blocksOf(options)?.block))];
    unitOf.forEach((unit, column) => {
      if (unit < 0) return;
      dataSums[unit] = (dataSums[unit] ?? 0) + (data[column] ?? 0);
      weightSums[unit] = (weightSums[unit] ?? 0) + (shares[column] ?? 0);
      count[unit] = (count[unit] ?? 0) + 1;
    });
  }
  const mean = (sums: Float64Array): Float64Array =>
    sums.map((sum, unit) => (refused.has(unit) ? 0 : sum / Math.max(1, count[unit] ?? 0)));
  for (let step = 0; step < alphaSteps; step++)
    yield awqFactors(mean(dataSums), mean(weightSums), step / alphaSteps, refused.size > 0);
}

/**
 * Returns 1 / s. @param data mean|x| of each unit. @param weight mean of |w| as a share of the largest value in its block.
 * @param hasUnscaled whether other units are not scaled: s is then not divided by √(max s · min s).
 */
export function awqFactors(data: Float64Array, weight: Float64Array, alpha: number, hasUnscaled = false): Float64Array {
  const logFactors = data.map((mean, unit) => (1 - alpha) * Math.log(weight[unit] ?? 0) - alpha * Math.log(mean));
  const isDefined = (log: number, unit: number): boolean => Number.isFinite(log) && (data[unit] ?? 0) > 0;
  const definedLogs = logFactors.filter(isDefined);
  const middle =
    hasUnscaled || definedLogs.length === 0
      ? 0
      : (definedLogs.reduce((a, b) => Math.min(a, b)) + definedLogs.reduce((a, b) => Math.max(a, b))) / 2;
  return logFactors.map((log, unit) => (isDefined(log, unit) ? Math.fround(Math.exp(log - middle)) : 1));
}

function meanMagnitudes({ rows, columns, data }: Matrix): Float64Array {
  const means = new Float64Array(columns);
  for (let index = 0; index < data.length; index++)
    means[index % columns] = (means[index % columns] ?? 0) + Math.abs(data[index] ?? 0) / rows;
  return means;
}

function toBlockShares({ rows, columns, data }: Matrix, block = columns): Matrix {
  const shares = matrix(rows, columns);
  for (let start = 0; start < data.length; start += columns)
    for (let from = start; from < start + columns; from += block) {
      const values = data.subarray(from, Math.min(start + columns, from + block));
      const largest = values.reduce((maximum, value) => Math.max(maximum, Math.abs(value)), 0);
      if (largest > 0)
        shares.data.set(
          values.map((value) => value / largest),
          from,
        );
    }
  return shares;
}

function normalizeBlocks(weight: Matrix, settings: BlockSettings | undefined): Matrix {
  if (settings === undefined) return weight;
  const [grid, { block, bits }] = [blockGrid(settings), settings];
  const { rows, columns, data } = weight;
  // Weights that were quantized before keep their values, which factors would change.
  if (findLattice(data, { rows, width: columns, areColumns: false }, { size: block, bits }) !== undefined)
    return weight;
  const scales = nearest.scales(slicedWeight([weight], rows, block), grid);
  const result = matrix(rows, columns);
  const blocks = Math.ceil(columns / block);
  for (const [slice, scale] of scales.entries()) {
    const [start, from] = [Math.floor(slice / blocks) * columns, (slice % blocks) * block];
    const end = start + Math.min(columns, from + block);
    for (let index = start + from; index < end; index++)
      result.data[index] = roundToGrid(grid, scale, data[index] ?? 0);
  }
  return result;
}
