/**
 * Three layers by Tucker-2 (Kim et al. 2016): a matrix (1 × 1) to fewer inputs, the kernel, a matrix (1 × 1) to the outputs. Each group by itself.
 *
 * Of both ranks together the one goes down next that loses less for each weight saved, by the singular values of the two unfoldings: what both
 * leave out is the most that the decomposition loses (De Lathauwer et al. 2000).
 */
import { Miss } from "../errors.ts";
import { tucker2 as decompose, energyShares, evbmf, frobenius, swapChannels, transpose } from "../math/index.ts";
import {
  chainCost,
  type Decomposition,
  type Prepared,
  type Problem,
  product,
  type Step,
  tails,
  together,
} from "./decomposition.ts";

export const tucker2: Decomposition = {
  id: "tucker2",
  summary: "fewer inputs by a matrix, the kernel, more outputs by a matrix (Tucker-2)",
  async prepare(problem: Problem): Promise<Prepared | Miss> {
    const { matrices, kernel, multiply, seed } = problem;
    const taps = product(kernel);
    if (taps === 1) return new Miss("its kernel is 1 × 1, which `svd` decomposes");
    const outputs = matrices[0]?.rows ?? 0;
    const inputs = (matrices[0]?.columns ?? 0) / taps;
    const all = kernel.map((_, axis) => axis);
    const norms = matrices.map(frobenius);
    const [byOutput, byInput] = await Promise.all(
      [matrices, matrices.map((one) => swapChannels(one, inputs))].map((side) =>
        Promise.all(side.map((one) => energyShares(one, multiply))),
      ),
    );
    const [outLost, inLost] = [tails(byOutput ?? [], norms), tails(byInput ?? [], norms)];
    const step = (out: number, input: number): Step => {
      const part = (weights: number, window: readonly number[]) => ({ weights: matrices.length * weights, window });
      const cost = chainCost(problem, [
        part(inputs * input, []),
        part(input * out * taps, all),
        part(out * outputs, []),
      ]);
      return { ...cost, ranks: [out, input], lost: Math.min(1, (outLost[out] ?? 0) + (inLost[input] ?? 0)) };
    };
    return {
      steps: path(step, outputs, inputs),
      at: (rank) => step(Math.min(rank, outputs), Math.min(rank, inputs)),
      aboveNoise() {
        const rankOf = (shares: readonly Float64Array[], rows: number, columns: number): number | Miss => {
          const found = shares.map((own) => evbmf(own.map(Math.sqrt), rows, columns));
          const ranks = found.map((one) => (one instanceof Miss ? 1 : one.rank));
          return found.find((one) => one instanceof Miss) ?? Math.max(1, ...ranks);
        };
        const out = rankOf(byOutput ?? [], outputs, inputs * taps);
        const input = rankOf(byInput ?? [], inputs, outputs * taps);
        if (out instanceof Miss) return out;
        return input instanceof Miss ? input : step(out, input);
      },
      async factors({ ranks: [rankOut = 1, rankIn = 1] }) {
        const found = await Promise.all(
          matrices.map((one) => decompose(one, inputs, { rankOut, rankIn, multiply, seed })),
        );
        return {
          parts: [
            { name: "down", matrices: found.map((one) => transpose(one.in)), window: [] },
            { name: "core", matrices: found.map(({ core }) => core), window: all },
            { name: "up", matrices: found.map(({ out }) => out), window: [] },
          ],
          relativeError: together(
            found.map(({ errors }) => errors.at(-1) ?? 0),
            norms,
          ),
        };
      },
    };
  },
};

/** From rank 1 on both sides to the whole. */
function path(step: (out: number, input: number) => Step, outputs: number, inputs: number): readonly Step[] {
  const found = [step(outputs, inputs)];
  for (let [out, input] = [outputs, inputs]; out > 1 || input > 1; ) {
    const now = step(out, input);
    const price = (next: Step): number => (next.lost - now.lost) / (now.weights - next.weights);
    const [fewerOut, fewerIn] = [step(Math.max(1, out - 1), input), step(out, Math.max(1, input - 1))];
    if (input === 1 || (out > 1 && price(fewerOut) <= price(fewerIn))) out--;
    else input--;
    found.push(step(out, input));
  }
  return found.reverse();
}
