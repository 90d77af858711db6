import type { GradientStatistic } from "../../../learn/train/gradient-statistic.ts";

const mean = (of: (gradient: number) => number, each: Pick<GradientStatistic<unknown>, "each">) =>
  ({
    of: "gradients",
    ...each,
    begin() {
      let [sums, samples] = [new Float64Array(), 0];
      return {
        add(gradient, count) {
          if (samples === 0) sums = new Float64Array(gradient.length);
          samples += count;
          for (let at = 0; at < sums.length; at++) sums[at] = (sums[at] ?? 0) + count * of(gradient[at] ?? 0);
        },
        end: () => sums.map((sum) => sum / Math.max(1, samples)),
      };
    },
  }) satisfies GradientStatistic<Float64Array>;

/** ḡ, the gradient of the mean loss. */
export const meanGradient = mean((g) => g, {});

/** E[g²] over single samples: the diagonal of the empirical Fisher information. */
export const meanSquare = mean((g) => g * g, { each: "sample" });
