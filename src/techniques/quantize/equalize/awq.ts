/**
 * Activation-aware weight quantization (Lin et al. 2024, arXiv 2306.00978): weights that meet large activations matter most.
 * Activations are divided, and the weights that read them multiplied, by
 *
 *     s_u = mean|x_u|^α / (mean of |w_u| as a share of the largest value in its block)^(1 - α),    s / √(max s · min s)
 *
 * for each unit u. α is searched per group of units, with the weights rounded in their blocks.
 */
import type { ScaleGroup } from "../../../core/analysis/scale-groups.ts";
import { type Matrix, matrix } from "../../../core/math/index.ts";
import { blocksIn } from "../formats/matmul-nbits.ts";
import { type BlockSettings, blockGrid, roundedTo } from "../grid.ts";
import { everySetting } from "../options.ts";
import { nearest } from "../rounders/nearest.ts";
import { slicedWeight } from "../sliced-weight.ts";
import type { Reader } from "./best-factors.ts";
import { searchFactors } from "./search.ts";
import type { Transformation } from "./transformation.ts";

const steps = 20;

export const awq: Transformation = {
  suits: (options) =>
    options.data !== undefined && everySetting(options).some(({ scheme, bits }) => scheme === "weights" && bits < 8),
  move: searchFactors({
    id: "awq",
    counts: (own) => own.bits < 8 && blocksIn(own) !== undefined,
    candidates,
    rounded: ({ data, weight }, own) => ({ data, weight: inBlocks(weight, blocksIn(own)) }),
    // A smaller gain on these rows may not hold on others.
    leastGain: 0.05,
  }),
};

function* candidates({ units, refused }: ScaleGroup, readers: readonly Reader[]): Iterable<Float64Array> {
  const [ofData, ofWeight, count] = [new Float64Array(units), new Float64Array(units), new Float64Array(units)];
  for (const { seen, weight, unitOf, own } of readers) {
    const [data, shares] = [meanMagnitudes(seen.rows), meanMagnitudes(asShares(weight, blocksIn(own)?.block))];
    unitOf.forEach((unit, column) => {
      if (unit < 0) return;
      ofData[unit] = (ofData[unit] ?? 0) + (data[column] ?? 0);
      ofWeight[unit] = (ofWeight[unit] ?? 0) + (shares[column] ?? 0);
      count[unit] = (count[unit] ?? 0) + 1;
    });
  }
  const mean = (sums: Float64Array): Float64Array =>
    sums.map((sum, unit) => (refused.has(unit) ? 0 : sum / Math.max(1, count[unit] ?? 0)));
  for (let step = 0; step < steps; step++)
    yield awqFactors(mean(ofData), mean(ofWeight), step / steps, refused.size > 0);
}

/**
 * Returns 1 / s; 1 for units where the mean of data or weight is 0.
 * @param data mean|x| of each unit. @param weight mean of |w| as a share of the largest value in its block.
 * @param besideOthers other units stay unscaled, so s is not normalized to a mean of 1.
 */
export function awqFactors(
  data: Float64Array,
  weight: Float64Array,
  alpha: number,
  besideOthers = false,
): Float64Array {
  const logs = data.map((own, unit) => (1 - alpha) * Math.log(weight[unit] ?? 0) - alpha * Math.log(own));
  const isKnown = (log: number, unit: number): boolean => Number.isFinite(log) && (data[unit] ?? 0) > 0;
  const known = logs.filter(isKnown);
  const middle =
    besideOthers || known.length === 0
      ? 0
      : (known.reduce((a, b) => Math.min(a, b)) + known.reduce((a, b) => Math.max(a, b))) / 2;
  return logs.map((log, unit) => (isKnown(log, unit) ? Math.fround(Math.exp(log - middle)) : 1));
}

function meanMagnitudes({ rows, columns, data }: Matrix): Float64Array {
  const means = new Float64Array(columns);
  for (let at = 0; at < data.length; at++)
    means[at % columns] = (means[at % columns] ?? 0) + Math.abs(data[at] ?? 0) / rows;
  return means;
}

function asShares({ rows, columns, data }: Matrix, block = columns): Matrix {
  const shares = matrix(rows, columns);
  for (let start = 0; start < data.length; start += columns)
    for (let from = start; from < start + columns; from += block) {
      const own = data.subarray(from, Math.min(start + columns, from + block));
      const most = own.reduce((far, value) => Math.max(far, Math.abs(value)), 0);
      if (most > 0)
        shares.data.set(
          own.map((value) => value / most),
          from,
        );
    }
  return shares;
}

function inBlocks(weight: Matrix, settings: BlockSettings | undefined): Matrix {
  if (settings === undefined) return weight;
  const [grid, sliced] = [blockGrid(settings), slicedWeight([weight], weight.rows, settings.block)];
  const scales = nearest.scales(sliced, grid);
  const { columns } = weight;
  return matrix(
    weight.rows,
    columns,
    weight.data.map((value, at) => {
      const scale = scales[sliced.sliceAt(0, Math.floor(at / columns), at % columns)];
      return scale === undefined ? 0 : roundedTo(grid, scale, value);
    }),
  );
}
