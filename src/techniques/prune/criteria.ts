/** The table of pruning criteria. Its keys are the values of the option `importance`. */
import type { GradientStatistic } from "../../learn/train/gradient-statistic.ts";
import { columnNorms, meanMagnitudes } from "../calibrate/column-statistics.ts";
import { methodTable } from "../shared/methods.ts";
import { type Importance, isChannelEvidence } from "./criterion.ts";

/** E[g²] for each element of a tensor, over single samples: the diagonal of the empirical Fisher information. */
export const meanSquare = {
  of: "gradients",
  each: "sample",
  begin() {
    let [sums, samples] = [new Float64Array(), 0];
    return {
      add(gradient, count) {
        if (samples === 0) sums = new Float64Array(gradient.length);
        samples += count;
        for (let index = 0; index < sums.length; index++)
          sums[index] = (sums[index] ?? 0) + count * (gradient[index] ?? 0) ** 2;
      },
      end: () => sums.map((sum) => sum / Math.max(1, samples)),
    };
  },
} satisfies GradientStatistic<Float64Array>;

export const magnitude: Importance & { readonly summary: string } = {
  id: "magnitude",
  summary: "size of the weight, |w|",
  scores: ({ values }) => values,
};

const random = {
  id: "random",
  summary: "random order, to compare the other criteria with",
  scores: ({ values, random }) => Float64Array.from(values, () => random.uniform()),
  units: ({ count, random }) => Float64Array.from({ length: count }, () => random.uniform()),
} satisfies Importance;

/** Sun et al. 2023, "A Simple and Effective Pruning Approach for Large Language Models", with inputs of the unpruned model. */
const wanda = {
  id: "wanda",
  summary: "weight times typical input, |w| · ‖x‖; each output loses the same share (needs samples)",
  pattern: "rows",
  evidence: columnNorms,
  scores: ({ matrices, evidence }) =>
    matrices().map(({ rows, columns, data }, group) => ({
      rows,
      columns,
      data: data.map((w, index) => Math.abs(w) * (evidence[group * columns + (index % columns)] ?? 0)),
    })),
} satisfies Importance<Float64Array>;

const lossIncrease = (values: ArrayLike<number>, squares: Float64Array): Float64Array =>
  squares.map((square, index) => 0.5 * (values[index] ?? 0) ** 2 * square);

/** Second-order change of the loss with a diagonal Hessian (LeCun et al. 1990, "Optimal Brain Damage"): empirical Fisher information, summed per channel. */
export const fisher = {
  id: "fisher",
  summary: "estimated rise of the loss without the weight, ½ w² · E[g²] with its gradient g (needs labels)",
  evidence: meanSquare,
  scores: ({ values, evidence }) => lossIncrease(values, evidence),
  units: ({ sum }) =>
    sum("layers", ({ values, evidence, rows }) =>
      rows(lossIncrease(values, evidence)).map((row) => row.reduce((total, increase) => total + increase, 0)),
    ),
} satisfies Importance<Float64Array>;

/**
 * E[(∂loss/∂ξ)²] over single samples, where ξ = 1 multiplies the channel in every layer that reads it (Molchanov et al. 2019, "Importance
 * Estimation for Neural Network Pruning"). It is squared per sample, because the mean gradient of a trained network is about 0.
 */
export const taylor = {
  id: "taylor",
  summary:
    "estimated change of predictions without the channel, E[(Σ w · g)²] (needs samples; also labels if you choose it, or --loss)",
  evidence: { ...meanSquare, of: "gates" },
  units: ({ evidence }) => evidence,
} satisfies Importance<Float64Array>;

/** Molchanov et al. 2017, "Pruning Convolutional Neural Networks". */
export const activation = {
  id: "activation",
  summary: "mean size of the values in a channel, E|x| (needs samples)",
  evidence: { ...meanMagnitudes, of: "activations" },
  units: ({ mean }) => mean("activations", ({ evidence }) => evidence),
} satisfies Importance<Float64Array>;

const table = { magnitude, random, wanda, fisher, taylor, activation };

export const criteria = methodTable<Importance, keyof typeof table>(table, {
  kind: "a criterion",
  does: ["scores", "units"],
  title: "Criteria (--importance)",
});

export const ranksWeights = ({ scores, evidence }: Importance): boolean =>
  scores !== undefined && !isChannelEvidence(evidence);

export const channelsOnly = (id: string): string =>
  `"${id}" ranks channels, not individual weights: it requires \`structured\``;

export function needsGradients(nameOrMethod: unknown): boolean {
  const { evidence } = criteria.known(nameOrMethod) ?? {};
  return evidence !== undefined && "of" in evidence && evidence.of !== "activations";
}
