/** The table of pruning criteria: each row is a formula. Its keys are the values of the option `importance` in flags, help and recipes. */

import type { GradientStatistic } from "../../learn/train/gradient-statistic.ts";
import { columnNorms, meanMagnitudes } from "../calibrate/column-statistics.ts";
import { methodTable } from "../shared/methods.ts";
import { type Importance, isChannelEvidence } from "./criterion.ts";

/** For each element of a tensor: the mean of `term(gradient)` over the samples. */
const meanOf = (term: (gradient: number) => number, each: Pick<GradientStatistic<unknown>, "each">) =>
  ({
    of: "gradients",
    ...each,
    begin() {
      let [sums, samples] = [new Float64Array(), 0];
      return {
        add(gradient, count) {
          if (samples === 0) sums = new Float64Array(gradient.length);
          samples += count;
          for (let index = 0; index < sums.length; index++)
            sums[index] = (sums[index] ?? 0) + count * term(gradient[index] ?? 0);
        },
        end: () => sums.map((sum) => sum / Math.max(1, samples)),
      };
    },
  }) satisfies GradientStatistic<Float64Array>;

/** ḡ, the gradient of the mean loss. */
export const meanGradient = meanOf((g) => g, {});

/** E[g²] over single samples: the diagonal of the empirical Fisher information. */
export const meanSquare = meanOf((g) => g * g, { each: "sample" });

export const magnitude: Importance & { readonly summary: string } = {
  id: "magnitude",
  summary: "|w|",
  scores: ({ values }) => values,
};

const random = {
  id: "random",
  summary: "random scores: the baseline for all other criteria",
  scores: ({ values, random }) => Float64Array.from(values, () => random.uniform()),
  units: ({ count, random }) => Float64Array.from({ length: count }, () => random.uniform()),
} satisfies Importance;

/**
 * Sun et al. 2023, "A Simple and Effective Pruning Approach for Large Language Models". Inputs are those of the unpruned model; the
 * paper's code uses those after pruning earlier blocks.
 */
const wanda = {
  id: "wanda",
  summary: "|w| · ‖x‖ of the inputs; each output loses the same share (needs samples)",
  pattern: "rows",
  evidence: columnNorms,
  scores: ({ matrices, evidence }) =>
    matrices().map(({ rows, columns, data }, group) => ({
      rows,
      columns,
      data: data.map((w, index) => Math.abs(w) * (evidence[group * columns + (index % columns)] ?? 0)),
    })),
} satisfies Importance<Float64Array>;

/**
 * Lee, Ajanthan and Torr 2019, "SNIP: Single-shot Network Pruning based on Connection Sensitivity". The paper uses one batch, an
 * untrained network and scope "global".
 */
export const snip = {
  id: "snip",
  summary: "|w · ḡ|, gradient × weight: change of the loss to first order (needs labeled samples)",
  evidence: meanGradient,
  scores: ({ values, evidence }) => evidence.map((g, index) => (values[index] ?? 0) * g),
} satisfies Importance<Float64Array>;

/**
 * σ(−w · ḡ): the logistic function makes the signed score a magnitude (Sanh, Wolf and Rush 2020, "Movement Pruning").
 *
 * The paper accumulates −w · g over a fine-tuning; this is one such step over all samples (`train` with `prune` accumulates,
 * `learn/train/gradual.ts`). "Hard" movement pruning is scope "uniform", "soft" is "global".
 */
export const movement = {
  id: "movement",
  summary: "−w · ḡ: weights that training moves towards zero are removed first (needs labeled samples)",
  evidence: meanGradient,
  scores: ({ values, evidence }) => evidence.map((g, index) => 1 / (1 + Math.exp((values[index] ?? 0) * g))),
} satisfies Importance<Float64Array>;

const lossIncrease = (values: ArrayLike<number>, squares: Float64Array): Float64Array =>
  squares.map((square, index) => 0.5 * (values[index] ?? 0) ** 2 * square);

/**
 * Second-order change of the loss with a diagonal Hessian (LeCun, Denker and Solla 1990, "Optimal Brain Damage"), here the empirical
 * Fisher information over single samples. The score of a channel is the sum over its weights.
 */
export const fisher = {
  id: "fisher",
  summary: "½ w² · E[g²], optimal brain damage: change of the loss to second order (needs labeled samples)",
  evidence: meanSquare,
  scores: ({ values, evidence }) => lossIncrease(values, evidence),
  units: ({ sum }) =>
    sum("layers", ({ values, evidence, rows }) =>
      rows(lossIncrease(values, evidence)).map((row) => row.reduce((total, increase) => total + increase, 0)),
    ),
} satisfies Importance<Float64Array>;

/**
 * E[(∂loss/∂ξ)²] over single samples, where ξ = 1 multiplies the channel in every layer that reads it: the first-order change of the loss
 * (Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning"). It equals (Σ w · g)² over the reading weights, and is
 * squared per sample, because the mean gradient of a trained network is about 0.
 */
export const taylor = {
  id: "taylor",
  summary:
    "E[(Σ w · g)²] over the weights that read a channel: change of the loss (needs labeled samples; as the default, none)",
  evidence: { ...meanSquare, of: "gates" },
  units: ({ evidence }) => evidence,
} satisfies Importance<Float64Array>;

/** He et al. 2019, "Filter Pruning via Geometric Median": a filter near the geometric median can be replaced by the other filters. */
const fpgm = {
  id: "fpgm",
  summary: "sum of the distances to all other filters of the layer",
  units: ({ mean }) =>
    mean("layers", ({ rows }) => {
      const filters = rows();
      const sums = new Float64Array(filters.length);
      for (const [a, filter] of filters.entries())
        for (const [b, other] of filters.slice(0, a).entries()) {
          let squares = 0;
          for (let index = 0; index < filter.length; index++)
            squares += ((filter[index] ?? 0) - (other[index] ?? 0)) ** 2;
          const distance = Math.sqrt(squares);
          sums[a] = (sums[a] ?? 0) + distance;
          sums[b] = (sums[b] ?? 0) + distance;
        }
      return sums;
    }),
} satisfies Importance;

/** Liu et al. 2017, "Network Slimming"; best after training with an L1 penalty. */
const bnScale = {
  id: "bn-scale",
  summary: "|γ|, the scale of the batch normalization after a channel",
  units: ({ mean }) => mean("scales", ({ values }) => values.map(Math.abs)),
} satisfies Importance;

/** Molchanov et al. 2017, "Pruning Convolutional Neural Networks". */
export const activation = {
  id: "activation",
  summary: "E|x|, the mean activation of a channel at the inputs of later layers (needs samples)",
  evidence: { ...meanMagnitudes, of: "activations" },
  units: ({ mean }) => mean("activations", ({ evidence }) => evidence),
} satisfies Importance<Float64Array>;

const table = { magnitude, random, wanda, snip, movement, fisher, taylor, fpgm, "bn-scale": bnScale, activation };

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
