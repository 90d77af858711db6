/**
 * Three layers by Tucker-2 (Kim et al. 2016), per group: a matrix (1 × 1) to fewer inputs, the kernel, a matrix (1 × 1) to the outputs.
 *
 * The loss of two ranks is Σ C[a, b, k]² over the entries of the core C beyond the ranks (HOSVD, De Lathauwer et al. 2000). Starting
 * from full ranks, the rank with the lower loss per saved weight is lowered next. HOOI then improves the factors a little.
 */
import { Miss } from "#ir";
import { frobenius, type Matrix, type Multiply, transpose } from "../../core/math/matrix.ts";
import { svd } from "../../core/math/svd.ts";
import {
  chainCost,
  type Decomposition,
  errorOfGroups,
  type PartShape,
  type Problem,
  product,
  ranksUpTo,
  type Step,
  shareOfGroups,
  withMatrices,
} from "./decomposition.ts";
import { tucker2 as decompose, swapChannels } from "./tucker.ts";

const sizes = ({ matrices, kernel }: Problem) => {
  const taps = product(kernel);
  const [{ rows: outputs, columns } = { rows: 0, columns: 0 }] = matrices;
  const inputs = columns / taps;
  return { taps, outputs, inputs, maxOut: Math.min(outputs, columns), maxIn: Math.min(inputs, outputs * taps) };
};

function stepOf(problem: Problem, rankOut: number, rankIn: number): Step {
  const { taps, outputs, inputs, maxOut, maxIn } = sizes(problem);
  const [out, input] = [Math.min(rankOut, maxOut), Math.min(rankIn, maxIn)];
  const parts: readonly PartShape[] = [
    { name: "down", rows: input, columns: inputs, window: [] },
    { name: "core", rows: out, columns: input * taps, window: problem.kernel.map((_, axis) => axis) },
    { name: "up", rows: outputs, columns: out, window: [] },
  ];
  return { ...chainCost(problem, parts), ranks: [out, input], parts };
}

export const tucker2: Decomposition = {
  summary: "a matrix to fewer channels, a kernel, a matrix to the outputs",
  refuses: ({ kernel }) =>
    product(kernel) === 1 ? new Miss("its kernel is 1 × 1, which `svd` decomposes") : undefined,
  at: (problem, rank) => stepOf(problem, rank, rank),
  async spectrum(problem) {
    const { matrices, multiply } = problem;
    const { inputs, maxOut, maxIn } = sizes(problem);
    const shares = shareOfGroups(matrices.map(frobenius));
    const keptShares = await Promise.all(matrices.map((weight) => measureKeptShares(weight, inputs, multiply)));
    const step = (out: number, input: number): ScoredStep => {
      const keptSquares = keptShares.reduce(
        (sum, keptShare, group) => sum + (shares[group] ?? 0) * keptShare(out, input),
        0,
      );
      return { ...stepOf(problem, out, input), lost: Math.max(0, 1 - keptSquares) };
    };
    return lowerRanks(step, ranksUpTo(maxOut, problem), ranksUpTo(maxIn, problem));
  },
  async factors(problem, { ranks: [rankOut = 1, rankIn = 1], parts }) {
    const { matrices, multiply, seed } = problem;
    const { inputs } = sizes(problem);
    const settings = { rankOut, rankIn, multiply, seed };
    const groups = await Promise.all(matrices.map((weight) => decompose(weight, inputs, settings)));
    const factors = [
      groups.map((group) => transpose(group.in)),
      groups.map(({ core }) => core),
      groups.map(({ out }) => out),
    ];
    const errors = groups.map(({ relativeError }) => relativeError);
    return { parts: withMatrices(parts, factors), relativeError: await errorOfGroups(errors, problem) };
  },
};

type ScoredStep = Step & { readonly lost: number };

/**
 * Computes the core, which is the weight in the singular bases of its unfoldings. @returns a function that gives the share of the
 * core's squared norm in its first `out` outputs and `input` inputs.
 */
async function measureKeptShares(
  weight: Matrix,
  inputs: number,
  multiply: Multiply,
): Promise<(out: number, input: number) => number> {
  const [outputSvd, inputSvd] = [await svd(weight, multiply), await svd(swapChannels(weight, inputs), multiply)];
  const [outputs, taps] = [outputSvd.s.length, weight.columns / inputs];
  const swapped = swapChannels(await multiply(transpose(outputSvd.u), weight), inputs);
  const { rows, data } = await multiply(transpose(inputSvd.u), swapped);
  // Prefix sums of squares: sums[input][out].
  const sums = new Float64Array((rows + 1) * (outputs + 1));
  for (let input = 0; input < rows; input++) {
    let row = 0;
    for (let out = 0; out < outputs; out++) {
      const from = (input * outputs + out) * taps;
      for (const value of data.subarray(from, from + taps)) row += value * value;
      sums[(input + 1) * (outputs + 1) + out + 1] = row + (sums[input * (outputs + 1) + out + 1] ?? 0);
    }
  }
  const total = sums.at(-1) ?? 0;
  return (out, input) => (total === 0 ? 1 : (sums[input * (outputs + 1) + out] ?? 0) / total);
}

function lowerRanks(
  step: (out: number, input: number) => ScoredStep,
  outs: readonly number[],
  ins: readonly number[],
): readonly Step[] {
  let [out, input] = [outs.length - 1, ins.length - 1];
  const stepAt = (o: number, i: number): ScoredStep => step(outs[o] ?? 1, ins[i] ?? 1);
  const steps = [stepAt(out, input)];
  while (out > 0 || input > 0) {
    const current = stepAt(out, input);
    const lossPerWeight = (next: ScoredStep): number => (next.lost - current.lost) / (current.weights - next.weights);
    if (input === 0 || (out > 0 && lossPerWeight(stepAt(out - 1, input)) <= lossPerWeight(stepAt(out, input - 1))))
      out--;
    else input--;
    steps.push(stepAt(out, input));
  }
  return steps.reverse();
}
