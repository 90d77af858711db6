/**
 * SmoothQuant (Xiao et al. 2023, arXiv 2211.10438). An activation has one scale for all its channels, so a channel that reaches a hundred times as far as
 * the others leaves them a hundredth of the codes. Divided by
 *
 *     s_u = reach(x_u)^α / reach(w_u)^(1 - α)
 *
 * for each unit u, part of that reach goes to the weights, which have a scale for each output. α is searched for each group of units, both operands
 * rounded. Factors are powers of two, so no number is rounded on the way.
 */
import type { ScaleGroup } from "../../analysis/scale-groups.ts";
import { fullRange, matrix, type QuantizationRange, quantizationRange, scaleAndZeroPoint } from "../../math/index.ts";
import { roundHalfEven } from "../../tensor/round.ts";
import { roundedTo } from "../grid.ts";
import { isWide } from "../options.ts";
import type { Operands, Reader } from "./best-factors.ts";
import { searchFactors } from "./search.ts";
import type { EqualizeOptions, Transformation } from "./transformation.ts";

/** Shares of the reach of an activation that go to the weights. */
const alphas = [0.25, 0.5, 0.75, 1];

export const smoothQuant: Transformation = {
  suits: ({ scheme, data }) => data !== undefined && (scheme === "static" || scheme === "dynamic"),
  move: searchFactors({
    // With activations of 8 bits, and a scale for each output, which what comes before can grow without loss.
    counts: ({ perChannel, bits, activations }) => perChannel && bits > 4 && !isWide(activations),
    candidates: (group, readers) => alphas.map((alpha) => factorsBy(group, readers, alpha)),
    rounded,
    // Factors that do not halve the error leave the weights as they are: the outliers that this is for take nine tenths of it.
    leastGain: 0.5,
    // A node in front of the layer takes time.
    leastGainOfNode: 0.9,
  }),
};

function factorsBy({ units, refused }: ScaleGroup, readers: readonly Reader[], alpha: number): Float64Array {
  const [ofData, ofWeight] = [new Float64Array(units), new Float64Array(units)];
  for (const { seen, weight, unitOf } of readers)
    unitOf.forEach((unit, column) => {
      if (unit < 0) return;
      ofData[unit] = Math.max(ofData[unit] ?? 0, -(seen.min[column] ?? 0), seen.max[column] ?? 0);
      for (let row = 0; row < weight.rows; row++)
        ofWeight[unit] = Math.max(ofWeight[unit] ?? 0, Math.abs(weight.data[row * weight.columns + column] ?? 0));
    });
  const logs = ofData.map((data, unit) =>
    data > 0 && (ofWeight[unit] ?? 0) > 0 && !refused.has(unit)
      ? (1 - alpha) * Math.log2(ofWeight[unit] ?? 1) - alpha * Math.log2(data)
      : Number.NaN,
  );
  const known = logs.filter((log) => !Number.isNaN(log));
  const mean = known.reduce((sum, log) => sum + log, 0) / Math.max(1, known.length);
  // Where units are refused the others are beside them as they are.
  const middle = refused.size > 0 ? 0 : mean;
  return logs.map((log) => (Number.isNaN(log) ? 1 : 2 ** Math.round(log - middle)));
}

/** Rows on the 256 steps of their range, rows of weights on those of their largest number. */
function rounded({ data, range, weight }: Operands, { bits }: EqualizeOptions): Pick<Operands, "data" | "weight"> {
  const codes = matrix(weight.rows, weight.columns);
  const { high: most } = quantizationRange({ type: "int8", reduceRange: bits < 8 });
  for (let row = 0; row < weight.rows; row++) {
    const of = weight.data.subarray(row * weight.columns, (row + 1) * weight.columns);
    const step = of.reduce((far, value) => Math.max(far, Math.abs(value)), 0) / most;
    codes.data.set(
      of.map((value) => (step === 0 ? 0 : roundHalfEven(value / step) * step)),
      row * weight.columns,
    );
  }
  return { data: { ...data, data: stepped(data.data, range) }, weight: codes };
}

/** Numbers on the 256 steps from the smallest to the largest. */
function stepped(numbers: Float64Array, { low, high }: QuantizationRange): Float64Array {
  const scale = scaleAndZeroPoint(low, high, { type: "uint8" });
  const grid = fullRange("uint8");
  return numbers.map((value) => roundedTo(grid, scale, value));
}
